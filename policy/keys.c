#include "policy/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/suggest.h"

#define TEXT_SIZE 512

struct reader {
    const struct dg_key *keys;
    const struct dg_document *document;
    const struct dg_chain *chain;
    void *into;
    struct dg_error *error;
};

/* Lists for messages; what does not fit is left out. */
struct text {
    char bytes[TEXT_SIZE];
    size_t used;
};

static void text_add(struct text *text, const char *separator, const char *quote, const char *item,
                     size_t size)
{
    int length = snprintf(text->bytes + text->used, sizeof text->bytes - text->used, "%s%s%.*s%s",
                          text->used == 0 ? "" : separator, quote, (int)size, item, quote);

    if (length > 0 && (size_t)length < sizeof text->bytes - text->used)
        text->used += (size_t)length;
    else
        text->bytes[text->used] = '\0';
}

/* The names of the groups that lead to this one, each with a dot behind it; the members of a list
 * have a number for a name: "profiles.p.peers[0].". */
static void prefix_of(const config_setting_t *group, struct text *prefix)
{
    const config_setting_t *parent = config_setting_parent(group);
    const char *name = config_setting_name(group);
    char member[TEXT_SIZE];

    if (config_setting_is_root(group))
        return;
    if (name == NULL) {
        (void)snprintf(member, sizeof member, "%s[%d]", config_setting_name(parent),
                       config_setting_index(group));
        parent = config_setting_parent(parent);
        name = member;
    }
    prefix_of(parent, prefix);
    text_add(prefix, "", "", name, strlen(name));
    text_add(prefix, "", "", ".", 1);
}

int dg_key_fail(const struct dg_document *document, const config_setting_t *group,
                const config_setting_t *setting, const char *path, const char *what,
                struct dg_error *error)
{
    unsigned line = config_setting_source_line(setting);
    struct text prefix = {.used = 0};

    prefix_of(group, &prefix);
    return dg_fail(error, "%s:%u: %s%s: %s", dg_source_file(document->source, line),
                   dg_source_line(document->source, line), prefix.bytes, path, what);
}

/* In the first group of the chain. */
static int fail_at(const struct reader *reader, const config_setting_t *setting, const char *path,
                   const char *what)
{
    return dg_key_fail(reader->document, reader->chain->groups[0], setting, path, what,
                       reader->error);
}

static void allowed_text(const struct dg_key *key, struct text *text)
{
    text->used = 0;
    text->bytes[0] = '\0';
    if (key->allowed != NULL) {
        text_add(text, "", "", key->allowed, strlen(key->allowed));
        return;
    }
    for (const struct dg_word *word = key->words; word->name != NULL; word++)
        text_add(text, ", ", "\"", word->name, strlen(word->name));
}

static int fail_key(const struct reader *reader, const struct dg_key *key,
                    const config_setting_t *group, const config_setting_t *setting,
                    const char *what)
{
    struct dg_error sentence;
    struct text allowed;

    allowed_text(key, &allowed);
    dg_fail(&sentence, "%s; allowed: %s", what, allowed.bytes);
    return dg_key_fail(reader->document, group, setting, key->path, sentence.text, reader->error);
}

static int parse(const struct reader *reader, const struct dg_key *key,
                 const config_setting_t *group, const config_setting_t *setting)
{
    struct dg_reading reading = {.document = reader->document, .at = setting};
    char *into = reader->into;

    if (key->parse(key, setting, into + key->offset, &reading) != 0)
        return reading.complete ? dg_fail(reader->error, "%s", reading.what.text)
                                : fail_key(reader, key, group, reading.at, reading.what.text);
    if (key->place != 0) {
        struct dg_place place = dg_place_of(&reading, setting);

        memcpy(into + key->place, &place, sizeof place);
    }
    return 0;
}

/* A default goes the way of a value in the file: there is one parser for both. */
static int parse_standard(const struct reader *reader, const struct dg_key *key)
{
    struct dg_reading reading = {.document = NULL};
    config_t config;
    char *text;
    int result = -1;

    if (asprintf(&text, "standard = %s;", key->standard) < 0)
        return dg_fail(reader->error, "out of memory while reading the policy");
    config_init(&config);
    if (config_read_string(&config, text))
        result = key->parse(key, config_lookup(&config, "standard"),
                            (char *)reader->into + key->offset, &reading);
    if (result != 0)
        dg_fail(reader->error, "the default of %s cannot be used: %s %s", key->path, key->standard,
                reading.what.text);
    config_destroy(&config);
    free(text);
    return result;
}

static int read_key(const struct reader *reader, const struct dg_key *key)
{
    const struct dg_chain *chain = reader->chain;

    for (size_t i = 0; i < chain->count; i++) {
        const config_setting_t *setting = config_setting_lookup(chain->groups[i], key->path);

        if (setting != NULL)
            return parse(reader, key, chain->groups[i], setting);
    }
    if (key->required)
        return fail_key(reader, key, chain->groups[0], chain->groups[0], "missing");
    return key->standard == NULL ? 0 : parse_standard(reader, key);
}

