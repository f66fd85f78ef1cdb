/* distguard: the tool beside the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/message.h"
#include "shim/abi.h"

static int print_version(void)
{
    (void)puts("distguard " DG_VERSION);
    return DG_EXIT_OK;
}

static int print_overview(void)
{
    dg_help_overview();
    return DG_EXIT_OK;
}

static int is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch(int argc, char **argv)
{
    const struct dg_command *command;
    int words;

    if (argc < 2) {
        dg_complain("no command given: `distguard help` lists them");
        return DG_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    if (is_help(argv[1]))
        return print_overview();
    if (argc == 3 && dg_command_is_group(argv[1]) && is_help(argv[2])) {
        dg_help_group(argv[1]);
        return DG_EXIT_OK;
    }
    command = dg_command_find(argc - 1, argv + 1, &words);
    if (command == NULL)
        return DG_EXIT_USAGE;
    return command->run(command, argc - words, argv + words);
}

/* An answer that could not be delivered (full disk, closed pipe) is a failure, whatever it was. */
static void close_stdout(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)fputs("distguard: cannot write to standard output\n", stderr);
        _Exit(DG_EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    (void)atexit(close_stdout);
    return dispatch(argc, argv);
}
