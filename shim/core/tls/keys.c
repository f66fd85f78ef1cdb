#include "shim/core/tls/keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/tls/internal.h"

/* HkdfLabel: length, "tls13 " and the label, an empty context (RFC 8446 section 7.1). Returns its
 * size. */
static size_t make_label(uint8_t info[64], const char *label, size_t size)
{
    static const char prefix[] = "tls13 ";
    size_t prefix_size = sizeof prefix - 1;
    size_t label_size = strlen(label);

    info[0] = (uint8_t)(size >> 8);
    info[1] = (uint8_t)size;
    info[2] = (uint8_t)(prefix_size + label_size);
    memcpy(info + 3, prefix, prefix_size);
    memcpy(info + 3 + prefix_size, label, label_size);
    info[3 + prefix_size + label_size] = 0;
    return 4 + prefix_size + label_size;
}

/* HKDF-Expand-Label(secret, label, "", size) */
static int expand(const struct dg_keys *keys, const char *label, uint8_t *output, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(dg_tls_library(), OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    uint8_t info[64];
    size_t info_size = make_label(info, label, size);
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)keys->digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)keys->secret,
                                          keys->secret_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, info_size),
        OSSL_PARAM_construct_end(),
    };
    int derived = context != NULL ? EVP_KDF_derive(context, output, size, parameters) : 0;

    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return derived == 1 ? 0 : -1;
}

/* Puts key and IV of the secret into use. */
static int use_secret(struct dg_keys *keys, const EVP_CIPHER *algorithm)
{
    uint8_t key[EVP_MAX_KEY_LENGTH];
    size_t key_size = (size_t)EVP_CIPHER_CTX_get_key_length(keys->cipher);
    int result = -1;

    if (algorithm != NULL) {
        key_size = (size_t)EVP_CIPHER_get_key_length(algorithm);
    }
    if (expand(keys, "key", key, key_size) == 0 &&
        expand(keys, "iv", keys->iv, sizeof keys->iv) == 0 &&
        EVP_CipherInit_ex2(keys->cipher, algorithm, key, keys->iv, keys->sealing ? 1 : 0, NULL) ==
            1) {
        keys->sequence = 0;
        result = 0;
    }
    OPENSSL_cleanse(key, sizeof key);
    return result;
}

int dg_keys_init(struct dg_keys *keys, const char *cipher, const char *digest,
                 const uint8_t *secret, size_t secret_size, bool sealing)
{
    EVP_CIPHER *algorithm = EVP_CIPHER_fetch(dg_tls_library(), cipher, NULL);
    int result = -1;

    *keys = (struct dg_keys){.cipher = EVP_CIPHER_CTX_new(), .sealing = sealing};
    if (algorithm != NULL && keys->cipher != NULL && secret_size <= sizeof keys->secret) {
        (void)snprintf(keys->digest, sizeof keys->digest, "%s", digest);
        memcpy(keys->secret, secret, secret_size);
        keys->secret_size = secret_size;
        result = use_secret(keys, algorithm);
    }
    EVP_CIPHER_free(algorithm);
    return result;
}

int dg_keys_update(struct dg_keys *keys)
{
    uint8_t next[DG_SECRET_MAX];
    int result = expand(keys, "traffic upd", next, keys->secret_size);

    if (result == 0) {
        memcpy(keys->secret, next, keys->secret_size);
        result = use_secret(keys, NULL);
    }
    OPENSSL_cleanse(next, sizeof next);
    return result;
}

void dg_keys_next_nonce(struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE])
{
    uint64_t number = keys->sequence++;

    memcpy(nonce, keys->iv, DG_NONCE_SIZE);
    for (int i = DG_NONCE_SIZE - 1; i >= DG_NONCE_SIZE - 8; i--) {
        nonce[i] ^= (uint8_t)number;
        number >>= 8;
    }
}

void dg_keys_clear(struct dg_keys *keys)
{
    EVP_CIPHER_CTX_free(keys->cipher);
    OPENSSL_cleanse(keys, sizeof *keys);
}
