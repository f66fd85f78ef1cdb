#include "policy/error.h"

#include <stdarg.h>
#include <stdio.h>

int dg_fail(struct dg_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return -1;
}
