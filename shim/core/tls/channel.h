/*
 * One TLS connection inside the calls of its program.
 *
 * A channel turns what the program sends into records and what the peer sends into plaintext, on
 * the program's own descriptor and within the calls below: no thread, no second descriptor. It
 * keeps two promises to a level-triggered poller (docs/design.md, "Readiness"):
 *
 *   reading: while decrypted bytes wait for the caller, at least one byte stays unread in the
 * kernel; when receive answers EAGAIN, the kernel holds none; writing: while ciphertext is not yet
 * with the kernel, the caller is told that one byte less was taken, so that it polls for writing
 * and comes back with that byte, which is then skipped.
 *
 * The caller serialises all calls on one channel. None of them blocks, whatever the descriptor's
 * flags.
 */
#ifndef DISTGUARD_TLS_CHANNEL_H
#define DISTGUARD_TLS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "policy/identity.h"
#include "shim/core/tls/credentials.h"

struct dg_channel;

enum dg_channel_side {
    DG_CHANNEL_CLIENT,
    DG_CHANNEL_SERVER,
};

enum dg_channel_state {
    DG_CHANNEL_HANDSHAKE,
    DG_CHANNEL_OPEN,
    DG_CHANNEL_PEER_CLOSED, /* the peer's close_notify came */
    DG_CHANNEL_FAILED,      /* for good: dg_channel_reason() says why */
};

/* The kernel's side of a channel, in calls that never block; replaced in tests. */
struct dg_transport {
    /* As recv(2) with MSG_DONTWAIT; `peek` adds MSG_PEEK. */
    ssize_t (*receive)(int fd, void *bytes, size_t size, bool peek);
    /* As send(2) with MSG_DONTWAIT and MSG_NOSIGNAL. */
    ssize_t (*send)(int fd, const void *bytes, size_t size);
    /* As shutdown(2). */
    int (*shutdown)(int fd, int how);
};

/* Returns NULL with errno (ENOMEM) where it cannot be made. `credentials` must outlive the channel;
 * `timeout` is the handshake's, in seconds. */
struct dg_channel *dg_channel_new(const struct dg_credentials *credentials,
                                  enum dg_channel_side side, const struct dg_transport *transport,
                                  double timeout);
void dg_channel_free(struct dg_channel *channel);

/*
 * Plaintext into `vector`. With `peek` it stays to be received again.
 * Returns bytes > 0; 0 at the peer's close_notify; -1 with errno EAGAIN or the channel's failure.
 */
ssize_t dg_channel_receive(struct dg_channel *channel, int fd, const struct iovec *vector,
                           int count, bool peek);

/*
 * Takes plaintext from `vector`. Before the handshake is through it is kept, up to a limit.
 * Returns bytes > 0 (0 only for no bytes), or -1 with errno EAGAIN or EPIPE.
 */
ssize_t dg_channel_send(struct dg_channel *channel, int fd, const struct iovec *vector, int count);

/* Whether ciphertext waits here that the kernel has not taken yet. */
bool dg_channel_is_blocked(const struct dg_channel *channel);

/* What is sent from now on is packets with 4-byte lengths, as distribution has them after its
 * handshake, for a reader that asks for `first` bytes (at least 1) before it knows a length:
 * records are cut so that it needs few calls. */
void dg_channel_expect_packets(struct dg_channel *channel, size_t first);

/* How many plaintext bytes a receive would give now; or -1 with errno. */
ssize_t dg_channel_readable(struct dg_channel *channel, int fd);

/* Sends our close_notify: nothing can be sent any more. As much as the kernel takes at once. */
void dg_channel_end_sending(struct dg_channel *channel, int fd);

/* Ends an open channel whose peer the policy does not admit: alert access_denied, and `reason` for
 * dg_channel_reason(). */
void dg_channel_refuse(struct dg_channel *channel, int fd, const char *reason);

/* Before the descriptor's close: sends what can be sent at once and close_notify, and empties the
 * kernel's receive queue, because a close with unread bytes would reset the connection and destroy
 * what is still under way. */
void dg_channel_close(struct dg_channel *channel, int fd);

enum dg_channel_state dg_channel_get_state(const struct dg_channel *channel);

/* Why it failed, in words for the log; "" if it did not. */
const char *dg_channel_reason(const struct dg_channel *channel);

/* Seconds since it was made. */
double dg_channel_age(const struct dg_channel *channel);

/* Whether the peer has said anything in TLS. A client's peer that has not may know none. */
bool dg_channel_was_answered(const struct dg_channel *channel);

/* Whether it ever was open: tells a refused peer from a broken connection. */
bool dg_channel_was_open(const struct dg_channel *channel);

/* What was negotiated, for the log: protocol version, cipher suite, group of the key exchange,
 * the peer's certificate in words. "" before. */
const char *dg_channel_version(const struct dg_channel *channel);
const char *dg_channel_cipher(const struct dg_channel *channel);
const char *dg_channel_group(const struct dg_channel *channel);
const char *dg_channel_peer_certificate(const struct dg_channel *channel);

/* What went through it since the handshake, for the status: protected records, and KeyUpdates of
 * both sides. */
struct dg_channel_figures {
    uint64_t received;
    uint64_t sent;
    uint64_t key_updates;
};
struct dg_channel_figures dg_channel_figures(const struct dg_channel *channel);

/* Whom the peer's certificate stands for; NULL before the channel is open. */
const struct dg_identity *dg_channel_identity(const struct dg_channel *channel);

#endif
