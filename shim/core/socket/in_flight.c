#include "shim/core/socket/in_flight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "shim/core/elapsed.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/roles.h"

enum { ROOM = 1000 /* no policy allows more */ };

struct flight {
    int fd;
    bool local;
    struct dg_host host;
    struct timespec since; /* CLOCK_MONOTONIC_COARSE */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct flight flights[ROOM]; /* under the lock, in the order of arrival */
static size_t count;
static atomic_size_t count_seen; /* the same, for a quick look */

static void strike_out(size_t index)
{
    count--;
    atomic_store(&count_seen, count);
    memmove(&flights[index], &flights[index + 1], (count - index) * sizeof flights[0]);
}

/* The first, and so the oldest, of a host, or (NULL) of all; `count` where there is none. *found:
 * how many there are. */
static size_t oldest_of(const struct dg_host *host, size_t *found)
{
    size_t oldest = count;

    *found = 0;
    for (size_t i = count; i-- > 0;) {
        if (host == NULL || (!flights[i].local && dg_host_equal(host, &flights[i].host))) {
            oldest = i;
            ++*found;
        }
    }
    return oldest;
}

/* Who has to go so that one more may come; -1: nobody. */
static int choose(const struct flight *coming, size_t limit, const char **reason)
{
    size_t share = limit >= 4 ? limit / 4 : 1;
    size_t found;
    size_t oldest = oldest_of(&coming->host, &found);

    *reason = "gave way to a newer connection: too many handshakes of this host "
              "(a quarter of tls.max_handshakes)";
    if (coming->local || found < share) {
        oldest = oldest_of(NULL, &found);
        *reason = "gave way to a newer connection: too many handshakes (tls.max_handshakes)";
        if (found < limit) {
            return -1;
        }
    }
    return flights[oldest].fd;
}

/* Who has been too long at it; -1: nobody. */
static int choose_late(const struct flight *coming, double timeout)
{
    return count > 0 && dg_seconds_between(&flights[0].since, &coming->since) > timeout
               ? flights[0].fd
               : -1;
}

/* The number may stand for something else by now: then it is left alone. */
static void end(int fd, const char *reason)
{
    struct dg_socket *socket = dg_table_lock(fd);

    if (socket != NULL) {
        if (socket->role == DG_ROLE_DISTRIBUTION_INCOMING ||
            (socket->role == DG_ROLE_GUARDED && socket->incoming && !socket->admitted)) {
            dg_refuse(socket, fd, reason, socket->node);
        }
        dg_table_unlock(socket);
    }
}

/* One who has to go before `coming` may come, taken from the list; -1: nobody has to. */
static int next_to_go(const struct flight *coming, const struct dg_tls_policy *tls,
                      const char **reason)
{
    int fd;

    pthread_mutex_lock(&lock);
    *reason = DG_HANDSHAKE_LATE;
    fd = choose_late(coming, tls->handshake_timeout);
    if (fd < 0) {
        fd = choose(coming, tls->max_handshakes < ROOM ? tls->max_handshakes : ROOM - 1, reason);
    }
    for (size_t i = 0; fd >= 0 && i < count; i++) {
        if (flights[i].fd == fd) {
            strike_out(i);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static void add(const struct flight *coming)
{
    pthread_mutex_lock(&lock);
    if (count < ROOM) {
        flights[count++] = *coming;
        atomic_store(&count_seen, count);
    }
    pthread_mutex_unlock(&lock);
}

void dg_in_flight_enter(int fd, const struct sockaddr_storage *from, bool local)
{
    struct flight coming = {.fd = fd, .local = local};
    const struct dg_rules *rules = dg_rules_hold();
    const char *reason;
    int victim;

    (void)dg_address_host(from, &coming.host);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &coming.since);
    while ((victim = next_to_go(&coming, &rules->policy->tls, &reason)) >= 0) {
        end(victim, reason);
    }
    add(&coming);
    dg_rules_release(rules);
}

void dg_in_flight_leave(int fd)
{
    if (atomic_load(&count_seen) == 0) {
        return;
    }
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) {
        if (flights[i].fd == fd) {
            strike_out(i);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

bool dg_in_flight_is_late(int fd, double timeout)
{
    struct timespec now;
    bool late = false;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++) {
        if (flights[i].fd == fd) {
            late = dg_seconds_between(&flights[i].since, &now) > timeout;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return late;
}

void dg_in_flight_forked(void)
{
    pthread_mutex_init(&lock, NULL);
    count = 0;
    atomic_store(&count_seen, 0);
}
