/* What can be seen of the processes that distguard is for: guarded or not, and why not. */
#ifndef DISTGUARD_CLI_STATUS_OBSERVE_H
#define DISTGUARD_CLI_STATUS_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/status/proc.h"
#include "policy/error.h"
#include "shim/core/report/snapshot.h"

enum dg_guard {
    DG_GUARDED,
    DG_UNGUARDED,
    DG_GUARD_UNKNOWN, /* we may not look */
};

/* Whether a file is still what it was when the policy was read. */
enum dg_file_state {
    DG_FILE_SAME,
    DG_FILE_CHANGED,
    DG_FILE_GONE,
    DG_FILE_UNKNOWN,
};

struct dg_observed {
    pid_t pid;
    char program[DG_PROC_NAME];
    enum dg_guard guard;
    struct dg_error why;  /* where it is not guarded */
    struct dg_page *page; /* where it is; else NULL */
    enum dg_file_state files[DG_PAGE_FILES];
};

struct dg_observations {
    struct dg_observed *processes;
    size_t count;
};

/* All processes of the host that distguard is for, in the order of their numbers. Returns 0, or -1
 * with `error` where /proc cannot be read. */
int dg_observe_all(struct dg_observations *all, struct dg_error *error);

/* These processes, whatever they are. Returns 0, or -1 with `error` where one is not there. */
int dg_observe(const pid_t *pids, size_t count, struct dg_observations *all,
               struct dg_error *error);

void dg_observations_free(struct dg_observations *all);

/* The files of a policy as one: gone or changed if any is. */
enum dg_file_state dg_observed_policy(const struct dg_observed *observed);

/* Until the certificate expires, from now on; whole days, rounded down. False where it is not
 * known. */
bool dg_observed_days_left(const struct dg_observed *observed, long *days);

/* Plaintext connections that `require` would refuse. */
uint64_t dg_observed_plaintext(const struct dg_observed *observed);

/* Control characters, and what is not ASCII, as '?': a terminal obeys nothing of a stranger's. */
void dg_observed_clean(char *text);

#endif
