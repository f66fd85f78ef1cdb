#include "shim/core/report/line_ring.h"

#include <string.h>

/* What of a line comes before its text. */
#define HEAD_SIZE offsetof(struct dg_line, text)

/* How much of `size` bytes at `position` is left of the ring's end; the rest is at its beginning.
 */
static size_t before_end(size_t position, size_t size)
{
    size_t left = DG_LINE_RING_SIZE - position % DG_LINE_RING_SIZE;

    return size < left ? size : left;
}

static void put(struct dg_line_ring *ring, const void *bytes, size_t size)
{
    size_t first = before_end(ring->put, size);

    memcpy(ring->bytes + ring->put % DG_LINE_RING_SIZE, bytes, first);
    memcpy(ring->bytes, (const char *)bytes + first, size - first);
    ring->put += size;
}

static void take(struct dg_line_ring *ring, void *bytes, size_t size)
{
    size_t first = before_end(ring->taken, size);

    memcpy(bytes, ring->bytes + ring->taken % DG_LINE_RING_SIZE, first);
    memcpy((char *)bytes + first, ring->bytes, size - first);
    ring->taken += size;
}

bool dg_line_ring_put(struct dg_line_ring *ring, const struct dg_line *line)
{
    size_t size = HEAD_SIZE + line->size;

    if (size > DG_LINE_RING_SIZE - (ring->put - ring->taken)) {
        return false;
    }
    put(ring, line, size);
    return true;
}

bool dg_line_ring_take(struct dg_line_ring *ring, struct dg_line *line)
{
    if (dg_line_ring_is_empty(ring)) {
        return false;
    }
    take(ring, line, HEAD_SIZE);
    take(ring, line->text, line->size);
    return true;
}
