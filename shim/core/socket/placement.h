/* Where on this host the policy wants listeners and sources: its words (loopback, an interface, a
 * network) turned into the host's own addresses, as they are now. */
#ifndef DISTGUARD_SOCKET_PLACEMENT_H
#define DISTGUARD_SOCKET_PLACEMENT_H

#include "policy/policy.h"

enum dg_placement {
    DG_PLACEMENT_FOUND,        /* one address */
    DG_PLACEMENT_ANY,          /* the wildcard, or for a source: the kernel chooses */
    DG_PLACEMENT_OTHER_FAMILY, /* no rule speaks for this family */
    DG_PLACEMENT_FAILED,       /* a rule does, and the host has no such address, or several */
};

/*
 * The address at which `rules` want a listener (or the source of a connection) of this family to
 * be: *host when FOUND. *rule is the rule that speaks for the family, or NULL. FAILED: `error`
 * names the rule and what the host has.
 *
 * Of an interface it is the first address that is not link-local. Asks the kernel (getifaddrs) at
 * each call.
 */
enum dg_placement dg_place_listener(const struct dg_bind_list *rules, enum dg_family family,
                                    struct dg_host *host, const struct dg_bind_rule **rule,
                                    struct dg_error *error);

/* Whether this is one of the host's own addresses. */
bool dg_place_is_own(const struct dg_host *host);

/* Whether `rules` let a program bind this explicit address: it is within what they designate, or
 * loopback, which is narrower than all of them. */
bool dg_place_permits(const struct dg_bind_list *rules, const struct dg_host *host);

/* Whether all rules can be placed on this host, and at least one family has a place. 0, or -1 with
 * `error`. */
int dg_place_check(const struct dg_bind_list *rules, const char *key, struct dg_error *error);

#endif
