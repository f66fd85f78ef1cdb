/* Lines that a peer could have us write without end: each kind is logged once in a while, then
 * counted. */
#ifndef DISTGUARD_REPORT_REPEATS_H
#define DISTGUARD_REPORT_REPEATS_H

#include <stdbool.h>

enum { DG_REPEATS_PEER = 64, DG_REPEATS_REASON = 200, DG_REPEATS_MINUTE = 60 /* seconds */ };

/* What was left out of the log. */
struct dg_repeats_rest {
    char peer[DG_REPEATS_PEER];
    char reason[DG_REPEATS_REASON];
    unsigned count;
};

/*
 * Whether this is to be logged: it is the first of this peer for this reason since `window`
 * seconds. *unsaid: how many were left out since the last that was.
 */
bool dg_repeats_first(const char *peer, const char *reason, unsigned window, unsigned *unsaid);

/* A kind whose window has passed with some left out, which is then forgotten; false where there is
 * none. */
bool dg_repeats_overdue(struct dg_repeats_rest *rest);

/* In the child of a fork. */
void dg_repeats_forked(void);

#endif
