#include "tests/unit/support/cases.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 256 * 1024 };

static const char *const keys[] = {
    "why",     "subject", "issuer",  "signer",  "key",    "digest", "from",  "until",
    "san",     "basic",   "usage",   "purpose", "limits", "extra",  "twice", "keyid",
    "version", "chain",   "revokes", "anchors", "crls",   "own",    "peers", "names",
    "reason",  "alert",   "as",      "least",   "start",  "is",     "is-not"};

static void fail_line(const char *path, unsigned number, const char *what)
{
    (void)fprintf(stderr, "%s:%u: %s\n", path, number, what);
    abort();
}

static char *read_text(const char *path)
{
    char *text = calloc(1, TEXT_MAX);
    FILE *file = fopen(path, "r");

    if (text == NULL || file == NULL || fread(text, 1, TEXT_MAX - 1, file) == 0) {
        fail_line(path, 0, "cannot be read");
    } else {
        (void)fclose(file);
    }
    return text;
}

static bool is_key(const char *word)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* Both return false where the line is none of theirs. */

static bool take_head(struct cases *cases, char *line)
{
    char *space = strchr(line, ' ');
    char *end = strchr(line, ']');
    struct case_entry *entries;

    if (line[0] != '[' || space == NULL || end == NULL || end[1] != '\0') {
        return false;
    }
    *space = *end = '\0';
    entries = realloc(cases->entries, (cases->count + 1) * sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    cases->entries = entries;
    entries[cases->count++] = (struct case_entry){.kind = line + 1, .name = space + 1};
    return true;
}

static bool take_pair(struct cases *cases, char *line)
{
    struct case_entry *entry = cases->count > 0 ? &cases->entries[cases->count - 1] : NULL;
    size_t size = strcspn(line, " ");
    char *equals = strstr(line, "= ");

    if (entry == NULL || entry->count == CASE_KEYS || equals == NULL) {
        return false;
    }
    line[size] = '\0';
    entry->pairs[entry->count].key = line;
    entry->pairs[entry->count++].value = equals + 2;
    return is_key(line);
}

struct cases cases_read(const char *path)
{
    struct cases cases = {.text = read_text(path)};
    unsigned number = 0;

    for (char *line = cases.text, *next; *line != '\0'; line = next) {
        size_t size = strcspn(line, "\n");

        number++;
        next = line + size + (line[size] == '\n' ? 1 : 0);
        line[size] = '\0';
        if (line[0] != '\0' && line[0] != '#' && !take_head(&cases, line) &&
            !take_pair(&cases, line)) {
            fail_line(path, number, "neither [kind name] nor a known key = value");
        }
    }
    return cases;
}

void cases_free(struct cases *cases)
{
    free(cases->entries);
    free(cases->text);
    *cases = (struct cases){.count = 0};
}

const struct case_entry *cases_find(const struct cases *cases, const char *name)
{
    for (size_t i = 0; i < cases->count; i++) {
        if (strcmp(cases->entries[i].name, name) == 0) {
            return &cases->entries[i];
        }
    }
    (void)fprintf(stderr, "no entry %s\n", name);
    abort();
}

const char *case_get(const struct case_entry *entry, const char *key, const char *standard)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (strcmp(entry->pairs[i].key, key) == 0) {
            return entry->pairs[i].value;
        }
    }
    return standard;
}

const char *case_word(const char **list, char *word, size_t size)
{
    size_t length;

    *list += strspn(*list, " ");
    length = strcspn(*list, " ");
    if (length == 0 || length >= size) {
        return NULL;
    }
    memcpy(word, *list, length);
    word[length] = '\0';
    *list += length;
    return word;
}
