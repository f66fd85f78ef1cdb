#include "shim/core/report/writer.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/background.h"

static struct dg_background thread; /* started under the lock */

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

bool dg_writer_put(const struct dg_line *line)
{
    bool taken;

    if (!dg_background_is_ours(&thread)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    taken = dg_background_start(&thread, write_lines) && dg_line_ring_put(&ring, line);
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
    idle = !dg_background_runs(&thread) || (!writing && dg_line_ring_is_empty(&ring));
    pthread_mutex_unlock(&lock);
    return idle;
}

unsigned dg_writer_flush(unsigned milliseconds)
{
    const struct timespec step = {.tv_nsec = 1000000};

    for (; dg_background_is_ours(&thread) && !is_idle() && milliseconds > 0; milliseconds--) {
        (void)nanosleep(&step, NULL);
    }
    return milliseconds;
}

bool dg_writer_runs(void)
{
    return dg_background_runs(&thread);
}

void dg_writer_forked(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&put, NULL);
    ring.put = ring.taken = 0;
    writing = false;
    thread.owner = 0;
}
