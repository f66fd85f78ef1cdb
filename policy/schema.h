/* The keys that shim.conf may hold. */
#ifndef DISTGUARD_POLICY_SCHEMA_H
#define DISTGUARD_POLICY_SCHEMA_H

#include "policy/keys.h"

#define DG_SCHEMA_VERSION 1

/* The file itself. */
struct dg_schema_top {
    unsigned version;
    char *default_profile;            /* NULL: not given */
    const config_setting_t *profiles; /* a group that holds at least one group */
};

extern const struct dg_key dg_schema_top[];     /* fill a struct dg_schema_top */
extern const struct dg_key dg_schema_profile[]; /* fill a struct dg_policy */
extern const struct dg_key dg_schema_peer[];    /* fill a struct dg_peer_rule */

#endif
