/* getopt_long for commands, with errors that say what would be right. */
#ifndef DISTGUARD_CLI_OPTIONS_H
#define DISTGUARD_CLI_OPTIONS_H

#include <getopt.h>

#include "cli/commands.h"

/* Options end at the first word that is none: it and what follows belong to another program. */
#define DG_OPTIONS_FIRST "+:h"
/* Options may stand anywhere. */
#define DG_OPTIONS_ANYWHERE ":h"

/* In every command's table. */
#define DG_OPTION_HELP                                                                             \
    {                                                                                              \
        "help", no_argument, NULL, 'h'                                                             \
    }

/*
 * As getopt_long(3). Does not return for --help, which it answers, nor for a mistake, which it
 * explains before it ends the process with the command's status for it, DG_EXIT_USAGE mostly.
 */
int dg_next_option(const struct dg_command *command, int argc, char **argv, const char *mode,
                   const struct option *options);

/* Explains a mistake, points to the command's help, and returns DG_EXIT_USAGE. */
int dg_usage_error(const struct dg_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
