/* The lists that a policy holds: copied deeply, freed. */
#ifndef DISTGUARD_POLICY_LISTS_H
#define DISTGUARD_POLICY_LISTS_H

#include "policy/policy.h"

/* Into an empty list. Return 0, or -1 where memory is short; the list can be freed either way.
 * Places are not copied: they are the policy's. */
int dg_bind_list_append(struct dg_bind_list *list, const struct dg_bind_rule *rule);
int dg_bind_list_copy(struct dg_bind_list *list, const struct dg_bind_list *from);
int dg_network_list_copy(struct dg_network_list *list, const struct dg_network_list *from);
int dg_string_list_append(struct dg_string_list *list, const char *string);

void dg_bind_list_free(struct dg_bind_list *list);
void dg_network_list_free(struct dg_network_list *list);
void dg_string_list_free(struct dg_string_list *list);
void dg_peer_list_free(struct dg_peer_list *list);

#endif
