/* The three ways to say what was observed, each on stdout. */
#ifndef DISTGUARD_CLI_STATUS_PRINT_H
#define DISTGUARD_CLI_STATUS_PRINT_H

#include "cli/status/observe.h"

/* What all of it comes to: the worst. */
enum dg_status_verdict {
    DG_STATUS_ALL_GUARDED,
    DG_STATUS_EXPIRING, /* a certificate has expired, or will within DG_STATUS_EXPIRING_DAYS */
    DG_STATUS_NOT_ALL_GUARDED,
};
enum { DG_STATUS_EXPIRING_DAYS = 7 };

void dg_status_print_table(const struct dg_observations *all);

/* docs/status.md has the schema. Returns 0, or -1 where memory is out. */
int dg_status_print_json(const struct dg_observations *all, enum dg_status_verdict verdict);

/* The text format of Prometheus, version 0.0.4. */
void dg_status_print_prometheus(const struct dg_observations *all);

/* "2027-02-20T14:00:00Z"; "" where the time is not known or no date. */
#define DG_STATUS_DATE 32
void dg_status_date(char date[DG_STATUS_DATE], dg_page_time time);

#endif
