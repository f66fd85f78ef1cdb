/* Whose certificates are believed, and which of them no longer. */
#ifndef DISTGUARD_TLS_TRUST_H
#define DISTGUARD_TLS_TRUST_H

#include <openssl/ssl.h>

#include "policy/policy.h"

/* What the policy's files hold, for as long as credentials are being made; freed by their maker. */
struct dg_material {
    STACK_OF(X509) * chain; /* our own certificate first */
    STACK_OF(X509) * anchors;
    STACK_OF(X509_CRL) * crls; /* empty: nothing is asked of revocation */
    EVP_PKEY *key;
};

/* Makes the context believe the anchors, less what the CRLs revoke, and nothing else. Returns 0, or
 * -1 with `error` where an anchor or a CRL can be none. */
int dg_trust_set(SSL_CTX *context, const struct dg_tls_policy *policy,
                 const struct dg_material *material, struct dg_error *error);

/* What a handshake asks of a chain, for a check of our own. */
void dg_trust_parameters(X509_VERIFY_PARAM *parameters);

/* As X509_verify_cert(), and where it fails says why in words; the error is set then. */
bool dg_trust_verify(X509_STORE_CTX *check, char *why, size_t size);

#endif
