/* The list of certificates, tests/certificates/list, as it stands in the file. */
#ifndef DISTGUARD_TESTS_CASES_H
#define DISTGUARD_TESTS_CASES_H

#include <stddef.h>

enum { CASE_KEYS = 16 };

/* [kind name], and what is said of it. */
struct case_entry {
    char *kind;
    char *name;
    struct {
        char *key;
        char *value;
    } pairs[CASE_KEYS];
    size_t count;
};

struct cases {
    char *text;
    struct case_entry *entries;
    size_t count;
};

/* Aborts where the file cannot be read, or a line of it is none, with its number. */
struct cases cases_read(const char *path);
void cases_free(struct cases *cases);

/* The entry that must be there. */
const struct case_entry *cases_find(const struct cases *cases, const char *name);

/* A key's value, or else `standard`. */
const char *case_get(const struct case_entry *entry, const char *key, const char *standard);

/* The next word of a list of words; NULL at its end. `list` moves on. `word` has room for `size`.
 */
const char *case_word(const char **list, char *word, size_t size);

#endif
