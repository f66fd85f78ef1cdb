#include "shim/core/tls/keys.h"

#include <endian.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/tls/internal.h"

/* Keys with no key yet. Returns the algorithm, which the caller frees, or NULL. */
static EVP_CIPHER *begin(struct dg_keys *keys, enum dg_tls_version version, const char *cipher,
                         bool sealing)
{
    *keys =
        (struct dg_keys){.version = version, .cipher = EVP_CIPHER_CTX_new(), .sealing = sealing};
    return keys->cipher != NULL ? EVP_CIPHER_fetch(dg_tls_library(), cipher, NULL) : NULL;
}

/* Lets a cipher that can take the changing part of the nonce alone do so: AES-GCM, for opening. */
static bool fix_nonce(struct dg_keys *keys)
{
    return !keys->sealing && EVP_CIPHER_CTX_get_mode(keys->cipher) == EVP_CIPH_GCM_MODE &&
           EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_IV_FIXED, DG_NONCE_FIXED,
                               keys->iv) == 1;
}

/* `algorithm` is NULL where it stays as it was. */
static int use_key(struct dg_keys *keys, const EVP_CIPHER *algorithm, const uint8_t *key)
{
    keys->sequence = 0;
    keys->bytes = 0;
    keys->prepared = false;
    if (EVP_CipherInit_ex2(keys->cipher, algorithm, key, keys->iv, keys->sealing ? 1 : 0, NULL) !=
        1) {
        return -1;
    }
    keys->fixed = fix_nonce(keys);
    return 0;
}

/* Runs one of OpenSSL's key derivation functions. */
static int derive(const char *function, const OSSL_PARAM *parameters, uint8_t *output, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(dg_tls_library(), function, NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    int derived = context != NULL ? EVP_KDF_derive(context, output, size, parameters) : 0;

    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return derived == 1 ? 0 : -1;
}

/* --- TLS 1.3 --- */

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

    return derive(OSSL_KDF_NAME_HKDF, parameters, output, size);
}

/* Puts key and IV of the secret into use. */
static int use_secret(struct dg_keys *keys, const EVP_CIPHER *algorithm)
{
    uint8_t key[EVP_MAX_KEY_LENGTH];
    size_t key_size = (size_t)(algorithm != NULL ? EVP_CIPHER_get_key_length(algorithm)
                                                 : EVP_CIPHER_CTX_get_key_length(keys->cipher));
    int result = -1;

    if (expand(keys, "key", key, key_size) == 0 &&
        expand(keys, "iv", keys->iv, sizeof keys->iv) == 0) {
        result = use_key(keys, algorithm, key);
    }
    OPENSSL_cleanse(key, sizeof key);
    return result;
}

int dg_keys_init(struct dg_keys *keys, const char *cipher, const char *digest,
                 const uint8_t *secret, size_t secret_size, bool sealing)
{
    EVP_CIPHER *algorithm = begin(keys, DG_TLS_1_3, cipher, sealing);
    int result = -1;

    if (algorithm != NULL && secret_size <= sizeof keys->secret) {
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
        keys->earlier += keys->sequence;
        keys->updates++;
        result = use_secret(keys, NULL);
    }
    OPENSSL_cleanse(next, sizeof next);
    return result;
}

/* --- TLS 1.2 --- */

enum { SALT_SIZE = DG_NONCE_FIXED, KEY_BLOCK_MAX = 2 * (EVP_MAX_KEY_LENGTH + SALT_SIZE) };

/* PRF(master_secret, "key expansion", server_random + client_random) */
static int expand_master(const struct dg_master *master, const char *digest, uint8_t *block,
                         size_t size)
{
    static const char label[] = "key expansion";
    uint8_t seed[sizeof label - 1 + (size_t)2 * DG_RANDOM_SIZE];
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master->secret,
                                          DG_MASTER_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof seed),
        OSSL_PARAM_construct_end(),
    };

    memcpy(seed, label, sizeof label - 1);
    memcpy(seed + sizeof label - 1, master->server_random, DG_RANDOM_SIZE);
    memcpy(seed + sizeof label - 1 + DG_RANDOM_SIZE, master->client_random, DG_RANDOM_SIZE);
    return derive(OSSL_KDF_NAME_TLS1_PRF, parameters, block, size);
}

/* The key block is: key of the client, key of the server, salt of the client, salt of the server.
 */
static int use_key_block(struct dg_keys *keys, const EVP_CIPHER *algorithm, const char *digest,
                         const struct dg_master *master, bool of_client)
{
    uint8_t block[KEY_BLOCK_MAX];
    size_t key_size = (size_t)EVP_CIPHER_get_key_length(algorithm);
    size_t key = of_client ? 0 : key_size;
    size_t salt = 2 * key_size + (of_client ? 0 : SALT_SIZE);
    int result = expand_master(master, digest, block, 2 * (key_size + SALT_SIZE));

    if (result == 0) {
        memcpy(keys->iv, block + salt, SALT_SIZE);
        result = use_key(keys, algorithm, block + key);
        keys->sequence = 1;
    }
    OPENSSL_cleanse(block, sizeof block);
    return result;
}

int dg_keys_init_1_2(struct dg_keys *keys, const char *cipher, const char *digest,
                     const struct dg_master *master, bool of_client, bool sealing)
{
    EVP_CIPHER *algorithm = begin(keys, DG_TLS_1_2, cipher, sealing);
    int result = -1;

    if (algorithm != NULL && EVP_CIPHER_get_mode(algorithm) == EVP_CIPH_GCM_MODE) {
        result = use_key_block(keys, algorithm, digest, master, of_client);
    }
    EVP_CIPHER_free(algorithm);
    return result;
}

/* --- both --- */

void dg_keys_nonce(const struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE])
{
    uint64_t changing;

    memcpy(&changing, keys->iv + DG_NONCE_FIXED, sizeof changing);
    changing ^= htobe64(keys->sequence);
    memcpy(nonce, keys->iv, DG_NONCE_FIXED);
    memcpy(nonce + DG_NONCE_FIXED, &changing, sizeof changing);
}

void dg_keys_next_nonce(struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE])
{
    dg_keys_nonce(keys, nonce);
    keys->sequence++;
}

void dg_keys_clear(struct dg_keys *keys)
{
    EVP_CIPHER_CTX_free(keys->cipher);
    OPENSSL_cleanse(keys, sizeof *keys);
}
