#include "cli/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/message.h"
#include "policy/suggest.h"

#define OPTION_SIZE 64
#define MISTAKE_SIZE 512

int dg_usage_error(const struct dg_command *command, const char *format, ...)
{
    char mistake[MISTAKE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(mistake, sizeof mistake, format, arguments);
    va_end(arguments);
    dg_complain("%s: %s", command->name, mistake);
    (void)fprintf(stderr, "usage: distguard %s %s\n", command->name, command->usage);
    return command->usage_status != 0 ? command->usage_status : DG_EXIT_USAGE;
}

static int unknown_option(const struct dg_command *command, const char *word,
                          const struct option *options)
{
    char names[8][OPTION_SIZE];
    struct dg_suggestion suggestion;

    dg_suggest_start(&suggestion, word);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && options[i].name != NULL; i++) {
        (void)snprintf(names[i], sizeof names[i], "--%s", options[i].name);
        dg_suggest_candidate(&suggestion, names[i]);
    }
    if (suggestion.best != NULL)
        return dg_usage_error(command, "unknown option \"%s\": did you mean %s?", word,
                              suggestion.best);
    return dg_usage_error(command, "unknown option \"%s\"", word);
}

int dg_next_option(const struct dg_command *command, int argc, char **argv, const char *mode,
                   const struct option *options)
{
    int option;

    opterr = 0;
    option = getopt_long(argc, argv, mode, options, NULL);
    switch (option) {
    case 'h':
        dg_help_command(command);
        exit(DG_EXIT_OK);
    case ':':
        exit(dg_usage_error(command, "%s needs a value", argv[optind - 1]));
    case '?':
        /* optopt is set where the word held more than a name: a letter, or a value too many. */
        if (optopt == 'h')
            exit(dg_usage_error(command, "%s takes no value", argv[optind - 1]));
        exit(unknown_option(command, argv[optind - 1], options));
    default:
        return option;
    }
}
