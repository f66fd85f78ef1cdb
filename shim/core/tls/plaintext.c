#include "shim/core/tls/plaintext.h"

#include "shim/core/tls/vector.h"

void dg_plaintext_open(struct dg_plaintext *plaintext, const struct iovec *vector, int count)
{
    *plaintext = (struct dg_plaintext){
        .vector = vector, .count = count, .left = dg_vector_size(vector, count)};
}

size_t dg_plaintext_take(struct dg_plaintext *plaintext, const uint8_t **bytes, size_t limit)
{
    size_t size;

    while (plaintext->index < plaintext->count &&
           plaintext->offset == plaintext->vector[plaintext->index].iov_len) {
        plaintext->index++;
        plaintext->offset = 0;
    }
    if (plaintext->index == plaintext->count) {
        return 0;
    }
    *bytes = (const uint8_t *)plaintext->vector[plaintext->index].iov_base + plaintext->offset;
    size = plaintext->vector[plaintext->index].iov_len - plaintext->offset;
    size = size < limit ? size : limit;
    plaintext->offset += size;
    plaintext->left -= size;
    return size;
}
