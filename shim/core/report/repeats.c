#include "shim/core/report/repeats.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* So many lines a minute, and no more, whoever comes. */
enum { KINDS = 256 };

struct kind {
    time_t said; /* CLOCK_MONOTONIC, seconds */
    unsigned window;
    struct dg_repeats_rest rest; /* no peer: the place is free */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kind kinds[KINDS]; /* under the lock */
static unsigned others;          /* that found no place; under the lock */
static time_t others_since;

static time_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

static bool is_free(const struct kind *kind)
{
    return kind->rest.peer[0] == '\0';
}

static bool is_over(const struct kind *kind, time_t now)
{
    return now - kind->said >= (time_t)kind->window;
}

static struct kind *find(const char *peer, const char *reason)
{
    for (int i = 0; i < KINDS; i++) {
        if (strncmp(kinds[i].rest.peer, peer, DG_REPEATS_PEER - 1) == 0 &&
            strncmp(kinds[i].rest.reason, reason, DG_REPEATS_REASON - 1) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* A place that is free, or whose window is over, or the oldest of those that are kept for longer
 * than need be. NULL where a crowd has taken them all. */
static struct kind *take_place(time_t now)
{
    struct kind *oldest = NULL;

    for (int i = 0; i < KINDS; i++) {
        if (is_free(&kinds[i])) {
            return &kinds[i];
        }
        if ((is_over(&kinds[i], now) || kinds[i].window > DG_REPEATS_MINUTE) &&
            (oldest == NULL || kinds[i].said < oldest->said)) {
            oldest = &kinds[i];
        }
    }
    return oldest;
}

/* Under the lock. */
static void count_others(time_t now)
{
    if (others == 0) {
        others_since = now;
    }
    others++;
}

bool dg_repeats_first(const char *peer, const char *reason, unsigned window, unsigned *unsaid)
{
    time_t now = seconds();
    struct kind *kind;
    bool first = true;

    *unsaid = 0;
    pthread_mutex_lock(&lock);
    kind = find(peer, reason);
    if (kind != NULL && !is_over(kind, now)) {
        kind->rest.count++;
        first = false;
    } else if (kind != NULL) {
        *unsaid = kind->rest.count;
    } else if ((kind = take_place(now)) == NULL) {
        count_others(now);
        first = false;
    } else {
        (void)snprintf(kind->rest.peer, sizeof kind->rest.peer, "%s", peer);
        (void)snprintf(kind->rest.reason, sizeof kind->rest.reason, "%s", reason);
    }
    if (first) {
        kind->rest.count = 0;
        kind->said = now;
        kind->window = window;
    }
    pthread_mutex_unlock(&lock);
    return first;
}

bool dg_repeats_overdue(struct dg_repeats_rest *rest)
{
    time_t now = seconds();
    bool found = false;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < KINDS && !found; i++) {
        if (!is_free(&kinds[i]) && kinds[i].rest.count > 0 && is_over(&kinds[i], now)) {
            *rest = kinds[i].rest;
            kinds[i] = (struct kind){.said = 0};
            found = true;
        }
    }
    if (!found && others > 0 && now - others_since >= DG_REPEATS_MINUTE) {
        *rest = (struct dg_repeats_rest){
            .peer = "others", .reason = "more than the log tells apart", .count = others};
        others = 0;
        found = true;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void dg_repeats_forked(void)
{
    pthread_mutex_init(&lock, NULL);
}
