/* When what a node relies on ends, and when to say so. Pure: no clock, no files. */
#ifndef DISTGUARD_TLS_EXPIRY_H
#define DISTGUARD_TLS_EXPIRY_H

#include <time.h>

enum dg_expiry_kind {
    DG_EXPIRY_CERTIFICATE, /* of our own, or an intermediate one behind it */
    DG_EXPIRY_ANCHOR,
    DG_EXPIRY_CRL,
};

struct dg_expiry {
    enum dg_expiry_kind kind;
    const char *file; /* the policy's */
    char name[128];   /* a certificate's names or subject, a CRL's issuer */
    time_t begins;
    time_t ends; /* of a CRL: the time of its nextUpdate */
};

/* As the log has it: "certificate", "anchor", "crl" */
const char *dg_expiry_kind_name(enum dg_expiry_kind kind);

enum { DG_EXPIRY_SILENT = -1 };

/*
 * What is to be said at `now`, where `then` was the last time of asking (0: never): 30, 7 or 1, the
 * days within which it ends, 0 once it has ended, each only once; else DG_EXPIRY_SILENT. Where
 * several are reached at once the last counts. Days that are no less than its whole lifetime are
 * passed over, so that a CRL of one day is not warned of from its first minute.
 */
int dg_expiry_step(const struct dg_expiry *expiry, time_t then, time_t now);

#endif
