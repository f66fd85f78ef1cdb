/* The library to preload, and the variable that names it. */
#ifndef DISTGUARD_CLI_LIBRARY_H
#define DISTGUARD_CLI_LIBRARY_H

#include <limits.h>

#include "cli/elf.h"
#include "policy/error.h"

struct dg_library {
    char path[PATH_MAX]; /* absolute, and as LD_PRELOAD can hold it */
    struct dg_elf elf;
};

/* Beside the tool (build tree), else where it is installed. Never by LD_LIBRARY_PATH or the current
 * folder. Returns 0, or -1 with the reason in `error`. */
int dg_library_find(struct dg_library *library, struct dg_error *error);

/* Where `make install` puts it. */
const char *dg_library_installed(void);

/* The library at this very path. Returns 0, or -1 with the reason in `error`. */
int dg_library_read(struct dg_library *library, const char *path, struct dg_error *error);

/* Adds the library to an LD_PRELOAD of this value: behind what is there, and once. Returns the
 * whole, to be freed, or NULL with the reason in `error`. */
char *dg_library_add(const struct dg_library *library, const char *before, struct dg_error *error);

/* Sets LD_PRELOAD: ours after what is there, and once. Returns 0, or -1 with the reason in `error`.
 */
int dg_library_preload(const struct dg_library *library, struct dg_error *error);

#endif
