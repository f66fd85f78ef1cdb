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
#include "policy/reading.h"
#include "policy/words.h"

struct dg_key;

/* Puts the setting's value into `target`. Returns 0, or -1 with the reason in `reading`. */
typedef int dg_key_parser(const struct dg_key *key, const config_setting_t *setting, void *target,
                          struct dg_reading *reading);

struct dg_key {
    const char *path; /* "tls.certificate"; the keys of one group stand together */
    dg_key_parser *parse;
    size_t offset;        /* of the target, in the struct that is filled */
    size_t place;         /* of the struct dg_place for where it stands; 0: nobody asks */
    const char *standard; /* the default, as one would write it; NULL: the target stays zero */
    bool required;
    const struct dg_word *words; /* for dg_parse_word */
    double low, high;            /* for numbers, inclusive */
    const char *allowed;         /* for messages; NULL: the words */
};

/* The groups in which a key is looked up: the first that has it counts. The others are what the
 * first one inherits from. */
struct dg_chain {
    config_setting_t **groups; /* at least one */
    size_t count;
};

/*
 * Fills the struct at `into`, which is all zero, from the chain and the defaults. `keys` ends with
 * a row whose path is NULL. Unknown names are looked for in the first group alone.
 *
 * Returns 0, or -1 with the reason in `error`; what has been filled in by then is the caller's to
 * free.
 */
int dg_keys_read(const struct dg_key *keys, const struct dg_document *document,
                 const struct dg_chain *chain, void *into, struct dg_error *error);

/* "FILE:LINE: profiles.p.tls.ca: WHAT" into `error`, where `path` is "tls.ca" and `group` the
 * profile p. Returns -1. */
int dg_key_fail(const struct dg_document *document, const config_setting_t *group,
                const config_setting_t *setting, const char *path, const char *what,
                struct dg_error *error);

#endif
