/* The time between two moments of one clock, and a moment to come. */
#ifndef DISTGUARD_ELAPSED_H
#define DISTGUARD_ELAPSED_H

#include <time.h>

static inline double dg_seconds_between(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static inline long dg_milliseconds_between(const struct timespec *from, const struct timespec *to)
{
    return (to->tv_sec - from->tv_sec) * 1000 + (to->tv_nsec - from->tv_nsec) / 1000000;
}

/* For pthread_mutex_timedlock(3), so of CLOCK_REALTIME. */
static inline struct timespec dg_in_a_second(void)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec++;
    return limit;
}

#endif
