/*
 * The record protection of TLS 1.3 (RFC 8446 section 5.2), and of TLS 1.2 with AES-GCM (RFC 5246
 * section 6.2.3.3, RFC 5288), for the time after the handshake: OpenSSL's own costs several times
 * the encryption of a short message, copies each record twice, and keeps its state for as long as
 * the connection lives. Here a record is made straight from the caller's vector, and opened
 * straight into the caller's buffer.
 */
#ifndef DISTGUARD_TLS_RECORD_H
#define DISTGUARD_TLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "shim/core/tls/buffer.h"
#include "shim/core/tls/keys.h"
#include "shim/core/wire/tls_record.h"

enum dg_content_type {
    DG_CONTENT_ALERT = 21,
    DG_CONTENT_HANDSHAKE = 22,
    DG_CONTENT_APPLICATION_DATA = 23,
};

enum { DG_PLAINTEXT_MAX = 16384 };

/* --- sealing --- */

/* A record that is being made, piece by piece, at the end of a buffer. */
struct dg_sealing {
    struct dg_keys *keys;
    struct dg_buffer *out;
    enum dg_content_type type;
    size_t size; /* of its plaintext */
};

/* Tells the cipher the next record's nonce, which is a good part of a short record's cost: once one
 * record has been handed to the kernel there is time for it. Left out, dg_seal_begin() does it. */
void dg_seal_prepare(struct dg_keys *keys);

/* Begins a record of `size` bytes of plaintext, at most DG_PLAINTEXT_MAX. Returns 0, or -1 where
 * memory is out or OpenSSL fails; then the connection must end, as its sequence numbers may be out
 * of step. */
int dg_seal_begin(struct dg_sealing *sealing, struct dg_keys *keys, enum dg_content_type type,
                  size_t size, struct dg_buffer *out);

/* Adds the next of its plaintext; together they must make up its size. Returns 0 or -1. */
int dg_seal_add(struct dg_sealing *sealing, const void *bytes, size_t size);

int dg_seal_end(struct dg_sealing *sealing);

/* All in one, for what is not application data. */
int dg_seal(struct dg_keys *keys, enum dg_content_type type, const void *bytes, size_t size,
            struct dg_buffer *out);

/* --- opening --- */

/* As dg_seal_prepare(), for the next record of the peer's. */
void dg_open_prepare(struct dg_keys *keys);

/* The most plaintext that a whole record of `size` bytes can hold, whatever the version: the room
 * that dg_open needs. */
size_t dg_open_room(size_t size);

enum dg_opened {
    DG_OPENED,
    DG_OPEN_NOT_CIPHERTEXT, /* its outside is not that of a protected record */
    DG_OPEN_BAD,            /* it was not made with these keys, or was changed: bad_record_mac */
    DG_OPEN_TOO_LARGE,      /* record_overflow */
    DG_OPEN_NO_TYPE,        /* nothing but padding: unexpected_message */
};

/*
 * Opens the whole record of `size` bytes at `record` into `plaintext`, which has dg_open_room()
 * bytes. DG_OPENED: *type and *plaintext_size say what it holds. Else nothing is left in
 * `plaintext`.
 */
enum dg_opened dg_open(struct dg_keys *keys, const uint8_t *record, size_t size, uint8_t *plaintext,
                       uint8_t *type, size_t *plaintext_size);

#endif
