#include "shim/core/socket/learned.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "shim/core/socket/address.h"

enum { DESTINATIONS = 256, DESTINATION_SECONDS = 30 };

static _Atomic uint8_t listeners[65536]; /* by port */
static atomic_uint listener_count;

struct destination {
    struct sockaddr_storage address;
    time_t learned; /* CLOCK_MONOTONIC, seconds */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct destination destinations[DESTINATIONS]; /* a ring, under lock */
static unsigned next;

void dg_learn_listener(uint16_t port)
{
    if (atomic_exchange(&listeners[port], 1) == 0) {
        atomic_fetch_add(&listener_count, 1);
    }
}

void dg_forget_listener(uint16_t port)
{
    if (atomic_exchange(&listeners[port], 0) != 0) {
        atomic_fetch_sub(&listener_count, 1);
    }
}

bool dg_is_learned_listener(uint16_t port)
{
    return atomic_load(&listeners[port]) != 0;
}

bool dg_has_learned_listener(void)
{
    return atomic_load(&listener_count) > 0;
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

void dg_learn_destination(const struct sockaddr_storage *address)
{
    pthread_mutex_lock(&lock);
    destinations[next] = (struct destination){.address = *address, .learned = now()};
    next = (next + 1) % DESTINATIONS;
    pthread_mutex_unlock(&lock);
}

bool dg_is_learned_destination(const struct sockaddr_storage *address)
{
    time_t oldest = now() - DESTINATION_SECONDS;
    bool found = false;

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < DESTINATIONS && !found; i++) {
        found = destinations[i].learned >= oldest && destinations[i].learned > 0 &&
                dg_address_equal(&destinations[i].address, address);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void dg_learned_forked(void)
{
    pthread_mutex_init(&lock, NULL);
}
