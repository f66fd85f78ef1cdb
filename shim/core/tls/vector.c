#include "shim/core/tls/vector.h"

#include <string.h>

size_t dg_vector_fill(const struct iovec *vector, int count, const void *bytes, size_t size)
{
    size_t given = 0;

    for (int i = 0; i < count && given < size; i++) {
        size_t left = size - given;
        size_t part = vector[i].iov_len < left ? vector[i].iov_len : left;

        if (part > 0) { /* what is empty may lead nowhere */
            memcpy(vector[i].iov_base, (const char *)bytes + given, part);
            given += part;
        }
    }
    return given;
}
