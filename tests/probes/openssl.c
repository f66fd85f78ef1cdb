/* Another preloaded library, which uses OpenSSL before ours has begun, and lets it be cleaned up at
 * exit, as is its way. */
#include <openssl/evp.h>

__attribute__((constructor)) static void start(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    (void)EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    EVP_MD_CTX_free(context);
}
