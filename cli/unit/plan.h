/* What `distguard enable` has in mind for a unit, and whether it can work. */
#ifndef DISTGUARD_CLI_UNIT_PLAN_H
#define DISTGUARD_CLI_UNIT_PLAN_H

#include "cli/library.h"
#include "cli/unit/unit.h"
#include "policy/policy.h"

struct dg_plan {
    const char *root;    /* of the tree; "" for this host */
    const char *conf;    /* the policy, absolute, below the root */
    const char *profile; /* NULL: the policy's own */
    const struct dg_unit *unit;
    const struct dg_policy *policy;
    struct dg_library library; /* its path is below the root */
};

/* Looks at what the unit's settings do to the library and its files. 0, or -1 with the reason and
 * the remedy in `error`. */
int dg_plan_examine(const struct dg_plan *plan, struct dg_error *error);

/* The families to add where the unit's RestrictAddressFamilies= lacks what the library needs; ""
 * where it lacks none. To be freed. */
char *dg_plan_families(const struct dg_plan *plan);

/* The value of LD_PRELOAD that the unit sets so far, or "". To be freed. */
char *dg_plan_preload(const struct dg_unit *unit);

/*
 * Does, in a child that becomes the unit's user in the unit's tree, what the loader and the library
 * will do: reads the library, the policy, the certificates and the key, and looks at the programs.
 * 0, or -1 with the reason in `error`; *tried is false where this takes root, which we are not.
 */
int dg_plan_rehearse(const struct dg_plan *plan, bool *tried, struct dg_error *error);

#endif
