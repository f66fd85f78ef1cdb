/* The traffic keys of one direction of a TLS 1.3 connection (RFC 8446 sections 5.3, 7.2, 7.3). */
#ifndef DISTGUARD_TLS_KEYS_H
#define DISTGUARD_TLS_KEYS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DG_SECRET_MAX = 48, /* SHA-384 */
    DG_NONCE_SIZE = 12,
    DG_TAG_SIZE = 16,
};

struct dg_keys {
    EVP_CIPHER_CTX *cipher; /* keyed; NULL while there are no keys */
    char digest[16];        /* OpenSSL's name of the suite's hash */
    uint8_t secret[DG_SECRET_MAX];
    size_t secret_size;
    uint8_t iv[DG_NONCE_SIZE];
    uint64_t sequence; /* of the next record under these keys */
    bool sealing;
};

/* Keys out of an application traffic secret. `cipher` and `digest` are OpenSSL's names
 * ("AES-256-GCM", "SHA2-384"). Returns 0, or -1 where OpenSSL cannot (its error queue says why). */
int dg_keys_init(struct dg_keys *keys, const char *cipher, const char *digest,
                 const uint8_t *secret, size_t secret_size, bool sealing);

/* The next generation (KeyUpdate): a new secret, new keys, sequence from 0. Returns 0 or -1. */
int dg_keys_update(struct dg_keys *keys);

/* The nonce of the next record, whose number is then taken. */
void dg_keys_next_nonce(struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE]);

/* Wipes and frees. */
void dg_keys_clear(struct dg_keys *keys);

#endif
