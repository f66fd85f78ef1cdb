/*
 * Many small messages in one record and one system call.
 *
 * A node that sends many small messages makes a system call for each. Once several writes have
 * followed each other within an instant, with no word from the peer in between, small ones are held
 * until they fill a record, or the program has nothing else to do (flusher.h). A lone message, a
 * tick, and the messages of a conversation, where each side waits for the other, go out at once.
 *
 * What is held counts as sent. So whatever else is done with the socket (a large write, shutdown,
 * close, the end by exit) sends it first. Who is killed or aborts takes it along: a millisecond's
 * at most.
 */
#ifndef DISTGUARD_SOCKET_GATHERING_H
#define DISTGUARD_SOCKET_GATHERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shim/core/tls/buffer.h"

struct dg_socket;

struct dg_gathering {
    uint64_t last;   /* when something was written, nanoseconds of CLOCK_MONOTONIC */
    unsigned in_row; /* writes, each within an instant of the one before, since the peer's word */
    bool on;         /* the stream is messages */
    bool watched;    /* by the flusher */
    struct dg_buffer held; /* plaintext */
};

/* Counts a write of `size` bytes. Whether it may be held. */
bool dg_gathering_wants(struct dg_gathering *gathering, size_t size);

/* Takes a write that may be held, of a locked, GUARDED socket. False where the caller has to send
 * it, after what is held: the kernel may not have room for a record when it has to go, and what did
 * not fit as the program closes would be lost. */
bool dg_gathering_hold(struct dg_socket *socket, int fd, const struct iovec *vector, int count);

/* Whether a write that could have been held is better answered with EAGAIN, as the poller says that
 * the descriptor is not writable: the VM comes back with all that it has by then. Sent one by one,
 * a flood to a slower reader would be as many records. */
bool dg_gathering_must_wait(const struct dg_gathering *gathering, int fd);

/* Sends what is held, of a locked, GUARDED socket. False with errno: EAGAIN where some is left,
 * else EPIPE, and it is lost with the connection. */
bool dg_gathering_send(struct dg_socket *socket, int fd);

/* The same where no write of the program's is there to tell what came of it: the log and the status
 * page tell. */
bool dg_gathering_flush(struct dg_socket *socket, int fd);

/* Whether nothing is held, nor was written for a while. */
bool dg_gathering_rests(const struct dg_gathering *gathering);

/* The peer has said something. */
static inline void dg_gathering_hear(struct dg_gathering *gathering)
{
    gathering->in_row = 0;
}

#endif
