#include "shim/core/tls/record.h"

#include <openssl/crypto.h>
#include <string.h>

/* Up to here a copy is cheaper than another call of OpenSSL's: pieces are gathered and handled at
 * once. */
enum { SHORT = 1024 };

enum { LEGACY_VERSION_HIGH = 3, LEGACY_VERSION_LOW = 3 };

/* The header is also the additional data that the tag covers. */
static void make_header(uint8_t header[DG_TLS_HEADER_SIZE], size_t inner)
{
    size_t size = inner + DG_TAG_SIZE;

    header[0] = DG_CONTENT_APPLICATION_DATA;
    header[1] = LEGACY_VERSION_HIGH;
    header[2] = LEGACY_VERSION_LOW;
    header[3] = (uint8_t)(size >> 8);
    header[4] = (uint8_t)size;
}

int dg_seal_begin(struct dg_sealing *sealing, struct dg_keys *keys, enum dg_content_type type,
                  size_t size, struct dg_buffer *out)
{
    uint8_t nonce[DG_NONCE_SIZE];
    uint8_t header[DG_TLS_HEADER_SIZE];
    int count;

    *sealing = (struct dg_sealing){.keys = keys, .out = out, .type = type, .size = size};
    make_header(header, size + 1);
    dg_keys_next_nonce(keys, nonce);
    if (!dg_buffer_reserve(out, DG_TLS_HEADER_SIZE + size + 1 + DG_TAG_SIZE) ||
        EVP_EncryptInit_ex2(keys->cipher, NULL, NULL, nonce, NULL) != 1 ||
        EVP_EncryptUpdate(keys->cipher, NULL, &count, header, sizeof header) != 1) {
        return -1;
    }
    return dg_buffer_append(out, header, sizeof header) ? 0 : -1;
}

static bool is_short(const struct dg_sealing *sealing)
{
    return sealing->size <= SHORT;
}

static int encrypt(struct dg_sealing *sealing, const uint8_t *bytes, size_t size)
{
    struct dg_buffer *out = sealing->out;
    int count;

    if (EVP_EncryptUpdate(sealing->keys->cipher, out->bytes + out->end, &count, bytes, (int)size) !=
        1) {
        return -1;
    }
    out->end += (size_t)count;
    return 0;
}

int dg_seal_add(struct dg_sealing *sealing, const void *bytes, size_t size)
{
    struct dg_buffer *out = sealing->out;

    if (!is_short(sealing)) {
        return encrypt(sealing, bytes, size);
    }
    memcpy(out->bytes + out->end, bytes, size);
    out->end += size;
    return 0;
}

/* The content type is the last byte of what is encrypted. */
static int encrypt_last(struct dg_sealing *sealing)
{
    struct dg_buffer *out = sealing->out;
    uint8_t type = (uint8_t)sealing->type;

    if (!is_short(sealing)) {
        return encrypt(sealing, &type, 1);
    }
    out->bytes[out->end] = type;
    out->end -= sealing->size;
    return encrypt(sealing, out->bytes + out->end, sealing->size + 1);
}

int dg_seal_end(struct dg_sealing *sealing)
{
    struct dg_buffer *out = sealing->out;
    EVP_CIPHER_CTX *cipher = sealing->keys->cipher;
    int count;

    if (encrypt_last(sealing) != 0 ||
        EVP_EncryptFinal_ex(cipher, out->bytes + out->end, &count) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, DG_TAG_SIZE, out->bytes + out->end) !=
            1) {
        return -1;
    }
    out->end += DG_TAG_SIZE;
    return 0;
}

int dg_seal(struct dg_keys *keys, enum dg_content_type type, const void *bytes, size_t size,
            struct dg_buffer *out)
{
    struct dg_sealing sealing;

    return dg_seal_begin(&sealing, keys, type, size, out) == 0 &&
                   dg_seal_add(&sealing, bytes, size) == 0
               ? dg_seal_end(&sealing)
               : -1;
}

/* --- opening --- */

size_t dg_open_room(size_t size)
{
    return size > DG_TLS_RECORD_OVERHEAD ? size - DG_TLS_RECORD_OVERHEAD : 0;
}

/* Decrypts the inner plaintext of `room` bytes and one more (the content type, where there is no
 * padding), which goes to *last, so that the caller's buffer need not have room for it. */
static bool decrypt_inner(EVP_CIPHER_CTX *cipher, const uint8_t *inner, size_t room,
                          uint8_t *plaintext, uint8_t *last)
{
    uint8_t whole[SHORT + 1];
    int count;

    if (room > SHORT) {
        return EVP_DecryptUpdate(cipher, plaintext, &count, inner, (int)room) == 1 &&
               EVP_DecryptUpdate(cipher, last, &count, inner + room, 1) == 1;
    }
    if (EVP_DecryptUpdate(cipher, whole, &count, inner, (int)room + 1) != 1) {
        return false;
    }
    memcpy(plaintext, whole, room);
    *last = whole[room];
    return true;
}

static bool decrypt(struct dg_keys *keys, const uint8_t *record, size_t size, uint8_t *plaintext,
                    uint8_t *last)
{
    uint8_t nonce[DG_NONCE_SIZE];
    uint8_t none[EVP_MAX_BLOCK_LENGTH];
    int count;

    dg_keys_next_nonce(keys, nonce);
    return EVP_DecryptInit_ex2(keys->cipher, NULL, NULL, nonce, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_TAG, DG_TAG_SIZE,
                               (void *)(record + size - DG_TAG_SIZE)) == 1 &&
           EVP_DecryptUpdate(keys->cipher, NULL, &count, record, DG_TLS_HEADER_SIZE) == 1 &&
           decrypt_inner(keys->cipher, record + DG_TLS_HEADER_SIZE, dg_open_room(size), plaintext,
                         last) &&
           EVP_DecryptFinal_ex(keys->cipher, none, &count) == 1;
}

enum dg_opened dg_open(struct dg_keys *keys, const uint8_t *record, size_t size, uint8_t *plaintext,
                       uint8_t *type, size_t *plaintext_size)
{
    size_t room = dg_open_room(size);

    if (record[0] != DG_CONTENT_APPLICATION_DATA) {
        return DG_OPEN_NOT_CIPHERTEXT;
    }
    if (size < DG_TLS_RECORD_OVERHEAD || !decrypt(keys, record, size, plaintext, type)) {
        OPENSSL_cleanse(plaintext, room);
        return DG_OPEN_BAD;
    }
    *plaintext_size = room;
    while (*type == 0 && *plaintext_size > 0) {
        *type = plaintext[--*plaintext_size];
    }
    if (*type == 0) {
        return DG_OPEN_NO_TYPE;
    }
    return *plaintext_size <= DG_PLAINTEXT_MAX ? DG_OPENED : DG_OPEN_TOO_LARGE;
}
