/* What the two parts of the status page's writer share: the page itself (status.c) and its tables
 * (status_tables.c). */
#ifndef DISTGUARD_REPORT_STATUS_PARTS_H
#define DISTGUARD_REPORT_STATUS_PARTS_H

#include "shim/core/report/status.h"

/* The page, locked against other writers, with a descriptor that readers find; made if there is
 * none yet. NULL, and nothing locked, where there can be none. */
struct dg_page *dg_status_lock(void);

/* The same, but nothing is made or looked after. */
struct dg_page *dg_status_lock_existing(void);

void dg_status_unlock(void);

/* The page for counting: counters take no lock. NULL where there is none. */
struct dg_page *dg_status_counters(void);

/* A change to a record as a whole is between these two. */
void dg_status_begin(dg_page_sequence *sequence);
void dg_status_end(dg_page_sequence *sequence);

dg_page_time dg_status_now(void);

/* Copies a string into a field of `size` bytes, cut; NULL is "". */
void dg_status_text(char *field, size_t size, const char *text);

/* In a child of fork(2): nothing is taken any more. */
void dg_status_tables_forked(void);

#endif
