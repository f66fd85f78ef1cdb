/*
 * Threads of our own, for what no call of the program's is there to do.
 *
 * A child of fork(2) has none of its parent's: it begins its own when it needs one.
 */
#ifndef DISTGUARD_BACKGROUND_H
#define DISTGUARD_BACKGROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* One thread at most. All zero: there is none. */
struct dg_background {
    _Atomic pid_t owner; /* whose it is; 0: nobody's */
};

/* False in a child that was made without the fork handlers: the thread, and perhaps who holds the
 * locks around it, are its parent's. */
bool dg_background_is_ours(const struct dg_background *background);

/* Whether there is such a thread in this process. */
bool dg_background_runs(const struct dg_background *background);

/* Starts it, unless it runs; `run` names it. It takes no signals and is never joined. The caller
 * lets one thread at a time in here. False where none can be had. */
bool dg_background_start(struct dg_background *background, void *(*run)(void *));

#endif
