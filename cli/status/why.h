/* Why a process is not guarded, from what /proc shows of it. */
#ifndef DISTGUARD_CLI_STATUS_WHY_H
#define DISTGUARD_CLI_STATUS_WHY_H

#include "cli/status/observe.h"

#define DG_WHY_NOT_PERMITTED                                                                       \
    "not permitted to look into it: run distguard status as root, or as the user that it runs as"

/*
 * For a process whose page could not be taken: `verdict` is what was found of it, `version` what
 * its header says. Says why in `observed`, with what to do. DG_GUARD_UNKNOWN where that cannot be
 * told.
 */
enum dg_guard dg_why_not(int process, struct dg_observed *observed,
                         enum dg_snapshot_verdict verdict, const char *version);

#endif
