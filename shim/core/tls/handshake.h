/* The TLS handshake, by OpenSSL, up to the point where both sides have each other's certificates
 * and keys. */
#ifndef DISTGUARD_TLS_HANDSHAKE_H
#define DISTGUARD_TLS_HANDSHAKE_H

#include <stdbool.h>

#include "shim/core/tls/buffer.h"
#include "shim/core/tls/channel.h"
#include "shim/core/tls/keys.h"

struct dg_handshake;

/* What a handshake has come to. */
struct dg_agreed {
    char version[16];
    char cipher[40];
    char group[24];              /* "" where OpenSSL has no name for it */
    char certificate[256];       /* the peer's, in words */
    struct dg_identity identity; /* the peer's; to be cleared */
};

enum dg_handshake_state {
    DG_HANDSHAKE_MORE, /* the peer's next bytes are needed */
    DG_HANDSHAKE_DONE,
    DG_HANDSHAKE_FAILED,
};

/* Reads whole records from `in` and writes to `out`, as dg_bio_attach() says. NULL where memory is
 * out. */
struct dg_handshake *dg_handshake_new(const struct dg_credentials *credentials,
                                      enum dg_channel_side side, struct dg_buffer *in,
                                      size_t *whole, struct dg_buffer *out);
void dg_handshake_free(struct dg_handshake *handshake);

/* As far as the bytes go. DG_HANDSHAKE_FAILED: `reason` says why, and `out` has the alert. */
enum dg_handshake_state dg_handshake_step(struct dg_handshake *handshake, char *reason,
                                          size_t reason_size);

/* After DG_HANDSHAKE_DONE: what was agreed, and the keys of both directions. Returns 0, or -1 with
 * `reason`. */
int dg_handshake_finish(struct dg_handshake *handshake, struct dg_agreed *agreed,
                        struct dg_keys *receiving, struct dg_keys *sending, char *reason,
                        size_t reason_size);

/* For credentials: lets the handshakes of this context tell their secrets to themselves. */
void dg_handshake_prepare(SSL_CTX *context);

#endif
