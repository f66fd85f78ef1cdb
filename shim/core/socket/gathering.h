/*
 * Many small messages in one record and one system call.
 *
 * A node that sends many small messages makes a system call for each. If several writes have
 * followed each other within an instant, with no word from the peer in between, a small one is
 * answered once as if the kernel took no more: the VM queues it and what comes after, asks the
 * poller, and comes back at once with all of it. A lone message, a tick, and the messages of a
 * conversation, where each side waits for the other, never wait.
 */
#ifndef DISTGUARD_SOCKET_GATHERING_H
#define DISTGUARD_SOCKET_GATHERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dg_gathering {
    uint64_t last;   /* when something was sent, nanoseconds of CLOCK_MONOTONIC */
    size_t most;     /* size of a write that is put off; 0: none is */
    unsigned in_row; /* writes, each within an instant of the one before, since the peer's word */
    bool waiting;    /* the program was told to come back */
};

/* Nothing is put off before this. `first_read` is what the peer's VM asks for before it knows a
 * packet's length. */
void dg_gathering_start(struct dg_gathering *gathering, size_t first_read);

/* Before a write of `size` bytes: whether the program is to come back with it. */
bool dg_gathering_waits(struct dg_gathering *gathering, size_t size);

/* The peer has said something. */
static inline void dg_gathering_hear(struct dg_gathering *gathering)
{
    gathering->in_row = 0;
}

#endif
