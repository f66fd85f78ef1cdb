#include "shim/core/tls/record.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

/* Up to here a copy is cheaper than another call of OpenSSL's: pieces are gathered and handled at
 * once. */
enum { SHORT = 1024 };

enum { LEGACY_VERSION_HIGH = 3, LEGACY_VERSION_LOW = 3 };

/* Where the versions of TLS differ in what follows a record's header. */
struct layout {
    size_t nonce; /* bytes of the nonce that come before the ciphertext */
    size_t type;  /* bytes of content type that are encrypted behind the plaintext */
};

static const struct layout layouts[] = {
    [DG_TLS_1_2] = {.nonce = 8, .type = 0}, /* RFC 5288 section 3 */
    [DG_TLS_1_3] = {.nonce = 0, .type = 1}, /* RFC 8446 section 5.2 */
};

static const struct layout *layout_of(const struct dg_keys *keys)
{
    return &layouts[keys->version];
}

/* What a record costs beyond its plaintext. */
static size_t overhead_of(const struct dg_keys *keys)
{
    return DG_TLS_HEADER_SIZE + layout_of(keys)->nonce + layout_of(keys)->type + DG_TAG_SIZE;
}

static void make_header(uint8_t header[DG_TLS_HEADER_SIZE], enum dg_content_type type, size_t size)
{
    header[0] = (uint8_t)type;
    header[1] = LEGACY_VERSION_HIGH;
    header[2] = LEGACY_VERSION_LOW;
    header[3] = (uint8_t)(size >> 8);
    header[4] = (uint8_t)size;
}

enum { NUMBER_SIZE = 8, ADDITIONAL_MAX = NUMBER_SIZE + DG_TLS_HEADER_SIZE };

/* What the tag covers besides: in TLS 1.3 the header as it stands, in TLS 1.2 the record's number
 * and a header that tells the size of the plaintext (RFC 5246 section 6.2.3.3). Returns its size.
 */
static size_t make_additional(const struct dg_keys *keys, const uint8_t header[DG_TLS_HEADER_SIZE],
                              size_t size, uint8_t additional[ADDITIONAL_MAX])
{
    if (keys->version == DG_TLS_1_3) {
        memcpy(additional, header, DG_TLS_HEADER_SIZE);
        return DG_TLS_HEADER_SIZE;
    }
    for (int i = 0; i < NUMBER_SIZE; i++) {
        additional[i] = (uint8_t)(keys->sequence >> (8 * (NUMBER_SIZE - 1 - i)));
    }
    memcpy(additional + NUMBER_SIZE, header, DG_TLS_HEADER_SIZE - 2);
    additional[ADDITIONAL_MAX - 2] = (uint8_t)(size >> 8);
    additional[ADDITIONAL_MAX - 1] = (uint8_t)size;
    return ADDITIONAL_MAX;
}

/* --- sealing --- */

void dg_seal_prepare(struct dg_keys *keys)
{
    uint8_t nonce[DG_NONCE_SIZE];

    if (!keys->prepared) {
        dg_keys_nonce(keys, nonce);
        keys->prepared = EVP_EncryptInit_ex2(keys->cipher, NULL, NULL, nonce, NULL) == 1;
    }
}

