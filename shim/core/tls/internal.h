/* Shared by the files of this folder, and by them alone: the only ones that know OpenSSL. */
#ifndef DISTGUARD_TLS_INTERNAL_H
#define DISTGUARD_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "shim/core/tls/credentials.h"

struct dg_credentials {
    SSL_CTX *context;
    const struct dg_policy *policy; /* outlives it */
};

/* The library context of our own; NULL before dg_tls_start(). */
OSSL_LIB_CTX *dg_tls_library(void);

/* An alert's description in words; never NULL. */
const char *dg_tls_alert_name(int description);

/*
 * What the last OpenSSL call left in this thread's error queue, in words; empties the queue, which
 * the VM's crypto application shares with us. `ssl` may be NULL.
 */
void dg_tls_explain(const SSL *ssl, char *text, size_t size);

/* "CN=…, SAN DNS:a, IP:10.0.0.1" or the like, for people; "" for NULL. */
void dg_tls_describe_certificate(X509 *certificate, char *text, size_t size);

#endif
