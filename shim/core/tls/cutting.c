#include "shim/core/tls/cutting.h"

#include <stdbool.h>

enum { LENGTH = 4 };

static size_t at_most(uint64_t size, size_t limit)
{
    return size < limit ? (size_t)size : limit;
}

/* Reads a length from where `ahead` stands, and goes past it. False where it is not whole. */
static bool read_length(struct dg_plaintext *ahead, uint64_t *length)
{
    *length = 0;
    for (int i = 0; i < LENGTH; i++) {
        const uint8_t *byte;

        if (dg_plaintext_take(ahead, &byte, 1) == 0) {
            return false;
        }
        *length = *length << 8 | *byte;
    }
    return true;
}

static void skip(struct dg_plaintext *ahead, size_t size)
{
    const uint8_t *bytes;

    while (size > 0) {
        size -= dg_plaintext_take(ahead, &bytes, size);
    }
}

/* The packet that has begun, as far as it goes. */
static size_t cut_begun(struct dg_cutting *cutting, size_t limit)
{
    size_t size = at_most(cutting->left, limit);

    cutting->left -= size;
    return size;
}

size_t dg_cut(struct dg_cutting *cutting, const struct dg_plaintext *plaintext, size_t limit)
{
    struct dg_plaintext ahead = *plaintext;
    size_t size;

    limit = at_most(plaintext->left, limit);
    if (cutting->first == 0) {
        return limit;
    }
    size = cut_begun(cutting, limit);
    skip(&ahead, size);
    while (size < limit) {
        uint64_t length;

        if (!read_length(&ahead, &length)) {
            /* A VM writes a length in one piece; where the next packet begins is lost now. */
            cutting->first = 0;
            return limit;
        }
        if (LENGTH + length > cutting->first && size > 0) {
            return size;
        }
        cutting->left = LENGTH + length;
        if (LENGTH + length > cutting->first) {
            return cut_begun(cutting, at_most(cutting->first, limit));
        }
        length = cut_begun(cutting, limit - size);
        size += length;
        skip(&ahead, at_most(length > LENGTH ? length - LENGTH : 0, limit));
    }
    return size;
}