int dg_seal_begin(struct dg_sealing *sealing, struct dg_keys *keys, enum dg_content_type type,
                  size_t size, struct dg_buffer *out)
{
    const struct layout *layout = layout_of(keys);
    uint8_t nonce[DG_NONCE_SIZE];
    uint8_t header[DG_TLS_HEADER_SIZE];
    uint8_t additional[ADDITIONAL_MAX];
    size_t additional_size;
    bool prepared;
    int count;

    *sealing = (struct dg_sealing){.keys = keys, .out = out, .type = type, .size = size};
    make_header(header, layout->type > 0 ? DG_CONTENT_APPLICATION_DATA : type,
                layout->nonce + size + layout->type + DG_TAG_SIZE);
    additional_size = make_additional(keys, header, size, additional);
    dg_seal_prepare(keys);
    prepared = keys->prepared;
    keys->prepared = false; /* whatever comes of it: no nonce serves twice */
    dg_keys_next_nonce(keys, nonce);
    keys->bytes += size;
    if (!dg_buffer_reserve(out, size + overhead_of(keys)) || !prepared ||
        EVP_EncryptUpdate(keys->cipher, NULL, &count, additional, (int)additional_size) != 1) {
        return -1;
    }
    memcpy(out->bytes + out->end, header, sizeof header);
    out->end += sizeof header;
    memcpy(out->bytes + out->end, nonce + DG_NONCE_SIZE - layout->nonce, layout->nonce);
    out->end += layout->nonce;
    return 0;
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

static int encrypt_last(struct dg_sealing *sealing)
{
    struct dg_buffer *out = sealing->out;
    size_t type_size = layout_of(sealing->keys)->type;
    uint8_t type = (uint8_t)sealing->type;

    if (!is_short(sealing)) {
        return encrypt(sealing, &type, type_size);
    }
    memcpy(out->bytes + out->end, &type, type_size);
    out->end -= sealing->size;
    return encrypt(sealing, out->bytes + out->end, sealing->size + type_size);
}

/* Parameters are passed as such, not by EVP_CIPHER_CTX_ctrl: that does the same, but dearly. */
static OSSL_PARAM parameter(const char *name, const uint8_t *bytes, size_t size)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)bytes, size);
}

static bool get_tag(EVP_CIPHER_CTX *cipher, uint8_t tag[DG_TAG_SIZE])
{
    OSSL_PARAM parameters[] = {
        parameter(OSSL_CIPHER_PARAM_AEAD_TAG, tag, DG_TAG_SIZE),
        OSSL_PARAM_construct_end(),
    };

    return EVP_CIPHER_CTX_get_params(cipher, parameters) == 1;
}

