/* What the three parts of a channel share: its state (channel.c), what comes in (channel_receive.c)
 * and what goes out (channel_send.c). */
#ifndef DISTGUARD_TLS_CHANNEL_PARTS_H
#define DISTGUARD_TLS_CHANNEL_PARTS_H

#include <time.h>

#include "shim/core/tls/bucket.h"
#include "shim/core/tls/buffer.h"
#include "shim/core/tls/channel.h"
#include "shim/core/tls/control.h"
#include "shim/core/tls/cutting.h"
#include "shim/core/tls/handshake.h"
#include "shim/core/tls/keys.h"
#include "shim/core/tls/record.h"
#include "shim/core/tls/scratch.h"

enum { DG_CHANNEL_REASON_SIZE = 512 };

/* What each message needs comes first, close together, as in struct dg_socket. */
struct dg_channel {
    const struct dg_transport *transport;
    enum dg_channel_side side;
    enum dg_channel_state state; /* moved by dg_channel_enter() alone */
    bool was_open;
    bool answered;       /* a whole TLS record has come from the peer */
    bool tail_in_kernel; /* the last byte of `in`, or of what `opened` came from, was only peeked */
    bool held;           /* the caller's next byte was already taken, and is in `out` */
    bool sending_ended;  /* our close_notify was sent */
    bool key_update_owed; /* the peer has asked for new keys of ours: before our next data */
    bool refusal_owed;    /* the peer has asked to renegotiate */
    uint64_t rekey_bytes; /* the policy's; 0: records alone count */

    struct dg_keys sending;
    struct dg_cutting cutting;
    struct dg_buffer out; /* ciphertext that the kernel has not taken */
    /* Ciphertext that was fetched and not yet opened. Between calls this is part of one record. */
    struct dg_buffer in;
    size_t whole;            /* how much of `in` is whole records */
    struct dg_buffer opened; /* plaintext of one record that the caller's buffer had no room for */
    struct dg_keys receiving;

    struct dg_messages messages;
    uint64_t excuse;         /* bytes received that allow for KeyUpdates beyond the limit */
    struct dg_bucket wishes; /* what the peer may still ask for: KeyUpdates, renegotiations */

    struct timespec started;
    double timeout;                 /* of the handshake, seconds */
    struct dg_handshake *handshake; /* until it is through */
    struct dg_agreed agreed;        /* by then */
    struct dg_buffer early;         /* plaintext taken before the handshake was through */
    int failure;                    /* errno of every receive, once failed */
    char reason[DG_CHANNEL_REASON_SIZE];
};

/* --- channel.c --- */

void dg_channel_enter(struct dg_channel *channel, enum dg_channel_state state);

/* The end of a channel: what can still be sent is, then the connection is shut down, not only for
 * the peer: it makes the descriptor readable, so that a sleeping program comes and learns of it. */
void dg_channel_fail(struct dg_channel *channel, int fd, int failure, const char *reason);

/* The same, and the peer is told by an alert. */
void dg_channel_fail_alert(struct dg_channel *channel, int fd, enum dg_alert alert,
                           const char *reason);
void dg_channel_out_of_memory(struct dg_channel *channel, int fd);

/* Milliseconds of a clock that never goes back. */
uint64_t dg_channel_clock(void);

/* Every call on a channel is between these two: the thread's scratch memory is lent to it and taken
 * back. */
bool dg_channel_begin(struct dg_channel *channel, int fd, struct dg_scratch **scratch);
void dg_channel_end(struct dg_channel *channel, int fd);

/* Sets errno and returns the value. */
ssize_t dg_channel_answer(ssize_t value, int error);

/* --- channel_receive.c --- */

/* Counts the whole records of `in`. */
void dg_channel_find_whole(struct dg_channel *channel);

/* As far as the peer's bytes take it: a program that only writes would never fetch them. */
void dg_channel_drive_handshake(struct dg_channel *channel, int fd);

/* --- channel_send.c --- */

/* Hands the kernel what it takes of `out` at once, and then the refusal that is owed. */
void dg_channel_flush(struct dg_channel *channel, int fd);

/* Puts an alert into `out`, as far as there are keys for it. */
void dg_channel_seal_alert(struct dg_channel *channel, enum dg_alert alert);

/* Seals what was taken before the handshake was through. */
void dg_channel_seal_early(struct dg_channel *channel, int fd);

#endif
