/* Which certificates an entry of `peers` means. Pure. */
#ifndef DISTGUARD_POLICY_PEERS_H
#define DISTGUARD_POLICY_PEERS_H

#include "policy/identity.h"

/* Whether a certificate has all that the entry names. */
bool dg_peer_rule_matches(const struct dg_peer_rule *rule, const struct dg_identity *identity);

/* Whether every certificate that `narrow` matches is known to match `wide`, too. */
bool dg_peer_rule_covers(const struct dg_peer_rule *wide, const struct dg_peer_rule *narrow);

#endif
