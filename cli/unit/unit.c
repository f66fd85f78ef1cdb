#include "cli/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/message.h"
#include "cli/wording.h"

#define ETC "/etc/systemd/system"
#define OUR_DROP_IN "50-distguard.conf"

/* As systemd.unit(5) has them, the first that has a file of a name counts. */
static const char *const folders[] = {
    ETC,
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
};
enum { FOLDER_COUNT = sizeof folders / sizeof folders[0] };

char *dg_unit_drop_in(const char *root, const char *name)
{
    return dg_word("%s" ETC "/%s.d/" OUR_DROP_IN, root, name);
}

/* --- one file --- */

struct reading {
    struct dg_unit *unit;
    char *section;
    unsigned line;
};

static char *trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
        *--end = '\0';
    return text + strspn(text, " \t\r\n");
}

static void *grow(void *list, size_t count, size_t size)
{
    void *grown = reallocarray(list, count + 1, size);

    if (grown == NULL) {
        dg_complain("out of memory");
        exit(EXIT_FAILURE);
    }
    return grown;
}

static void take_setting(struct reading *reading, char *text)
{
    struct dg_unit *unit = reading->unit;
    char *equals = strchr(text, '=');

    if (equals == NULL || reading->section == NULL)
        return;
    *equals = '\0';
    unit->settings = grow(unit->settings, unit->count, sizeof *unit->settings);
    unit->settings[unit->count++] = (struct dg_unit_setting){
        .section = dg_word("%s", reading->section),
        .key = dg_word("%s", trim(text)),
        .value = dg_word("%s", trim(equals + 1)),
        .file = unit->file_count - 1,
        .line = reading->line,
    };
}

static void take_line(struct reading *reading, char *text)
{
    size_t size = strlen(text);

    if (text[0] == '[' && text[size - 1] == ']') {
        free(reading->section);
        text[size - 1] = '\0';
        reading->section = dg_word("%s", text + 1);
    } else {
        take_setting(reading, text);
    }
}

/* A backslash at the end continues a line, over comments in between. */
static void read_lines(struct reading *reading, FILE *file)
{
    char *whole = dg_word("%s", "");
    char *line = NULL;
    size_t size = 0;

    for (unsigned number = 1; getline(&line, &size, file) > 0; number++) {
        char *text = trim(line);
        size_t length = strlen(text);
        bool more = length > 0 && text[length - 1] == '\\';
        char *longer;

        if (text[0] == '#' || text[0] == ';')
            continue;
        if (more)
            text[length - 1] = ' ';
        if (whole[0] == '\0')
            reading->line = number;
        longer = dg_word("%s%s", whole, text);
        free(whole);
        whole = longer;
        if (more)
            continue;
        if (whole[0] != '\0')
            take_line(reading, whole);
        whole[0] = '\0';
    }
    free(whole);
    free(line);
}

static int read_file(struct dg_unit *unit, const char *root, const char *path,
                     struct dg_error *error)
{
    struct reading reading = {.unit = unit};
    char *real = dg_word("%s%s", root, path);
    FILE *file = fopen(real, "re");

    free(real);
    if (file == NULL)
        return dg_fail(error, "%s cannot be read: %s", path, strerror(errno));
    unit->files = grow(unit->files, unit->file_count, sizeof *unit->files);
    unit->files[unit->file_count++] = dg_word("%s", path);
    read_lines(&reading, file);
    free(reading.section);
    (void)fclose(file);
    return 0;
}

/* --- which files --- */

/* "web@.service" for "web@1.service"; NULL where it is no instance. */
static char *template_of(const char *name)
{
    const char *at = strchr(name, '@');
    const char *suffix = strrchr(name, '.');

    if (at == NULL || suffix == NULL || suffix < at + 2)
        return NULL;
    return dg_word("%.*s%s", (int)(at - name + 1), name, suffix);
}

/* Returns the path below the root; NULL where there is none. */
static char *find_fragment(const char *root, const char *name)
{
    struct stat status;

    for (size_t i = 0; i < FOLDER_COUNT; i++) {
        char *real = dg_word("%s%s/%s", root, folders[i], name);
        bool there = lstat(real, &status) == 0;

        free(real);
        if (there)
            return dg_word("%s/%s", folders[i], name);
    }
    return NULL;
}

struct drop_ins {
    char **paths; /* below the root */
    size_t count;
};

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static bool has(const struct drop_ins *drop_ins, const char *name)
{
    for (size_t i = 0; i < drop_ins->count; i++)
        if (strcmp(base_name(drop_ins->paths[i]), name) == 0)
            return true;
    return false;
}

