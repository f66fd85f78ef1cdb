#include "shim/core/report/timestamp.h"

#include <stdbool.h>
#include <stdio.h>

#define SECONDS_PER_DAY 86400u

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

void dg_timestamp(const struct timespec *time, char text[DG_TIMESTAMP_SIZE])
{
    unsigned long seconds = (unsigned long)time->tv_sec;
    unsigned days = (unsigned)(seconds / SECONDS_PER_DAY);
    unsigned rest = (unsigned)(seconds % SECONDS_PER_DAY);
    unsigned year = 1970, month = 1;

    for (; days >= (is_leap(year) ? 366u : 365u); year++)
        days -= is_leap(year) ? 366u : 365u;
    for (; days >= days_in_month(year, month); month++)
        days -= days_in_month(year, month);
    (void)snprintf(text, DG_TIMESTAMP_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000,
                   month, (days + 1) % 100, rest / 3600 % 100, rest / 60 % 60, rest % 60,
                   (unsigned)(time->tv_nsec / 1000000) % 1000);
}
