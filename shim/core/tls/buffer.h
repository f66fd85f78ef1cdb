/*
 * A byte queue that may borrow its memory for the length of one call.
 *
 * Ciphertext in passing lives in the thread's scratch memory; only what must outlast the call is
 * copied to memory of the connection's own, so that an idle connection holds none.
 */
#ifndef DISTGUARD_TLS_BUFFER_H
#define DISTGUARD_TLS_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dg_buffer {
    uint8_t *bytes;
    size_t start; /* what is before was taken */
    size_t end;
    size_t capacity;
    bool borrowed; /* bytes belong to the scratch memory */
};

static inline size_t dg_buffer_size(const struct dg_buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* Lets the buffer use `bytes`, whatever it holds copied there. `capacity` must exceed what it
 * holds. */
void dg_buffer_borrow(struct dg_buffer *buffer, uint8_t *bytes, size_t capacity);

/* Gives borrowed memory back: what the buffer holds is copied to its own. False where memory is out
 * (then empty). */
bool dg_buffer_settle(struct dg_buffer *buffer);

/* Makes room for `size` more bytes at the end. False where memory is out. */
bool dg_buffer_reserve(struct dg_buffer *buffer, size_t size);

/* Adds bytes at the end. False where memory is out; nothing is added then. */
bool dg_buffer_append(struct dg_buffer *buffer, const void *bytes, size_t size);

/* Takes `size` bytes from the start; when it becomes empty, memory of its own is freed. */
void dg_buffer_take(struct dg_buffer *buffer, size_t size);

/* Moves what it holds to the front, so that all its capacity is free behind. */
void dg_buffer_compact(struct dg_buffer *buffer);

void dg_buffer_clear(struct dg_buffer *buffer);

#endif
