/* RFC 3339 in UTC. Not gmtime_r(): that takes libc's time zone lock, which a forked child may find
 * locked for ever. */
#ifndef DISTGUARD_REPORT_TIMESTAMP_H
#define DISTGUARD_REPORT_TIMESTAMP_H

#include <time.h>

#define DG_TIMESTAMP_SIZE sizeof "2026-01-02T03:04:05.678Z"

/* For the years 1970 to 9999. */
void dg_timestamp(const struct timespec *time, char text[DG_TIMESTAMP_SIZE]);

#endif
