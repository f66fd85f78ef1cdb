/*
 * The program that is to run, seen as the kernel and the dynamic loader see it: the loader skips
 * LD_PRELOAD silently where it does not trust or cannot use it, and the program would run
 * unguarded.
 */
#ifndef DISTGUARD_CLI_TARGET_H
#define DISTGUARD_CLI_TARGET_H

#include <limits.h>

#include "cli/library.h"
#include "policy/error.h"

/* Looks a command up as execvp(3) does. Returns 0, or an exit status (126, 127) with the reason in
 * `error`. */
int dg_target_find(const char *command, char path[PATH_MAX], struct dg_error *error);

/*
 * Checks that the loader will load the library into the program, and into each interpreter if it is
 * a script. Returns 0, or -1 with the reason and the remedy in `error`.
 */
int dg_target_check(const char *path, const struct dg_library *library, struct dg_error *error);

#endif
