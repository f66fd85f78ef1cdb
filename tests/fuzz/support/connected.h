/* Two ends of a connection that is open without a handshake, which would take a hundred times as
 * long as what is to be tried. */
#ifndef DISTGUARD_FUZZ_CONNECTED_H
#define DISTGUARD_FUZZ_CONNECTED_H

#include "tests/unit/support/checked.h"

/* For LLVMFuzzerInitialize: certificates that are on disk only as long as this runs. */
void connected_start(void);

/* The policy and the credentials of both ends. */
extern struct dg_policy connected_policy;
extern struct dg_credentials *connected_credentials;

/* Over a fresh kernel, with keys that are always the same, and certificates for node.example.org on
 * both sides. To be freed by ends_free(). */
struct ends connected_ends(enum dg_tls_version version, size_t capacity);

#endif
