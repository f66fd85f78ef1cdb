/* inherit = "other": a profile says only what is different from another one. */
#ifndef DISTGUARD_POLICY_INHERIT_H
#define DISTGUARD_POLICY_INHERIT_H

#include "policy/keys.h"

/* The profile, the one that it inherits from, and so on. Returns 0 and a chain to be freed with
 * dg_inherit_free(), or -1 with the reason in `error`: no such profile, or a circle. */
int dg_inherit_chain(const struct dg_document *document, const config_setting_t *profiles,
                     config_setting_t *profile, struct dg_chain *chain, struct dg_error *error);
void dg_inherit_free(struct dg_chain *chain);

#endif
