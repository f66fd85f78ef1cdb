/*
 * The small certificate authority of `distguard pki`: for demos, tests and clusters without one.
 *
 * ECDSA P-256, names in the SAN only, both extended key usages; keys are written with mode 0600 and
 * no file is ever overwritten.
 */
#ifndef DISTGUARD_CLI_TLS_ISSUER_H
#define DISTGUARD_CLI_TLS_ISSUER_H

#include <stddef.h>

#include "policy/error.h"

struct dg_certificate_request {
    const char *name; /* of the files: NAME.pem, NAME.key */
    const char *const *dns;
    size_t dns_count;
    const char *const *ip;
    size_t ip_count;
    const char *const *uri;
    size_t uri_count;
    int days; /* of validity */
};

/* Makes `directory` (mode 0700 if it is not there) with ca.pem and ca.key. Returns 0, or -1 with
 * `error`. */
int dg_issuer_init(const char *directory, int days, struct dg_error *error);

/* Makes NAME.pem (certificate and chain) and NAME.key in `directory`. Returns 0, or -1 with
 * `error`. */
int dg_issuer_issue(const char *directory, const struct dg_certificate_request *request,
                    struct dg_error *error);

#endif
