/* Shared by the files of this folder, and by them alone: the only ones that know OpenSSL. */
#ifndef DISTGUARD_TLS_INTERNAL_H
#define DISTGUARD_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "shim/core/tls/credentials.h"

/* OpenSSL's: 112 bits, which rules out RSA below 2048 bits, curves below 224, and SHA-1. */
enum { DG_SECURITY_LEVEL = 2 };

struct dg_credentials {
    SSL_CTX *context;
    const struct dg_policy *policy; /* outlives it */
    struct dg_expiry *expiries;
    size_t expiry_count;
};

/* The library context of our own; NULL before dg_tls_start(). */
OSSL_LIB_CTX *dg_tls_library(void);

/* Once, in the process whose threads they are. */
void dg_tls_start_threads(void);

/* For a thread's first use of OpenSSL: as it ends it will let go of what OpenSSL keeps for it. */
void dg_tls_know_thread(void);

/* OpenSSL is about to be torn down: from here on no thread lets go of anything. */
void dg_tls_stop_threads(void);

/* An alert's description in words; never NULL. */
const char *dg_tls_alert_name(int description);

/* What the last OpenSSL call left in this thread's error queue, in words; empties the queue, which
 * the VM's crypto application shares with us. */
void dg_tls_explain(char *text, size_t size);

/* Why X509_verify_cert() has refused a chain, in words, and which of its certificates is at fault
 * where it is not the first. */
void dg_tls_explain_chain(X509_STORE_CTX *check, char *text, size_t size);

/* "DNS:a.example.org,IP:192.0.2.1", or the subject where it has no such names; "" for NULL. Bytes
 * that names do not have are escaped as \xff. */
void dg_tls_describe_certificate(X509 *certificate, char *text, size_t size);

/* 0 for what is no date: as good as past. */
time_t dg_tls_seconds(const ASN1_TIME *time);

#endif
