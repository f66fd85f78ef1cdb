#include "policy/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/number.h"
#include "policy/policy.h"

#define LARGEST_TEXT ((size_t)1 << 20) /* of the policy file and its includes together */
#define DEEPEST_INCLUDE 10             /* as in libconfig */

/* An @include counts only outside strings and comments, as in libconfig. */
enum lexical_state {
    IN_CODE,
    IN_STRING,
    IN_COMMENT,
};

struct reader {
    struct dg_source *source;
    enum lexical_state state;
    struct dg_source_line began; /* where a string or comment began */
    unsigned depth;
    struct dg_error *error;
};

static int add_file(struct reader *reader, const char *path);

static int out_of_memory(struct reader *reader)
{
    return dg_fail(reader->error, "out of memory while reading the policy file");
}

static int remember_line(struct reader *reader, const struct dg_source_line *origin)
{
    struct dg_source *source = reader->source;
    size_t count = source->line_count;

    if ((count & (count - 1)) == 0) { /* full whenever it is a power of two */
        size_t capacity = count == 0 ? 1 : 2 * count;
        struct dg_source_line *lines = realloc(source->lines, capacity * sizeof *lines);

        if (lines == NULL)
            return out_of_memory(reader);
        source->lines = lines;
    }
    source->lines[source->line_count++] = *origin;
    return 0;
}

static int append_line(struct reader *reader, const char *bytes, size_t size,
                       const struct dg_source_line *origin)
{
    struct dg_source *source = reader->source;

    if (source->size + size + 1 > LARGEST_TEXT)
        return dg_fail(reader->error, "%s:%u: the policy is larger than 1 MiB; make it smaller",
                       source->files[origin->file], origin->number);
    if (remember_line(reader, origin) != 0)
        return -1;
    memcpy(source->text + source->size, bytes, size);
    source->size += size;
    source->text[source->size++] = '\n';
    source->text[source->size] = '\0';
    return 0;
}

static bool starts(const char *bytes, size_t size, const char *with)
{
    return size >= strlen(with) && memcmp(bytes, with, strlen(with)) == 0;
}

static int check_number(struct reader *reader, const char *word, size_t size,
                        const struct dg_source_line *origin)
{
    const char *remedy = dg_number_remedy(word, size);

    if (remedy == NULL)
        return 0;
    return dg_fail(reader->error, "%s:%u: %.*s %s", reader->source->files[origin->file],
                   origin->number, (int)size, word, remedy);
}

/* Moves the state over a line of libconfig text, and looks at the numbers outside strings and
 * comments. */
static int scan_line(struct reader *reader, const char *line, size_t size,
                     const struct dg_source_line *origin)
{
    enum lexical_state state = reader->state;

    for (size_t i = 0; i < size; i++) {
        const char *here = line + i;
        size_t left = size - i, word;

        if (state == IN_STRING) {
            if (*here == '\\')
                i++;
            else if (*here == '"')
                state = IN_CODE;
        } else if (state == IN_COMMENT) {
            if (starts(here, left, "*/")) {
                i++;
                state = IN_CODE;
            }
        } else if (*here == '"') {
            state = IN_STRING;
        } else if (*here == '#' || starts(here, left, "//")) {
            break;
        } else if (starts(here, left, "/*")) {
            i++;
            state = IN_COMMENT;
        } else if ((word = dg_word_length(here, left)) > 0) {
            if (check_number(reader, here, word, origin) != 0)
                return -1;
            i += word - 1;
        }
    }
    reader->state = state;
    return 0;
}

