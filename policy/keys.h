/*
 * The keys of a configuration as a table: reading, defaults, messages and the search for misspelt
 * keys all follow from its rows. A new key is one row, and a parser function if its type is new.
 */
#ifndef DISTGUARD_POLICY_KEYS_H
#define DISTGUARD_POLICY_KEYS_H

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>

#include "policy/error.h"
#include "policy/source.h"
#include "policy/words.h"

struct dg_key;

/* What is wrong with a value. The reader adds file, line, the key's name before it and what is
 * allowed after it. */
struct dg_problem {
    const config_setting_t *at; /* the setting, or the element of it, that is to blame */
    struct dg_error what;
};

/* Puts the setting's value into `target`. Returns 0, or -1 with the reason in `problem`. */
typedef int dg_key_parser(const struct dg_key *key, const config_setting_t *setting, void *target,
                          struct dg_problem *problem);

struct dg_key {
    const char *path; /* "tls.certificate"; the keys of one group stand together */
    dg_key_parser *parse;
    size_t offset;        /* of the target, in the struct that is filled */
    const char *standard; /* the default, as one would write it; NULL: the target stays zero */
    bool required;
    const struct dg_word *words; /* for dg_parse_word */
    double low, high;            /* for numbers, inclusive */
    const char *allowed;         /* for messages; NULL: the words */
};

/* A configuration file that has been parsed. */
struct dg_document {
    const struct dg_source *source;
    config_t config;
};

/*
 * Fills the struct at `into`, which is all zero, from `group` and the defaults. `keys` ends with a
 * row whose path is NULL; `prefix` is what to put before the keys' names in messages, with its dot.
 *
 * Returns 0, or -1 with the reason in `error`; what has been filled in by then is the caller's to
 * free.
 */
int dg_keys_read(const struct dg_key *keys, const char *prefix, const struct dg_document *document,
                 config_setting_t *group, void *into, struct dg_error *error);

#endif
