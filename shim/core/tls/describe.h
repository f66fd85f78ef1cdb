/* What a file of certificates says, for people: `distguard check` and `distguard pki` print it. */
#ifndef DISTGUARD_TLS_DESCRIBE_H
#define DISTGUARD_TLS_DESCRIBE_H

#include <stddef.h>
#include <time.h>

#include "policy/error.h"

#define DG_DESCRIPTION_SIZE 1024

struct dg_certificate_description {
    size_t count; /* of certificates in the file */
    /* Of the first: "DNS:a.example.org,IP:192.0.2.1"; foreign bytes, cut at this size. */
    char names[DG_DESCRIPTION_SIZE];
    time_t expires; /* the first of them all */
};

/* For use after dg_tls_start(). Judges nothing: dg_credentials_load() does. Returns 0, or -1 with
 * the reason in `error`. */
int dg_certificate_describe(const char *path, struct dg_certificate_description *description,
                            struct dg_error *error);

#endif
