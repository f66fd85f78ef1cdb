/*
 * The reader of another process's status page.
 *
 * Nothing in a page is trusted: whoever may be its writer, what comes out has strings that end and
 * that a terminal obeys nowhere, and words and counts within their bounds.
 */
#ifndef DISTGUARD_REPORT_SNAPSHOT_H
#define DISTGUARD_REPORT_SNAPSHOT_H

#include <stddef.h>
#include <sys/types.h>

#include "shim/core/report/page.h"

enum dg_snapshot_verdict {
    DG_SNAPSHOT_TAKEN,
    DG_SNAPSHOT_NO_PAGE,      /* not one of distguard's */
    DG_SNAPSHOT_OTHER_LAYOUT, /* only the header was taken */
    DG_SNAPSHOT_BUSY,         /* its process has stopped in the middle of writing: try again */
};

/*
 * Copies the page of `size` bytes at `mapped`, which may change meanwhile, into *page. Records that
 * are not used, or cannot be read whole, have `used` 0 in the copy; tables beyond their count are
 * not touched on either side.
 */
enum dg_snapshot_verdict dg_snapshot_copy(const void *mapped, size_t size, struct dg_page *page);

/*
 * The same for a descriptor of its memory. Only memory that its writer can take away no more is
 * mapped. The header tells whose page it is: a child of fork(2) may hold its parent's.
 */
enum dg_snapshot_verdict dg_snapshot_read(int fd, struct dg_page *page);

/* All that went through the process's connections, those that have ended included. */
struct dg_snapshot_totals {
    uint64_t bytes[DG_PAGE_DIRECTIONS];
    uint64_t records[DG_PAGE_DIRECTIONS];
    uint64_t key_updates;
    unsigned connections; /* there are now */
};
struct dg_snapshot_totals dg_snapshot_add_up(const struct dg_page *page);

/* Words for what the page has numbers for; `value` is one of a copied page. */
const char *dg_snapshot_role(uint32_t value);
const char *dg_snapshot_direction(uint32_t value);
const char *dg_snapshot_state(uint32_t value);
const char *dg_snapshot_rule(uint32_t value);
const char *dg_snapshot_refusal(uint32_t value);

#endif
