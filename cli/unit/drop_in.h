/* The files that `distguard enable` writes. They know themselves again, so that `disable` removes
 * what it wrote and nothing that was changed by hand. */
#ifndef DISTGUARD_CLI_UNIT_DROP_IN_H
#define DISTGUARD_CLI_UNIT_DROP_IN_H

#include "policy/error.h"

enum dg_drop_in_state {
    DG_DROP_IN_ABSENT,
    DG_DROP_IN_OURS,
    DG_DROP_IN_CHANGED, /* by hand, or it never was ours */
};

/* -1 with the reason in `error` where it cannot be read. */
int dg_drop_in_state(const char *path, enum dg_drop_in_state *state, struct dg_error *error);

/* The file as it will be: `body` below a line that `enable` and `disable` know. To be freed. */
char *dg_drop_in_text(const char *path, const char *unit, const char *body);

/* Writes the text, whole or not at all, and makes its folder where there is none. 0, or -1. */
int dg_drop_in_write(const char *path, const char *text, struct dg_error *error);

/* Removes the file, and its folder if that was made for it and is empty. 0, or -1. */
int dg_drop_in_remove(const char *path, struct dg_error *error);

#endif