/* The length of `@include "` with the blanks around it at the start of a line, or 0. */
static size_t include_prefix(const char *line, size_t size)
{
    size_t at = 0, blanks;

    while (at < size && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (!starts(line + at, size - at, "@include"))
        return 0;
    at += strlen("@include");
    for (blanks = at; at < size && (line[at] == ' ' || line[at] == '\t'); at++)
        continue;
    return at > blanks && at < size && line[at] == '"' ? at + 1 : 0;
}

/* Takes a quoted name whose opening quote is behind us. Returns its length with the closing quote,
 * 0 without one. */
static size_t take_name(const char *from, size_t size, char *name)
{
    size_t length = 0;

    for (size_t i = 0; i < size; i++) {
        if (from[i] == '"') {
            name[length] = '\0';
            return i + 1;
        }
        if (from[i] == '\\' && i + 1 < size)
            i++;
        name[length++] = from[i];
    }
    return 0;
}

/* A new string: `name` as seen from the folder of the policy file. */
static char *resolve(const struct dg_source *source, const char *name)
{
    const char *policy_file = source->files[0], *slash = strrchr(policy_file, '/');
    char *path;

    if (name[0] == '/' || slash == NULL)
        return strdup(name);
    return asprintf(&path, "%.*s/%s", (int)(slash - policy_file), policy_file, name) < 0 ? NULL
                                                                                         : path;
}

static int include(struct reader *reader, const char *name, const struct dg_source_line *origin)
{
    struct dg_error *error = reader->error, why;
    const char *file = reader->source->files[origin->file];
    char *path;
    int result;

    if (reader->depth == DEEPEST_INCLUDE)
        return dg_fail(error, "%s:%u: @include: more than %d files deep; does one include itself?",
                       file, origin->number, DEEPEST_INCLUDE);
    path = resolve(reader->source, name);
    if (path == NULL)
        return out_of_memory(reader);
    reader->depth++;
    reader->error = &why;
    result = add_file(reader, path);
    reader->error = error;
    reader->depth--;
    if (result != 0)
        dg_fail(error, "%s:%u: @include: %s", file, origin->number, why.text);
    free(path);
    return result;
}

/* Does the @include at the start of a line, whose `prefix` is known. Returns how much of the line
 * it took, or -1. */
static ssize_t take_include(struct reader *reader, const char *line, size_t size, size_t prefix,
                            const struct dg_source_line *origin)
{
    char *name = malloc(size - prefix + 1);
    size_t taken;
    int result;

    if (name == NULL)
        return out_of_memory(reader);
    taken = take_name(line + prefix, size - prefix, name);
    if (taken == 0)
        result = dg_fail(reader->error, "%s:%u: @include: the closing quote is missing",
                         reader->source->files[origin->file], origin->number);
    else
        result = include(reader, name, origin);
    free(name);
    return result == 0 ? (ssize_t)(prefix + taken) : -1;
}

static int add_line(struct reader *reader, const char *line, size_t size,
                    const struct dg_source_line *origin)
{
    enum lexical_state was;
    size_t prefix;

    /* What follows an @include on its line is settings, or a comment, or one more @include. */
    while (reader->state == IN_CODE && (prefix = include_prefix(line, size)) != 0) {
        ssize_t taken = take_include(reader, line, size, prefix, origin);

        if (taken < 0)
            return -1;
        line += taken;
        size -= (size_t)taken;
    }
    was = reader->state;
    if (scan_line(reader, line, size, origin) != 0)
        return -1;
    if (was == IN_CODE)
        reader->began = *origin;
    return append_line(reader, line, size, origin);
}

static int add_text(struct reader *reader, const char *text, size_t size)
{
    struct dg_source_line origin = {.file = reader->source->file_count - 1, .number = 1};

    for (size_t at = 0; at < size; origin.number++) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - line);

        if (memchr(line, '\0', length) != NULL)
            return dg_fail(reader->error, "%s:%u: a NUL byte; a policy is plain text",
                           reader->source->files[origin.file], origin.number);
        if (add_line(reader, line, length, &origin) != 0)
            return -1;
        at += length + 1;
    }
    return 0;
}

