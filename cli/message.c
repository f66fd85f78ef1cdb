#include "cli/message.h"

#include <stdarg.h>
#include <stdio.h>

void dg_complain(const char *format, ...)
{
    va_list arguments;

    (void)fflush(stdout); /* in the order in which it was said, also where both are one file */
    (void)fputs("distguard: ", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
}
