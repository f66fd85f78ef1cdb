/* OpenSSL's library context of our own, made once. */
#include <openssl/crypto.h>

#include "shim/core/tls/internal.h"

static OSSL_LIB_CTX *library;

OSSL_LIB_CTX *dg_tls_library(void)
{
    return library;
}

int dg_tls_start(struct dg_error *error)
{
    if (library != NULL) {
        return 0;
    }
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1 ||
        (library = OSSL_LIB_CTX_new()) == NULL) {
        return dg_fail(error, "OpenSSL cannot be started (out of memory?)");
    }
    return 0;
}