/* Reads all of a checked file into a new buffer. */
static char *read_all(struct reader *reader, int fd, const char *path, size_t *size)
{
    char *text = malloc(LARGEST_TEXT + 1);

    *size = 0;
    if (text == NULL) {
        out_of_memory(reader);
        return NULL;
    }
    while (*size <= LARGEST_TEXT) {
        ssize_t got = read(fd, text + *size, LARGEST_TEXT + 1 - *size);

        if (got == 0)
            return text;
        if (got > 0)
            *size += (size_t)got;
        else if (errno != EINTR)
            break;
    }
    if (*size > LARGEST_TEXT)
        dg_fail(reader->error, "%s: larger than 1 MiB; is this a policy file?", path);
    else
        dg_fail(reader->error, "%s: cannot read: %s", path, strerror(errno));
    free(text);
    return NULL;
}

static int remember_file(struct reader *reader, const char *path)
{
    struct dg_source *source = reader->source;
    char **files = realloc(source->files, (source->file_count + 1) * sizeof *files);

    if (files == NULL)
        return out_of_memory(reader);
    source->files = files;
    files[source->file_count] = strdup(path);
    if (files[source->file_count] == NULL)
        return out_of_memory(reader);
    source->file_count++;
    return 0;
}

static int add_file(struct reader *reader, const char *path)
{
    /* Not blocking: if it is a pipe, that is to be said, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char *text;
    size_t size;
    int result;

    if (fd < 0)
        return dg_fail(reader->error, "%s: cannot open the policy file: %s%s", path,
                       strerror(errno),
                       errno == ENOENT && reader->depth == 0
                           ? "; write one, or name yours (DISTGUARD_CONF, or the tool's --conf)"
                           : "");
    text = dg_policy_check_file(fd, path, "policy file", DG_FILE_PUBLIC, reader->error) == 0
               ? read_all(reader, fd, path, &size)
               : NULL;
    close(fd);
    if (text == NULL)
        return -1;
    result = remember_file(reader, path);
    if (result == 0)
        result = add_text(reader, text, size);
    free(text);
    return result;
}

/* libconfig would only say that the end of the file is wrong. */
static int check_end(const struct reader *reader)
{
    if (reader->state == IN_CODE)
        return 0;
    return dg_fail(reader->error, "%s:%u: a %s begins here and does not end; close it with %s",
                   reader->source->files[reader->began.file], reader->began.number,
                   reader->state == IN_STRING ? "text" : "comment",
                   reader->state == IN_STRING ? "\"" : "*/");
}

int dg_source_read(struct dg_source *source, const char *path, struct dg_error *error)
{
    struct reader reader = {.source = source, .state = IN_CODE, .error = error};

    memset(source, 0, sizeof *source);
    source->text = malloc(LARGEST_TEXT + 1);
    if (source->text == NULL)
        return out_of_memory(&reader);
    source->text[0] = '\0';
    if (add_file(&reader, path) == 0 && check_end(&reader) == 0)
        return 0;
    dg_source_free(source);
    return -1;
}

void dg_source_free(struct dg_source *source)
{
    for (size_t i = 0; i < source->file_count; i++)
        free(source->files[i]);
    free(source->files);
    free(source->lines);
    free(source->text);
    memset(source, 0, sizeof *source);
}

void dg_source_give_files(struct dg_source *source, struct dg_string_list *list)
{
    list->strings = source->files;
    list->count = source->file_count;
    source->files = NULL;
    source->file_count = 0;
}

/* libconfig names the line behind the last one where something is missing there. */
static const struct dg_source_line *origin_of(const struct dg_source *source, unsigned line)
{
    static const struct dg_source_line start = {.file = 0, .number = 1};

    if (source->line_count == 0 || line == 0)
        return &start;
    return &source->lines[line > source->line_count ? source->line_count - 1 : line - 1];
}

const char *dg_source_file(const struct dg_source *source, unsigned line)
{
    return source->files[origin_of(source, line)->file];
}

unsigned dg_source_line(const struct dg_source *source, unsigned line)
{
    return origin_of(source, line)->number;
}
