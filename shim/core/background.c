#include "shim/core/background.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* On top of what libc asks for. */
#define STACK_SIZE ((size_t)64 << 10)

bool dg_background_is_ours(const struct dg_background *background)
{
    pid_t owner = atomic_load(&background->owner);

    return owner == 0 || owner == getpid();
}

bool dg_background_runs(const struct dg_background *background)
{
    return atomic_load(&background->owner) == getpid();
}

/* Where the program may run, rather than the one processor that the thread to need this first may
 * be bound to (erl +sbt). Its first thread is bound to none. */
static void free_of_its_maker(pthread_attr_t *attributes)
{
    cpu_set_t processors;

    if (sched_getaffinity(getpid(), sizeof processors, &processors) == 0) {
        (void)pthread_attr_setaffinity_np(attributes, sizeof processors, &processors);
    }
}

/* A signal of the program's must not be handled on this thread's small stack. */
static bool start(void *(*run)(void *))
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t every;
    int error;

    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    (void)sigfillset(&every);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes,
                                    (size_t)sysconf(_SC_THREAD_STACK_MIN) + STACK_SIZE);
    free_of_its_maker(&attributes);
    error = pthread_attr_setsigmask_np(&attributes, &every);
    if (error == 0) {
        error = pthread_create(&thread, &attributes, run, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    return error == 0;
}

bool dg_background_start(struct dg_background *background, void *(*run)(void *))
{
    if (atomic_load(&background->owner) == 0 && start(run)) {
        atomic_store(&background->owner, getpid());
    }
    return atomic_load(&background->owner) != 0;
}
