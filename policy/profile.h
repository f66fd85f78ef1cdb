/* One profile of a file: what it says, what it inherits, and what follows from that. */
#ifndef DISTGUARD_POLICY_PROFILE_H
#define DISTGUARD_POLICY_PROFILE_H

#include "policy/keys.h"
#include "policy/policy.h"

/* Makes the policy of `profile`, a member of the group `profiles`. Returns 0 and a policy that the
 * caller frees, whose places last as long as the document's source; or -1 with the reason in
 * `error`. */
int dg_profile_read(const struct dg_document *document, const config_setting_t *profiles,
                    config_setting_t *profile, struct dg_policy **policy, struct dg_error *error);

#endif
