/* A caller's vector as a stream of plaintext. */
#ifndef DISTGUARD_TLS_PLAINTEXT_H
#define DISTGUARD_TLS_PLAINTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct dg_plaintext {
    const struct iovec *vector;
    int count;
    int index;
    size_t offset; /* within vector[index] */
    size_t left;   /* bytes, of all */
};

void dg_plaintext_open(struct dg_plaintext *plaintext, const struct iovec *vector, int count);

/* Takes up to `limit` bytes that lie together; none are left at 0. */
size_t dg_plaintext_take(struct dg_plaintext *plaintext, const uint8_t **bytes, size_t limit);

#endif
