/* Certificates as our small authority makes them: a CA's and a node's. In memory; files are
 * issuer.c's. */
#ifndef DISTGUARD_CLI_TLS_MINT_H
#define DISTGUARD_CLI_TLS_MINT_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "cli/tls/issuer.h"

struct dg_mint_issuer {
    X509 *certificate;
    EVP_PKEY *key;
};

/* Each returns what the caller frees, or NULL with the reason in OpenSSL's error queue. */

EVP_PKEY *dg_mint_key(OSSL_LIB_CTX *library);

X509 *dg_mint_ca(OSSL_LIB_CTX *library, EVP_PKEY *key, int days);

/* `request` has been checked; the certificate ends with its issuer's at the latest. */
X509 *dg_mint_leaf(OSSL_LIB_CTX *library, EVP_PKEY *key,
                   const struct dg_certificate_request *request,
                   const struct dg_mint_issuer *issuer);

#endif
