#include "shim/core/tls/buffer.h"

#include <stdlib.h>
#include <string.h>

void dg_buffer_borrow(struct dg_buffer *buffer, uint8_t *bytes, size_t capacity)
{
    size_t size = dg_buffer_size(buffer);

    if (size > 0) {
        memcpy(bytes, buffer->bytes + buffer->start, size);
    }
    dg_buffer_clear(buffer);
    *buffer =
        (struct dg_buffer){.bytes = bytes, .end = size, .capacity = capacity, .borrowed = true};
}

bool dg_buffer_settle(struct dg_buffer *buffer)
{
    size_t size = dg_buffer_size(buffer);
    uint8_t *own = NULL;

    if (!buffer->borrowed) {
        return true;
    }
    if (size > 0) {
        own = malloc(size);
        if (own == NULL) {
            *buffer = (struct dg_buffer){0};
            return false;
        }
        memcpy(own, buffer->bytes + buffer->start, size);
    }
    *buffer = (struct dg_buffer){.bytes = own, .end = size, .capacity = size};
    return true;
}

/* Borrowed memory that is too small is left for memory of its own. */
bool dg_buffer_reserve(struct dg_buffer *buffer, size_t size)
{
    size_t held = dg_buffer_size(buffer);
    size_t capacity;
    uint8_t *bytes;

    if (size <= buffer->capacity - buffer->end) {
        return true;
    }
    capacity = 2 * (held + size);
    bytes = malloc(capacity);
    if (bytes == NULL) {
        return false;
    }
    if (held > 0) {
        memcpy(bytes, buffer->bytes + buffer->start, held);
    }
    dg_buffer_clear(buffer);
    *buffer = (struct dg_buffer){.bytes = bytes, .end = held, .capacity = capacity};
    return true;
}

bool dg_buffer_append(struct dg_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (!dg_buffer_reserve(buffer, size)) {
        return false;
    }
    memcpy(buffer->bytes + buffer->end, bytes, size);
    buffer->end += size;
    return true;
}

void dg_buffer_take(struct dg_buffer *buffer, size_t size)
{
    buffer->start += size;
    if (buffer->start < buffer->end) {
        return;
    }
    if (buffer->borrowed) {
        buffer->start = buffer->end = 0;
    } else {
        dg_buffer_clear(buffer);
    }
}

void dg_buffer_compact(struct dg_buffer *buffer)
{
    size_t size = dg_buffer_size(buffer);

    if (buffer->start > 0 && size > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, size);
    }
    buffer->start = 0;
    buffer->end = size;
}

void dg_buffer_clear(struct dg_buffer *buffer)
{
    if (!buffer->borrowed) {
        free(buffer->bytes);
    }
    *buffer = (struct dg_buffer){0};
}
