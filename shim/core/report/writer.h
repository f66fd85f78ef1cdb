/*
 * A thread that writes log lines for those who must not wait, where a write can: to a file (a disk
 * that is slow, frozen, or somebody else's over NFS) or to a terminal (which can be paused).
 *
 * It begins with the first line, takes no signals, and has a table of descriptors of its own where
 * the kernel lets it (Linux 5.9), so that it neither meets the program's descriptors nor keeps any
 * of them open when the program is killed while a write hangs. A child of fork(2) has none, until
 * it has a line to write: then its own.
 */
#ifndef DISTGUARD_REPORT_WRITER_H
#define DISTGUARD_REPORT_WRITER_H

#include <stdbool.h>

#include "shim/core/report/line_ring.h"

/* What it is called in /proc/PID/task/TID/comm. */
#define DG_WRITER_NAME "distguard-log"

/* Called by the thread for one line after the other, in the order in which they were put. */
typedef void dg_writer_deliver(struct dg_line *line);

/* To be called before the first line is put. Starts nothing. `keeps_stderr`: that `deliver` is to
 * have descriptor 2. */
void dg_writer_prepare(dg_writer_deliver *deliver, bool keeps_stderr);

/* Never waits. False where there is no room, or no thread can be had: the line is lost. */
bool dg_writer_put(const struct dg_line *line);

/* Waits until everything is written, but no longer than so many milliseconds. Returns how many of
 * them are left. */
unsigned dg_writer_flush(unsigned milliseconds);

/* Whether there is such a thread in this process. */
bool dg_writer_runs(void);

/* In the child of a fork: what waits is the parent's to write. */
void dg_writer_forked(void);

#endif
