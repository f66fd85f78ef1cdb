/* OpenSSL's library context of our own, made once; and what is to be done when OpenSSL ends. */
#include <stdatomic.h>

#include <openssl/crypto.h>

#include "shim/core/tls/internal.h"

static OSSL_LIB_CTX *library;
static atomic_bool ended;
static void (*at_end)(void);

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

static void end(void)
{
    atomic_store(&ended, true);
    if (at_end != NULL) {
        at_end();
    }
    dg_tls_stop_threads();
}

void dg_tls_at_end(void (*handler)(void))
{
    at_end = handler;
    dg_tls_start_threads();
    (void)OPENSSL_atexit(end); /* runs where OpenSSL is cleaned up, and not at any other exit */
}

bool dg_tls_has_ended(void)
{
    return atomic_load(&ended);
}
