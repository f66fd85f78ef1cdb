#include "shim/core/report/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/background.h"

/* Whose thread; 0: there is none. Set under the lock. */
static _Atomic pid_t owner;

static dg_writer_deliver *deliver_line;
static bool keeps_stderr_open;

/* Held while a line is copied, never while one is written. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t put = PTHREAD_COND_INITIALIZER; /* the thread waits for it */
static struct dg_line_ring ring;
static bool writing;

void dg_writer_prepare(dg_writer_deliver *deliver, bool keeps_stderr)
{
    deliver_line = deliver;
    keeps_stderr_open = keeps_stderr;
}

/* By the system call itself: close_range(3) is ours, and would take it for the program's wish.
 * close(2) likewise; what is closed here is a copy. */
static void leave_descriptors(void)
{
    if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE) != 0) {
        return; /* an older kernel, or a filter of system calls: they stay shared */
    }
    (void)syscall(SYS_close_range, STDIN_FILENO, keeps_stderr_open ? STDOUT_FILENO : STDERR_FILENO,
                  0);
}

static void *write_lines(void *unused)
{
    struct dg_line line;

    (void)unused;
    (void)pthread_setname_np(pthread_self(), DG_WRITER_NAME);
    leave_descriptors();
    pthread_mutex_lock(&lock);
    for (;;) {
        while (dg_line_ring_take(&ring, &line)) {
            writing = true;
            pthread_mutex_unlock(&lock);
            deliver_line(&line);
            pthread_mutex_lock(&lock);
            writing = false;
        }
        pthread_cond_wait(&put, &lock);
    }
    return NULL;
}

/* False in a child that was made without the fork handlers: the thread, and perhaps who holds the
 * lock, are its parent's. */
static bool is_ours(void)
{
    pid_t now = atomic_load(&owner);

    return now == 0 || now == getpid();
}

bool dg_writer_put(const struct dg_line *line)
{
    bool taken;

    if (!is_ours()) {
        return false;
    }
    pthread_mutex_lock(&lock);
    if (owner == 0 && dg_background_start(write_lines)) {
        owner = getpid();
    }
    taken = owner != 0 && dg_line_ring_put(&ring, line);
    pthread_mutex_unlock(&lock);
    if (taken) {
        pthread_cond_signal(&put);
    }
    return taken;
}

/* Whether all is written. Not known where the lock is taken: by a thread that has it for a moment,
 * or by the caller itself, who ends the program from a signal handler. */
static bool is_idle(void)
{
    bool idle;

    if (pthread_mutex_trylock(&lock) != 0) {
        return false;
    }
    idle = owner == 0 || (!writing && dg_line_ring_is_empty(&ring));
    pthread_mutex_unlock(&lock);
    return idle;
}

unsigned dg_writer_flush(unsigned milliseconds)
{
    const struct timespec step = {.tv_nsec = 1000000};

    for (; is_ours() && !is_idle() && milliseconds > 0; milliseconds--) {
        (void)nanosleep(&step, NULL);
    }
    return milliseconds;
}

bool dg_writer_runs(void)
{
    return atomic_load(&owner) == getpid();
}

void dg_writer_forked(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&put, NULL);
    ring.put = ring.taken = 0;
    writing = false;
    owner = 0;
}
