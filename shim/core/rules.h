/*
 * What counts now: one policy and the credentials that it names, immutable, counted, swapped whole.
 *
 * Each socket holds the rules under which it came to be, so that all decisions about a connection
 * are made by one policy, and those of running connections do not change when a file does.
 */
#ifndef DISTGUARD_CORE_RULES_H
#define DISTGUARD_CORE_RULES_H

#include <stdatomic.h>

#include "policy/policy.h"
#include "shim/core/tls/credentials.h"

struct dg_rules {
    const struct dg_policy *policy;
    struct dg_credentials *credentials; /* NULL where the policy's mode is off */
    unsigned generation;                /* 1 at the start, one more with each reload */
    atomic_uint holders;
};

/*
 * Reads the policy as the environment says (DISTGUARD_CONF, DISTGUARD_PROFILE) and publishes it,
 * its credentials still to come: dg_rules_start() gives it those. For the start of the process,
 * before there are other threads. Returns 0, or -1 with the reason in `error`.
 */
int dg_rules_read(struct dg_error *error);
int dg_rules_start(struct dg_error *error);

/* The rules that count now, to be given back. NULL before dg_rules_read(). */
const struct dg_rules *dg_rules_hold(void);
void dg_rules_release(const struct dg_rules *rules);

/* Nothing counts any more: the program is not to be guarded. */
void dg_rules_drop(void);

/* What counts now instead of `*rules`, which is given back. */
void dg_rules_refresh(const struct dg_rules **rules);

/*
 * Called as connections are made: looks, at most once a second, whether a file of the policy or of
 * the credentials has changed, and if so reads all anew and publishes it. Where that fails the
 * rules stay as they are and the log says why. Changes neither errno nor OpenSSL's error queue.
 */
void dg_rules_renew(void);

/* No more looking: waits a moment for who is at it. */
void dg_rules_stop(void);

/* In the child of a fork, whose parent may have held the lock. */
void dg_rules_forked(void);

#endif
