#include "cli/programs.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those the library guards of its own accord. */
static bool built_in(const char *program)
{
    return strcmp(program, "beam.smp") == 0 || strcmp(program, "epmd") == 0 ||
           strcmp(program, "erl_call") == 0;
}

char *dg_programs_word(const struct dg_string_list *programs, struct dg_error *error)
{
    char *list = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&list, &size);
    const char *separator = "";
    int result = 0;

    if (stream == NULL) {
        (void)dg_fail(error, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < programs->count; i++) {
        if (built_in(programs->strings[i]))
            continue;
        if (strchr(programs->strings[i], ':') != NULL)
            result = dg_fail(error,
                             "program \"%s\" of the policy has a colon in its name, which "
                             "DISTGUARD_PROGRAMS cannot carry: rename it",
                             programs->strings[i]);
        (void)fprintf(stream, "%s%s", separator, programs->strings[i]);
        separator = ":";
    }
    if (fclose(stream) != 0)
        result = dg_fail(error, "out of memory");
    if (result == 0)
        return list;
    free(list);
    return NULL;
}
