/*
 * Two connected sockets and no kernel: what one end sends waits in a queue until the other end
 * receives it. Queues can be small, calls can give little, fail or be interrupted, and everything
 * is counted.
 */
#ifndef DISTGUARD_TESTS_KERNEL_H
#define DISTGUARD_TESTS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/core/tls/channel.h"
#include "tests/unit/support/random.h"

/* The descriptors, and the ends' places in kernel_ends */
enum { KERNEL_CLIENT, KERNEL_SERVER };

struct kernel_end {
    uint8_t *memory;
    size_t start;
    size_t size; /* waiting to be received */
    size_t allocated;
    size_t capacity;     /* the other end's sends fail with EAGAIN beyond this */
    bool ended;          /* after what waits, receive returns 0 */
    int receive_error;   /* of every receive, once nothing waits; 0: none */
    int send_error;      /* of every send */
    size_t receive_most; /* that one call gives; 0: no limit */
    size_t send_most;
    unsigned interrupted; /* percent of calls that fail with EINTR */
    bool frozen;          /* every call fails with EAGAIN */

    unsigned receives; /* calls */
    unsigned sends;
    unsigned refused_sends; /* of them: with EAGAIN or send_error */
    unsigned shutdowns;
    size_t sent; /* bytes */
};

extern struct kernel_end kernel_ends[2];
extern const struct dg_transport kernel_transport;

void kernel_reset(size_t capacity, uint64_t seed);
void kernel_free(void);

/* As poll(2) would say. */
bool kernel_readable(int fd);
bool kernel_writable(int fd);

/* What waits to be received at this end: kernel_ends[fd].size bytes. */
uint8_t *kernel_waiting(int fd);
/* Adds bytes to what waits at this end, whatever its capacity. */
void kernel_inject(int fd, const void *bytes, size_t size);
/* Takes up to `size` bytes that wait at this end. */
size_t kernel_take(int fd, void *bytes, size_t size);

#endif
