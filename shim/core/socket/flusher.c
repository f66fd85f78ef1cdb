#include "shim/core/socket/flusher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "shim/core/background.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/room.h"
#include "shim/core/socket/table.h"
#include "shim/core/tls/scratch.h"

enum {
    /* Nanoseconds. To wake a thread costs some 10 us of a processor: every millisecond is 1 %. */
    TICK = 1000 * 1000,
    /* Connections that are flooded at once; any more send each message as it comes. */
    MOST = 256,
    /* Ticks after which the host's limits are looked at again. */
    LOOK_AGAIN = 1000,
    /* How often a program that ends looks whether its other threads have let go of a connection. */
    LAST_TICKS = 100,
};

static struct dg_background thread; /* started under the lock */

/* Taken with a socket's lock held, never the other way round. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER; /* the thread waits for it */
static int watched[MOST];
static atomic_uint count; /* set under the lock */

/* With the lock held. */
static unsigned copy_watched(int fds[MOST])
{
    unsigned many = atomic_load(&count);

    memcpy(fds, watched, many * sizeof *fds);
    return many;
}

/* *ticks: since the first of them began. */
static unsigned wait_for_floods(int fds[MOST], unsigned *ticks)
{
    unsigned many;

    pthread_mutex_lock(&lock);
    while (atomic_load(&count) == 0) {
        *ticks = 0;
        pthread_cond_wait(&begun, &lock);
    }
    many = copy_watched(fds);
    pthread_mutex_unlock(&lock);
    return many;
}

/* One entry: a writer may have added another meanwhile. */
static void forget(int fd)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count; i++) {
        if (watched[i] == fd) {
            watched[i] = watched[--count];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static bool is_watched(const struct dg_socket *socket)
{
    return socket->role == DG_ROLE_GUARDED && socket->gathering.watched;
}

/* The thread's. Whether it is to come again. */
static bool visit(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool again = false;

    if (socket == NULL) {
        return false;
    }
    if (is_watched(socket)) {
        (void)dg_gathering_flush(socket, fd);
        again = !dg_gathering_rests(&socket->gathering);
        socket->gathering.watched = again;
    }
    dg_table_unlock(socket);
    return again;
}

static void *flush(void *unused)
{
    const struct timespec tick = {.tv_nsec = TICK};
    int fds[MOST];
    unsigned ticks = 0;

    (void)unused;
    (void)pthread_setname_np(pthread_self(), DG_FLUSHER_NAME);
    (void)dg_scratch(); /* now, rather than when something is held and memory may be out */
    for (;;) {
        unsigned many = wait_for_floods(fds, &ticks);

        if (ticks++ % LOOK_AGAIN == 0) {
            dg_room_look();
        }
        (void)nanosleep(&tick, NULL);
        for (unsigned i = 0; i < many; i++) {
            if (!visit(fds[i])) {
                forget(fds[i]);
            }
        }
    }
    return NULL;
}

bool dg_flusher_watch(int fd)
{
    bool taken;

    if (!dg_background_is_ours(&thread)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    taken = dg_background_start(&thread, flush) && count < MOST;
    if (taken) {
        watched[count++] = fd;
    }
    pthread_mutex_unlock(&lock);
    if (taken) {
        pthread_cond_signal(&begun);
    }
    return taken;
}

/* False where another thread has the connection. */
static bool try_to_send(int fd)
{
    struct dg_socket *socket;

    if (!dg_table_try_lock(fd, NULL, &socket)) {
        return false;
    }
    if (socket != NULL) {
        if (is_watched(socket)) {
            (void)dg_gathering_flush(socket, fd);
        }
        dg_table_unlock(socket);
    }
    return true;
}

/* Whether no other thread has one of the connections. `take` gets the lock: it waits for it, or
 * tries. */
static bool try_all(int (*take)(pthread_mutex_t *))
{
    int fds[MOST];
    unsigned many;
    bool all = true;

    if (take(&lock) != 0) {
        return false;
    }
    many = copy_watched(fds);
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; i < many; i++) {
        all = try_to_send(fds[i]) && all;
    }
    return all;
}

static bool has_floods(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed) > 0 && dg_background_is_ours(&thread);
}

/* Who writes to a connection at this moment polls later. A thread that never wrote anything (the VM
 * has some that do nothing but poll) would need memory for it, and has none of its own waiting. */
void dg_hook_polls(void)
{
    int saved = errno;

    if (has_floods() && dg_scratch_is_made()) {
        (void)try_all(pthread_mutex_lock);
        errno = saved;
    }
}

/* At exit(3), and at _exit(2), by which OTP 27 and later halt without flushing. Not for ever, as
 * who ends the program may be what has stopped another thread, or be a signal handler on a thread
 * that has one of the locks. */
__attribute__((destructor)) void dg_hook_ends(void)
{
    const struct timespec tick = {.tv_nsec = TICK};

    for (int i = 0; i < LAST_TICKS && has_floods() && !try_all(pthread_mutex_trylock); i++) {
        (void)nanosleep(&tick, NULL);
    }
}

void dg_flusher_forked(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&begun, NULL);
    count = 0;
    thread.owner = 0;
}
