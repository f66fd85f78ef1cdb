/*
 * The commands of distguard: one table, from which dispatch, help and suggestions follow.
 */
#ifndef DISTGUARD_CLI_COMMANDS_H
#define DISTGUARD_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

enum dg_exit {
    DG_EXIT_OK = 0,
    DG_EXIT_FAILURE = 1,
    DG_EXIT_USAGE = 2,
    DG_EXIT_STATUS_USAGE = 3, /* of `status`, whose 1 and 2 are for monitoring */
    /* As env(1), nohup(1) and timeout(1) have them. */
    DG_EXIT_CANNOT_EXECUTE = 126,
    DG_EXIT_NOT_FOUND = 127,
};

struct dg_command {
    const char *name;    /* "check", or with its group "pki init" */
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    const char *details; /* options and the rest, for its own help */
    int usage_status;    /* exit status for a mistake in usage; 0: DG_EXIT_USAGE */
    /* argv[0] is the name's last word. Returns the exit status. */
    int (*run)(const struct dg_command *command, int argc, char **argv);
};

extern const struct dg_command dg_commands[];
extern const size_t dg_command_count;

/*
 * Finds the command whose name argv starts with, and how many words that takes. NULL where there is
 * none; the reason and a suggestion are on stderr then.
 */
const struct dg_command *dg_command_find(int argc, char **argv, int *words);

/* Whether the word starts the names of commands, as "pki" does. */
bool dg_command_is_group(const char *word);

int dg_command_run(const struct dg_command *command, int argc, char **argv);
int dg_command_check(const struct dg_command *command, int argc, char **argv);
int dg_command_explain(const struct dg_command *command, int argc, char **argv);
int dg_command_status(const struct dg_command *command, int argc, char **argv);
int dg_command_scan(const struct dg_command *command, int argc, char **argv);
int dg_command_enable(const struct dg_command *command, int argc, char **argv);
int dg_command_disable(const struct dg_command *command, int argc, char **argv);
int dg_command_pki_init(const struct dg_command *command, int argc, char **argv);
int dg_command_pki_issue(const struct dg_command *command, int argc, char **argv);
int dg_command_help(const struct dg_command *command, int argc, char **argv);

#endif