/* The first of a name counts; ours is not looked at: it is what is about to change. */
static void add_drop_ins(struct drop_ins *drop_ins, const char *root, const char *unit)
{
    for (size_t i = 0; i < FOLDER_COUNT; i++) {
        char *real = dg_word("%s%s/%s.d", root, folders[i], unit);
        DIR *folder = opendir(real);
        struct dirent *entry;

        free(real);
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            const char *suffix = strrchr(entry->d_name, '.');

            if (suffix == NULL || strcmp(suffix, ".conf") != 0 ||
                strcmp(entry->d_name, OUR_DROP_IN) == 0 || has(drop_ins, entry->d_name))
                continue;
            drop_ins->paths = grow(drop_ins->paths, drop_ins->count, sizeof *drop_ins->paths);
            drop_ins->paths[drop_ins->count++] =
                dg_word("%s/%s.d/%s", folders[i], unit, entry->d_name);
        }
        if (folder != NULL)
            (void)closedir(folder);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

/* From what is the unit's own to what is every unit's: "a-b.service.d", "a-.service.d",
 * "service.d". */
static void find_drop_ins(struct drop_ins *drop_ins, const char *root, const char *name)
{
    const char *suffix = strrchr(name, '.');
    char *template = template_of(name);

    add_drop_ins(drop_ins, root, name);
    if (template != NULL)
        add_drop_ins(drop_ins, root, template);
    for (const char *c = suffix; c > name; c--) {
        if (*c == '-' && c + 1 < suffix) {
            char *wider = dg_word("%.*s%s", (int)(c + 1 - name), name, suffix);

            add_drop_ins(drop_ins, root, wider);
            free(wider);
        }
    }
    add_drop_ins(drop_ins, root, suffix + 1);
    free(template);
    if (drop_ins->count > 0)
        qsort(drop_ins->paths, drop_ins->count, sizeof *drop_ins->paths, by_name);
}

/* --- the whole --- */

static int check_fragment(const char *root, const char *path, struct dg_error *error)
{
    char *real = dg_word("%s%s", root, path);
    struct stat status;
    char target[sizeof "/dev/null"] = "";
    int result = 0;

    if (readlink(real, target, sizeof target - 1) > 0 && strcmp(target, "/dev/null") == 0)
        result = dg_fail(
            error, "%s is masked (a link to /dev/null): it cannot start; unmask it first", path);
    else if (stat(real, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
        result = dg_fail(error, "%s is masked (empty): it cannot start; unmask it first", path);
    free(real);
    return result;
}

static int read_all(struct dg_unit *unit, const char *root, const char *fragment,
                    struct dg_error *error)
{
    struct drop_ins drop_ins = {.count = 0};
    int result;

    if (check_fragment(root, fragment, error) != 0)
        return -1;
    result = read_file(unit, root, fragment, error);
    find_drop_ins(&drop_ins, root, unit->name);
    for (size_t i = 0; i < drop_ins.count; i++) {
        if (result == 0)
            result = read_file(unit, root, drop_ins.paths[i], error);
        free(drop_ins.paths[i]);
    }
    free(drop_ins.paths);
    return result;
}

int dg_unit_read(struct dg_unit *unit, const char *root, const char *name, struct dg_error *error)
{
    char *fragment = find_fragment(root, name);
    char *template = template_of(name);
    int result;

    *unit = (struct dg_unit){.name = dg_word("%s", name)};
    if (fragment == NULL && template != NULL)
        fragment = find_fragment(root, template);
    free(template);
    if (fragment == NULL) {
        (void)dg_fail(error,
                      "there is no %s in %s" ETC ", %s/usr/lib/systemd/system or their like; "
                      "`systemctl list-units` has the names",
                      name, root, root);
        return 0;
    }
    result = read_all(unit, root, fragment, error);
    free(fragment);
    return result == 0 ? 1 : -1;
}

void dg_unit_free(struct dg_unit *unit)
{
    for (size_t i = 0; i < unit->count; i++) {
        free(unit->settings[i].section);
        free(unit->settings[i].key);
        free(unit->settings[i].value);
    }
    for (size_t i = 0; i < unit->file_count; i++)
        free(unit->files[i]);
    free(unit->settings);
    free(unit->files);
    free(unit->name);
    *unit = (struct dg_unit){.count = 0};
}

/* --- questions --- */

static bool is(const struct dg_unit_setting *setting, const char *section, const char *key)
{
    return strcmp(setting->section, section) == 0 && strcmp(setting->key, key) == 0;
}

const char *dg_unit_value(const struct dg_unit *unit, const char *section, const char *key)
{
    for (size_t i = unit->count; i-- > 0;) {
        if (is(&unit->settings[i], section, key))
            return unit->settings[i].value[0] != '\0' ? unit->settings[i].value : NULL;
    }
    return NULL;
}

bool dg_unit_is_on(const struct dg_unit *unit, const char *section, const char *key)
{
    static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};
    const char *value = dg_unit_value(unit, section, key);

    for (size_t i = 0; value != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

const struct dg_unit_setting *dg_unit_next(const struct dg_unit *unit, const char *section,
                                           const char *key, size_t *at)
{
    size_t first = *at;

    for (size_t i = *at; i < unit->count; i++) {
        if (is(&unit->settings[i], section, key) && unit->settings[i].value[0] == '\0')
            first = i + 1;
    }
    for (size_t i = first; i < unit->count; i++) {
        if (is(&unit->settings[i], section, key)) {
            *at = i + 1;
            return &unit->settings[i];
        }
    }
    return NULL;
}

char *dg_unit_place(const struct dg_unit *unit, const struct dg_unit_setting *setting)
{
    return dg_word("%s:%u", unit->files[setting->file], setting->line);
}

char *dg_unit_word(const char **rest)
{
    const char *from = *rest + strspn(*rest, " \t");
    char *word = dg_word("%s", from);
    char *to = word;
    char quote = '\0';

    if (*from == '\0') {
        free(word);
        return NULL;
    }
    for (; *from != '\0' && (quote != '\0' || strchr(" \t", *from) == NULL); from++) {
        if (*from == quote) {
            quote = '\0';
        } else if (quote == '\0' && (*from == '"' || *from == '\'')) {
            quote = *from;
        } else {
            if ((*from == '\\' || *from == '%') && from[1] == *from)
                from++;
            *to++ = *from;
        }
    }
    *to = '\0';
    *rest = from;
    return word;
}
