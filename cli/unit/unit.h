/*
 * A systemd unit as its files say, drop-ins included: read from the standard folders, so that it
 * can be told where no systemd runs, and for a tree that is not this host's.
 */
#ifndef DISTGUARD_CLI_UNIT_UNIT_H
#define DISTGUARD_CLI_UNIT_UNIT_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/error.h"

struct dg_unit_setting {
    char *section;
    char *key;
    char *value;
    size_t file; /* index into files */
    unsigned line;
};

struct dg_unit {
    char *name; /* "rabbitmq-server.service" */
    struct dg_unit_setting *settings;
    size_t count;
    char **files; /* the unit's own first; without the tree's root in front */
    size_t file_count;
};

/* Where a unit's own drop-in stands, in the tree: /etc/systemd/system/NAME.d/50-distguard.conf. To
 * be freed. */
char *dg_unit_drop_in(const char *root, const char *name);

/*
 * Reads a unit from the tree at `root` ("" for this host), without the drop-in of our own. Returns
 * 1, or 0 where there is no such unit, or -1; `error` has the reason for both.
 */
int dg_unit_read(struct dg_unit *unit, const char *root, const char *name, struct dg_error *error);
void dg_unit_free(struct dg_unit *unit);

/* The last word on a setting; NULL where it is not set, or set to nothing. */
const char *dg_unit_value(const struct dg_unit *unit, const char *section, const char *key);
bool dg_unit_is_on(const struct dg_unit *unit, const char *section, const char *key);

/* The assignments of a setting that is a list, one after the other, from *at = 0 on; NULL at the
 * end. An empty one takes back those before it. */
const struct dg_unit_setting *dg_unit_next(const struct dg_unit *unit, const char *section,
                                           const char *key, size_t *at);

/* "FILE:LINE". To be freed. */
char *dg_unit_place(const struct dg_unit *unit, const struct dg_unit_setting *setting);

/* The next word of a value, without its quotes. To be freed; NULL at the end. */
char *dg_unit_word(const char **rest);

#endif