int dg_seal_end(struct dg_sealing *sealing)
{
    struct dg_buffer *out = sealing->out;
    EVP_CIPHER_CTX *cipher = sealing->keys->cipher;
    int count;

    if (encrypt_last(sealing) != 0 ||
        EVP_EncryptFinal_ex(cipher, out->bytes + out->end, &count) != 1 ||
        !get_tag(cipher, out->bytes + out->end)) {
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

/* The content type, which may be encrypted behind the text, goes to *type: the caller's buffer need
 * not have room for it. */
static bool decrypt_text(struct dg_keys *keys, const uint8_t *text, size_t size, uint8_t *plaintext,
                         uint8_t *type)
{
    EVP_CIPHER_CTX *cipher = keys->cipher;
    size_t type_size = layout_of(keys)->type;
    uint8_t whole[SHORT + 1];
    int count;

    if (size > SHORT || type_size == 0) {
        return EVP_DecryptUpdate(cipher, plaintext, &count, text, (int)size) == 1 &&
               EVP_DecryptUpdate(cipher, type, &count, text + size, (int)type_size) == 1;
    }
    if (EVP_DecryptUpdate(cipher, whole, &count, text, (int)(size + type_size)) != 1) {
        return false;
    }
    memcpy(plaintext, whole, size);
    memcpy(type, whole + size, type_size);
    return true;
}

static OSSL_PARAM changing_part(const uint8_t nonce[DG_NONCE_SIZE])
{
    return parameter(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, nonce + DG_NONCE_FIXED,
                     DG_NONCE_SIZE - DG_NONCE_FIXED);
}

/*
 * Tells the cipher the nonce, and the tag that must come out. EVP_DecryptInit_ex2 asks the cipher
 * how long a nonce is each time it is given one, which in OpenSSL 3.0 costs a fifth of a short
 * record; so the part that changes is given as what TLS knows as the invocation field. One that did
 * not take would make the tag wrong and do no other harm; sealing, where it would use a nonce
 * twice, has it from EVP_EncryptInit_ex2.
 */
static bool begin_opening(struct dg_keys *keys, const uint8_t nonce[DG_NONCE_SIZE],
                          const uint8_t tag[DG_TAG_SIZE])
{
    bool prepared = keys->prepared;
    OSSL_PARAM parameters[] = {
        parameter(OSSL_CIPHER_PARAM_AEAD_TAG, tag, DG_TAG_SIZE),
        prepared || !keys->fixed ? OSSL_PARAM_construct_end() : changing_part(nonce),
        OSSL_PARAM_construct_end(),
    };

    keys->prepared = false;
    if (keys->fixed) {
        return EVP_CIPHER_CTX_set_params(keys->cipher, parameters) == 1;
    }
    return EVP_DecryptInit_ex2(keys->cipher, NULL, NULL, nonce, parameters) == 1;
}

void dg_open_prepare(struct dg_keys *keys)
{
    uint8_t nonce[DG_NONCE_SIZE];
    OSSL_PARAM parameters[2];

    /* In TLS 1.2 the nonce comes with the record. */
    if (keys->prepared || !keys->fixed || layout_of(keys)->nonce > 0) {
        return;
    }
    dg_keys_nonce(keys, nonce);
    parameters[0] = changing_part(nonce);
    parameters[1] = OSSL_PARAM_construct_end();
    keys->prepared = EVP_CIPHER_CTX_set_params(keys->cipher, parameters) == 1;
}

/* `size` is that of the plaintext, and of the padding of TLS 1.3. */
static bool decrypt(struct dg_keys *keys, const uint8_t *record, size_t size, uint8_t *plaintext,
                    uint8_t *type)
{
    const struct layout *layout = layout_of(keys);
    const uint8_t *text = record + DG_TLS_HEADER_SIZE + layout->nonce;
    const uint8_t *tag = text + size + layout->type;
    uint8_t nonce[DG_NONCE_SIZE];
    uint8_t additional[ADDITIONAL_MAX];
    uint8_t none[EVP_MAX_BLOCK_LENGTH];
    size_t additional_size = make_additional(keys, record, size, additional);
    int count;

    dg_keys_next_nonce(keys, nonce);
    memcpy(nonce + DG_NONCE_SIZE - layout->nonce, record + DG_TLS_HEADER_SIZE, layout->nonce);
    return begin_opening(keys, nonce, tag) &&
           EVP_DecryptUpdate(keys->cipher, NULL, &count, additional, (int)additional_size) == 1 &&
           decrypt_text(keys, text, size, plaintext, type) &&
           EVP_DecryptFinal_ex(keys->cipher, none, &count) == 1;
}

enum dg_opened dg_open(struct dg_keys *keys, const uint8_t *record, size_t size, uint8_t *plaintext,
                       uint8_t *type, size_t *plaintext_size)
{
    size_t overhead = overhead_of(keys);
    bool type_is_inside = layout_of(keys)->type > 0;

    *type = record[0];
    if (type_is_inside && *type != DG_CONTENT_APPLICATION_DATA) {
        return DG_OPEN_NOT_CIPHERTEXT;
    }
    if (size < overhead || !decrypt(keys, record, size - overhead, plaintext, type)) {
        OPENSSL_cleanse(plaintext, dg_open_room(size));
        return DG_OPEN_BAD;
    }
    keys->bytes += size - overhead;
    *plaintext_size = size - overhead;
    while (*type == 0 && *plaintext_size > 0) { /* padding */
        *type = plaintext[--*plaintext_size];
    }
    if (*type == 0) {
        return DG_OPEN_NO_TYPE;
    }
    return *plaintext_size <= DG_PLAINTEXT_MAX ? DG_OPENED : DG_OPEN_TOO_LARGE;
}
