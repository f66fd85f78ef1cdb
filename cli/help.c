#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/options.h"

static void summarize(const struct dg_command *command)
{
    (void)printf("  %-10s  %s\n", command->name, command->summary);
}

void dg_help_overview(void)
{
    (void)puts("usage: distguard COMMAND [ARGUMENT...]\n"
               "       distguard --help | --version\n"
               "\n"
               "Mutual TLS for Erlang distribution, without a change to the release.\n");
    for (size_t i = 0; i < dg_command_count; i++)
        summarize(&dg_commands[i]);
    (void)puts("\n`distguard help COMMAND` explains one.");
}

void dg_help_command(const struct dg_command *command)
{
    (void)printf("usage: distguard %s %s\n\n%s: %s\n", command->name, command->usage, command->name,
                 command->summary);
    if (command->details[0] != '\0')
        (void)printf("\n%s", command->details);
}

void dg_help_group(const char *word)
{
    size_t size = strlen(word);

    (void)printf("usage: distguard %s COMMAND [ARGUMENT...]\n\n", word);
    for (size_t i = 0; i < dg_command_count; i++) {
        if (strncmp(dg_commands[i].name, word, size) == 0 && dg_commands[i].name[size] == ' ')
            summarize(&dg_commands[i]);
    }
    (void)printf("\n`distguard help %s COMMAND` explains one.\n", word);
}

int dg_command_help(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {DG_OPTION_HELP, {0}};
    const struct dg_command *subject;
    int words;

    while (dg_next_option(command, argc, argv, DG_OPTIONS_FIRST, options) != -1)
        continue;
    argc -= optind;
    argv += optind;
    if (argc == 0) {
        dg_help_overview();
        return DG_EXIT_OK;
    }
    if (argc == 1 && dg_command_is_group(argv[0])) {
        dg_help_group(argv[0]);
        return DG_EXIT_OK;
    }
    subject = dg_command_find(argc, argv, &words);
    if (subject == NULL)
        return DG_EXIT_USAGE;
    if (argc > words)
        return dg_usage_error(command, "\"%s\" is one word too many", argv[words]);
    dg_help_command(subject);
    return DG_EXIT_OK;
}
