/* A queue of log lines in a fixed amount of memory: what finds no room stays outside. Knows no
 * locks. */
#ifndef DISTGUARD_REPORT_LINE_RING_H
#define DISTGUARD_REPORT_LINE_RING_H

#include <stdbool.h>
#include <stddef.h>

/* All of a line, its newline included: less than PIPE_BUF, so that a pipe takes it whole or not at
 * all. */
#define DG_LINE_SIZE 1000

/* Some thousand lines of the usual size. */
#define DG_LINE_RING_SIZE ((size_t)1 << 18)

struct dg_line {
    size_t size;
    unsigned long lost; /* how many just before this one found no room */
    bool is_sentence;   /* for stderr as it is, see dg_log_tell() */
    char text[DG_LINE_SIZE];
};

/* All zero is empty. The counts only grow: their difference is what is in it. */
struct dg_line_ring {
    size_t put, taken;
    char bytes[DG_LINE_RING_SIZE];
};

/* False where there is no room. */
bool dg_line_ring_put(struct dg_line_ring *ring, const struct dg_line *line);

/* The oldest. False where there is none. */
bool dg_line_ring_take(struct dg_line_ring *ring, struct dg_line *line);

static inline bool dg_line_ring_is_empty(const struct dg_line_ring *ring)
{
    return ring->put == ring->taken;
}

#endif
