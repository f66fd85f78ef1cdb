/*
 * Guarded connections of a VM's, as they are once the distribution handshake is through: this
 * process has the one end under the hooks, and the other end, its peer, as a channel alone. What
 * the program writes is one stream of which every byte is known by its place, so that whatever is
 * lost, doubled or out of order shows.
 */
#ifndef DISTGUARD_TESTS_GUARDED_H
#define DISTGUARD_TESTS_GUARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shim/core/tls/channel.h"

struct guarded {
    int fd;
    int peer_fd;
    struct dg_channel *channel; /* the program's */
    struct dg_channel *peer;
    size_t sent; /* what the program was told it has */
    size_t received;
};

/* What a peer has met that has read all there is. */
enum guarded_end {
    GUARDED_MORE,   /* nothing yet: there may come more */
    GUARDED_CLOSED, /* close_notify */
    GUARDED_FAILED, /* the connection ended otherwise */
    GUARDED_OTHERS, /* other bytes than were sent */
};

/* cmocka's group setup and teardown: this process is guarded as a VM. */
int guarded_start(void **state);
int guarded_stop(void **state);

/* Over a pair of sockets whose bytes arrive as they are written. */
struct guarded guarded_open(void);
/* Over TCP, to a peer with a small window. */
struct guarded guarded_open_by_tcp(void);
/* The peer's end, and the program's, if it is open still. */
void guarded_close(struct guarded *guarded);

/* The next bytes of the stream in one write that does not block, as the hooks answer it; EBADF
 * where the descriptor is not watched. And the same that must be taken whole. */
enum { GUARDED_WRITE_MOST = 64 * 1024 };
ssize_t guarded_try_write(struct guarded *guarded, size_t size);
void guarded_write(struct guarded *guarded, size_t size);

/* Brings it so far that the next small write may be held, if the clock stands still. */
void guarded_flood(struct guarded *guarded);

/* What the program has written that has not become TLS yet. */
size_t guarded_held(const struct guarded *guarded);
/* And the memory that it has for that. */
size_t guarded_memory(const struct guarded *guarded);

/* The peer reads all there is. */
enum guarded_end guarded_read(struct guarded *guarded);
/* It must have got so much, and nothing else. */
void guarded_assert_received(struct guarded *guarded, size_t size);
/* It must get all that was sent, sooner or later, and nothing else. */
void guarded_assert_delivered(struct guarded *guarded);
/* The same, and then close_notify. */
void guarded_assert_closed(struct guarded *guarded);

/* The program's next words: the write fails, and the read, too. */
void guarded_assert_broken(struct guarded *guarded);

#endif
