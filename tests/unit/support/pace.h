/*
 * The clock by which writes are gathered, and the flusher's ticks: both stand still until the test
 * moves them. These definitions come before libc's, so that they are those of whoever includes this
 * and of no other test.
 */
#ifndef DISTGUARD_TESTS_PACE_H
#define DISTGUARD_TESTS_PACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/socket/flusher.h"

enum {
    PACE_INSTANT = 50 * 1000,    /* nanoseconds */
    PACE_A_WHILE = 10000 * 1000, /* nanoseconds */
    PACE_PATIENCE = 10,          /* seconds */
};

static _Atomic uint64_t pace_time = UINT64_C(1000000000); /* nanoseconds */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool runs;        /* as fast as the flusher wants */
    unsigned allowed; /* ticks, if not */
    bool waits;       /* for one */
    unsigned ticks;   /* that were */
} pace = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int clock_gettime(clockid_t clock, struct timespec *time)
{
    uint64_t now = atomic_load(&pace_time);

    if (clock != CLOCK_MONOTONIC) {
        return (int)syscall(SYS_clock_gettime, clock, time);
    }
    *time = (struct timespec){.tv_sec = (time_t)(now / 1000000000U),
                              .tv_nsec = (long)(now % 1000000000U)};
    return 0;
}

static inline void pace_advance(uint64_t nanoseconds)
{
    atomic_fetch_add(&pace_time, nanoseconds);
}

static inline void pace_wait(void)
{
    pthread_mutex_lock(&pace.lock);
    pace.waits = true;
    pthread_cond_broadcast(&pace.changed);
    while (!pace.runs && pace.allowed == 0) {
        pthread_cond_wait(&pace.changed, &pace.lock);
    }
    pace.allowed -= pace.runs ? 0 : 1;
    pace.waits = false;
    pace.ticks++;
    pthread_mutex_unlock(&pace.lock);
}

int nanosleep(const struct timespec *time, struct timespec *rest)
{
    char name[16] = "";
    int result = (int)syscall(SYS_nanosleep, time, rest);

    (void)prctl(PR_GET_NAME, name, 0UL, 0UL, 0UL);
    if (strcmp(name, DG_FLUSHER_NAME) == 0) {
        pace_wait();
    }
    return result;
}

/* Lets the flusher go on, and waits until it is here again. */
static inline void pace_one(void)
{
    struct timespec limit;
    unsigned ticks;
    int error = 0;

    (void)clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += PACE_PATIENCE;
    pthread_mutex_lock(&pace.lock);
    pace.allowed++;
    pthread_cond_broadcast(&pace.changed);
    while (error == 0 && (!pace.waits || pace.allowed > 0)) {
        error = pthread_cond_timedwait(&pace.changed, &pace.lock, &limit);
    }
    ticks = pace.ticks;
    pthread_mutex_unlock(&pace.lock);
    if (error != 0) {
        fail_msg("the flusher does not come again, after %u ticks", ticks);
    }
}

/* The flusher passes by all that is watched, and something of it must be so still. Twice, as before
 * each tick it has noted what to visit behind it. */
static inline void pace_tick(void)
{
    pace_one();
    pace_one();
}

static inline void pace_run(bool runs)
{
    pthread_mutex_lock(&pace.lock);
    pace.runs = runs;
    pthread_cond_broadcast(&pace.changed);
    pthread_mutex_unlock(&pace.lock);
}

static inline unsigned pace_ticks(void)
{
    unsigned ticks;

    pthread_mutex_lock(&pace.lock);
    ticks = pace.ticks;
    pthread_mutex_unlock(&pace.lock);
    return ticks;
}

/* In the child of a fork, which has no flusher yet. */
static inline void pace_forked(void)
{
    pthread_mutex_init(&pace.lock, NULL);
    pthread_cond_init(&pace.changed, NULL);
    pace.allowed = 0;
    pace.waits = false;
    pace.ticks = 0;
}

#endif
