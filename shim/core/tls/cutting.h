/*
 * Where records end.
 *
 * A VM reads a large packet in two steps: with a small buffer, which brings the packet's length,
 * and then exactly the rest (inet_drv.c, tcp_recv). A record that is larger than the first buffer
 * would have to be fetched but for its last byte, opened aside and delivered in pieces
 * (channel_receive.c). So a large packet begins a record of its own, and that one is as small as
 * the buffer: then each of the two steps is one system call, as without TLS. Small packets share
 * records.
 *
 * It is a matter of speed alone: any cutting gives the same stream.
 */
#ifndef DISTGUARD_TLS_CUTTING_H
#define DISTGUARD_TLS_CUTTING_H

#include <stddef.h>
#include <stdint.h>

#include "shim/core/tls/plaintext.h"

struct dg_cutting {
    /* What the reader asks for first, at least 1. 0: the stream is not packets with 4-byte lengths,
     * or we do not know where the next begins. */
    size_t first;
    uint64_t left; /* bytes of the packet that has begun */
};

/* How much of what is left (not nothing) the next record takes, at most `limit`. It must be taken
 * then. */
size_t dg_cut(struct dg_cutting *cutting, const struct dg_plaintext *plaintext, size_t limit);

#endif
