/* Help, as the table of commands has it. On stdout: it is what was asked for. */
#ifndef DISTGUARD_CLI_HELP_H
#define DISTGUARD_CLI_HELP_H

#include "cli/commands.h"

void dg_help_overview(void);
void dg_help_command(const struct dg_command *command);

/* The commands whose names start with the word. */
void dg_help_group(const char *word);

#endif
