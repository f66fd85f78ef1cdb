/* One value of a configuration while it is read: where it stands, and what is wrong with it. */
#ifndef DISTGUARD_POLICY_READING_H
#define DISTGUARD_POLICY_READING_H

#include <libconfig.h>
#include <stdbool.h>

#include "policy/error.h"
#include "policy/policy.h"
#include "policy/source.h"

/* A configuration file that has been parsed. */
struct dg_document {
    const struct dg_source *source;
    config_t config;
};

struct dg_reading {
    const struct dg_document *document; /* NULL: a default, which stands nowhere */
    const config_setting_t *at;         /* the setting, or the element of it, that is to blame */
    bool complete; /* `what` is the whole message: it says where and what is allowed, too */
    struct dg_error what;
};

/* Says what is wrong with the setting. The reader adds file, line and the key's name before it, and
 * what is allowed after it. Returns -1. */
int dg_wrong(struct dg_reading *reading, const config_setting_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int dg_wrong_type(struct dg_reading *reading, const config_setting_t *setting);

bool dg_is_whole(const config_setting_t *setting);
bool dg_is_sequence(const config_setting_t *setting); /* an array or a list */

/* The text, or NULL where it is none: then that is said to be wrong. */
const char *dg_text_of(const config_setting_t *setting, struct dg_reading *reading);

/* A new string into `target`. Returns 0, or -1 where memory is short, which is then said. */
int dg_copy_text(const char *text, char **target, const config_setting_t *setting,
                 struct dg_reading *reading);

/* Valid as long as the source, or who takes over its files. */
struct dg_place dg_place_of(const struct dg_reading *reading, const config_setting_t *setting);

#endif
