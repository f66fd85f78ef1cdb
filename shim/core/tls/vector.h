/* What a caller's vector holds, and bytes laid out into it. */
#ifndef DISTGUARD_TLS_VECTOR_H
#define DISTGUARD_TLS_VECTOR_H

#include <stddef.h>
#include <sys/uio.h>

static inline size_t dg_vector_size(const struct iovec *vector, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        size += vector[i].iov_len;
    }
    return size;
}

/* Copies as many of the bytes as there is room for; returns how many. */
size_t dg_vector_fill(const struct iovec *vector, int count, const void *bytes, size_t size);

#endif
