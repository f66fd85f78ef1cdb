/* The traffic keys of one direction of a connection: of TLS 1.3 (RFC 8446 sections 5.3, 7.2, 7.3)
 * or of TLS 1.2 with AES-GCM (RFC 5246 section 6.3, RFC 5288). */
#ifndef DISTGUARD_TLS_KEYS_H
#define DISTGUARD_TLS_KEYS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

enum {
    DG_SECRET_MAX = 48, /* SHA-384 */
    DG_MASTER_SIZE = 48,
    DG_RANDOM_SIZE = 32,
    DG_NONCE_SIZE = 12,
    DG_NONCE_FIXED = 4, /* of its bytes, which no record changes */
    DG_TAG_SIZE = 16,
};

struct dg_keys {
    EVP_CIPHER_CTX *cipher; /* keyed; NULL while there are no keys */
    enum dg_tls_version version;
    bool sealing;
    bool fixed;    /* opening: the cipher holds the nonce's fixed part, and takes the rest alone */
    bool prepared; /* the cipher has the nonce of the next record */
    uint8_t iv[DG_NONCE_SIZE]; /* TLS 1.2: the salt, and zeros */
    uint64_t sequence;         /* of the next record under these keys */
    uint64_t bytes;            /* of plaintext that were sealed or opened under them */
    uint64_t earlier;          /* records under the keys before these */
    uint64_t updates;          /* how often they have changed */
    size_t secret_size;
    uint8_t secret[DG_SECRET_MAX];
    char digest[16]; /* OpenSSL's name of the suite's hash */
};

/* Keys out of an application traffic secret of TLS 1.3. `cipher` and `digest` are OpenSSL's names
 * ("AES-256-GCM", "SHA2-384"). Returns 0, or -1 where OpenSSL cannot (its error queue says why). */
int dg_keys_init(struct dg_keys *keys, const char *cipher, const char *digest,
                 const uint8_t *secret, size_t secret_size, bool sealing);

/* What a handshake of TLS 1.2 leaves, out of which the keys of both directions come. */
struct dg_master {
    uint8_t secret[DG_MASTER_SIZE];
    uint8_t client_random[DG_RANDOM_SIZE];
    uint8_t server_random[DG_RANDOM_SIZE];
};

/* The same for TLS 1.2, where `cipher` must be AES-GCM: the keys that the client writes with, or
 * those of the server. Each side's Finished was its record 0, so these begin at 1. */
int dg_keys_init_1_2(struct dg_keys *keys, const char *cipher, const char *digest,
                     const struct dg_master *master, bool of_client, bool sealing);

/* The next generation (KeyUpdate; TLS 1.3 alone has it): a new secret, new keys, sequence from 0.
 * Returns 0 or -1. */
int dg_keys_update(struct dg_keys *keys);

/* The nonce of the next record, whose number is then taken. */
void dg_keys_next_nonce(struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE]);

/* The same, and the number stays the next record's. */
void dg_keys_nonce(const struct dg_keys *keys, uint8_t nonce[DG_NONCE_SIZE]);

/* Wipes and frees. */
void dg_keys_clear(struct dg_keys *keys);

#endif
