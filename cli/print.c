#include "cli/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/wording.h"

#define KEY_WIDTH 31

static const char *section = "";

bool dg_print_for_people(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void dg_print_fact(const char *key, const char *format, ...)
{
    char *value;
    va_list arguments;

    va_start(arguments, format);
    value = dg_word_arguments(format, arguments);
    va_end(arguments);
    /* A value is one line, and no terminal obeys it. */
    for (char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == '\x7f')
            *c = '?';
    }
    if (dg_print_for_people())
        (void)printf("%-*s  %s\n", KEY_WIDTH, key, value);
    else
        (void)printf("%s%s=%s\n", section, key, value);
    free(value);
}

void dg_print_section(const char *prefix, const char *title)
{
    section = prefix;
    if (dg_print_for_people())
        (void)printf("\n%s\n", title);
}

void dg_print_date(char date[DG_DATE_SIZE], time_t time)
{
    struct tm utc;

    if (gmtime_r(&time, &utc) == NULL ||
        strftime(date, DG_DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        date[0] = '\0';
}