/* The part of a key's path that names a member of the group `path` (with its dot, or ""); 0 if it
 * is not in there. */
static size_t member_of(const struct dg_key *key, const char *path, const char **name)
{
    size_t length = strlen(path);

    if (strncmp(key->path, path, length) != 0)
        return 0;
    *name = key->path + length;
    return strcspn(*name, ".");
}

/* Calls `each` for every name that is allowed in a group, of keys and of groups, each once. */
static void for_members(const struct reader *reader, const char *path,
                        void (*each)(void *state, const char *name, size_t size), void *state)
{
    const char *before = "";
    size_t before_size = 0;

    for (const struct dg_key *key = reader->keys; key->path != NULL; key++) {
        const char *name;
        size_t size = member_of(key, path, &name);

        if (size == 0 || (size == before_size && memcmp(name, before, size) == 0))
            continue;
        each(state, name, size);
        before = name;
        before_size = size;
    }
}

static void list_member(void *state, const char *name, size_t size)
{
    text_add(state, ", ", "", name, size);
}

struct search {
    struct dg_suggestion suggestion;
    char best[TEXT_SIZE]; /* members are parts of paths, so the best one is kept here */
};

static void consider_member(void *state, const char *name, size_t size)
{
    struct search *search = state;
    char candidate[TEXT_SIZE];

    (void)snprintf(candidate, sizeof candidate, "%.*s", (int)size, name);
    dg_suggest_candidate(&search->suggestion, candidate);
    if (search->suggestion.best == candidate) {
        memcpy(search->best, candidate, sizeof candidate);
        search->suggestion.best = search->best;
    }
}

/* The right name in the wrong group. */
static const char *key_elsewhere(const struct reader *reader, const char *name)
{
    for (const struct dg_key *key = reader->keys; key->path != NULL; key++) {
        const char *dot = strrchr(key->path, '.');

        if (strcmp(dot == NULL ? key->path : dot + 1, name) == 0)
            return key->path;
    }
    return NULL;
}

static int fail_unknown(const struct reader *reader, const config_setting_t *setting,
                        const char *group, const char *path)
{
    const char *name = config_setting_name(setting), *nearest;
    struct text allowed = {.used = 0};
    struct dg_error sentence;
    struct search search;

    dg_suggest_start(&search.suggestion, name);
    for_members(reader, group, consider_member, &search);
    for_members(reader, group, list_member, &allowed);
    nearest = search.suggestion.best;
    if (nearest == NULL)
        nearest = key_elsewhere(reader, name);
    if (nearest == NULL)
        dg_fail(&sentence, "unknown key; allowed here: %s", allowed.bytes);
    else
        dg_fail(&sentence, "unknown key (did you mean %s?); allowed here: %s", nearest,
                allowed.bytes);
    return fail_at(reader, setting, path, sentence.text);
}

static bool is_key(const struct reader *reader, const char *path)
{
    for (const struct dg_key *key = reader->keys; key->path != NULL; key++)
        if (strcmp(key->path, path) == 0)
            return true;
    return false;
}

static bool is_group(const struct reader *reader, const char *path_with_dot)
{
    for (const struct dg_key *key = reader->keys; key->path != NULL; key++)
        if (strncmp(key->path, path_with_dot, strlen(path_with_dot)) == 0)
            return true;
    return false;
}

static int check_names(const struct reader *reader, const config_setting_t *group,
                       const char *path);

static int check_name(const struct reader *reader, const config_setting_t *setting,
                      const char *group)
{
    char path[TEXT_SIZE], inner[TEXT_SIZE + 1];
    struct dg_error sentence;
    struct text allowed = {.used = 0};

    (void)snprintf(path, sizeof path, "%s%s", group, config_setting_name(setting));
    (void)snprintf(inner, sizeof inner, "%s.", path);
    if (is_key(reader, path))
        return 0;
    if (!is_group(reader, inner))
        return fail_unknown(reader, setting, group, path);
    if (config_setting_is_group(setting))
        return check_names(reader, setting, inner);
    for_members(reader, inner, list_member, &allowed);
    dg_fail(&sentence, "not a group; write %s: { … } with any of: %s", config_setting_name(setting),
            allowed.bytes);
    return fail_at(reader, setting, path, sentence.text);
}

static int check_names(const struct reader *reader, const config_setting_t *group, const char *path)
{
    for (int i = 0; i < config_setting_length(group); i++)
        if (check_name(reader, config_setting_get_elem(group, (unsigned)i), path) != 0)
            return -1;
    return 0;
}

int dg_keys_read(const struct dg_key *keys, const struct dg_document *document,
                 const struct dg_chain *chain, void *into, struct dg_error *error)
{
    const struct reader reader = {keys, document, chain, into, error};

    for (const struct dg_key *key = keys; key->path != NULL; key++)
        if (read_key(&reader, key) != 0)
            return -1;
    return check_names(&reader, chain->groups[0], "");
}
