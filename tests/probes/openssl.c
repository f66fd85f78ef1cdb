/* Another preloaded library, which uses OpenSSL before ours has begun, and lets it be cleaned up at
 * exit, as is its way. `openssl_at_end` is called then, after ours has been told of it. */
#include <openssl/crypto.h>
#include <openssl/evp.h>

void (*openssl_at_end)(void);

static void end(void)
{
    if (openssl_at_end != NULL) {
        openssl_at_end();
    }
}

__attribute__((constructor)) static void start(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    (void)EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    EVP_MD_CTX_free(context);
    (void)OPENSSL_atexit(end);
}
