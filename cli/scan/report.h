/* What a scan has seen, on stdout. */
#ifndef DISTGUARD_CLI_SCAN_REPORT_H
#define DISTGUARD_CLI_SCAN_REPORT_H

#include "cli/scan/scan.h"

void dg_scan_print_table(const struct dg_scan *scan);

/* One JSON object, described in distguard(1). Returns 0, or -1 where memory is short. */
int dg_scan_print_json(const struct dg_scan *scan);

#endif
