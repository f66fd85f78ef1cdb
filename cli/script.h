/* The first line of a script, as Linux reads it (fs/binfmt_script.c). */
#ifndef DISTGUARD_CLI_SCRIPT_H
#define DISTGUARD_CLI_SCRIPT_H

#include <stdbool.h>

/* Linux reads this much of a file to tell what it is (BINPRM_BUF_SIZE). */
#define DG_SCRIPT_LINE 256

struct dg_script {
    char interpreter[DG_SCRIPT_LINE];
    char argument[DG_SCRIPT_LINE]; /* the rest of the line, one argument; empty if there is none */
};

/* Whether the file is a script. */
bool dg_script_read(int fd, struct dg_script *script);

/* The command that `#!…/env NAME` or `#!…/env -S NAME …` runs; false where it is not that plain. */
bool dg_script_env_command(const struct dg_script *script, char name[DG_SCRIPT_LINE]);

#endif
