/* What of a new policy cannot count while the program runs. */
#ifndef DISTGUARD_POLICY_CHANGES_H
#define DISTGUARD_POLICY_CHANGES_H

#include "policy/policy.h"

enum { DG_CHANGES_SIZE = 160 };

/* The keys that differ and that the program asks for only at its start, as "programs, epmd.port";
 * "" where there are none. */
void dg_policy_changes_for_later(const struct dg_policy *before, const struct dg_policy *after,
                                 char keys[DG_CHANGES_SIZE]);

#endif
