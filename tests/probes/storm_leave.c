/* The ways by which a process ends while its threads are in handshakes and in the midst of data. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/probes/storm.h"

enum { STATUS = 7 };

/* A last connection, when the process has begun to end. */
static void talk_once_more(void)
{
    int fd = storm_join();

    if (fd >= 0) {
        (void)storm_try(fd, storm_new_id(), 0, 100);
        (void)close(fd);
    }
}

__attribute__((destructor)) static void talk_at_the_end(void)
{
    if (getenv("STORM_TALKS") != NULL) {
        talk_once_more();
    }
}

static void *leave_from_another(void *unused)
{
    (void)unused;
    exit(STATUS);
}

/* As libc frees what a thread had of its own. */
static void talk_at_thread_exit(void *unused)
{
    (void)unused;
    talk_once_more();
    exit(STATUS);
}

static void *end_thread(void *unused)
{
    static pthread_key_t key;

    talk_once_more(); /* so that our library's own keys are made first, and freed first */
    (void)pthread_key_create(&key, talk_at_thread_exit);
    (void)pthread_setspecific(key, &key);
    return unused;
}

enum { ENDING = 200, ENDING_WITHIN = 500 /* us */ };

static pthread_barrier_t all_have_talked;

static void *talk_and_end(void *unused)
{
    unsigned seed = (unsigned)gettid();

    talk_once_more();
    (void)pthread_barrier_wait(&all_have_talked);
    (void)usleep((useconds_t)(rand_r(&seed) % ENDING_WITHIN));
    return unused;
}

static void release(void)
{
    (void)pthread_barrier_wait(&all_have_talked);
}

/* Threads that have been in handshakes come to their ends while OpenSSL is torn down, where another
 * library lets it be (openssl.c). */
static void leave_with_threads(void)
{
    void (**at_end)(void) = dlsym(RTLD_DEFAULT, "openssl_at_end");
    pthread_t thread;

    storm_want("pthread_barrier_init", pthread_barrier_init(&all_have_talked, NULL, ENDING + 1), 0);
    for (int i = 0; i < ENDING; i++) {
        storm_want("pthread_create", pthread_create(&thread, NULL, talk_and_end, NULL), 0);
    }
    if (at_end == NULL) {
        release();
    } else {
        *at_end = release;
    }
}

void storm_prepare_to_leave(const char *how)
{
    if (strcmp(how, "talking") == 0) {
        (void)setenv("STORM_TALKS", "1", 1);
        (void)atexit(talk_once_more);
        (void)at_quick_exit(talk_once_more);
    }
}

static void leave_by_thread(void *(*run)(void *))
{
    pthread_t thread;

    storm_want("pthread_create", pthread_create(&thread, NULL, run, NULL), 0);
    for (;;) {
        (void)pause();
    }
}

void storm_leave(const char *how)
{
    if (strcmp(how, "_exit") == 0) {
        _exit(STATUS);
    } else if (strcmp(how, "quick_exit") == 0) {
        quick_exit(STATUS);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "kill") == 0) {
        (void)kill(getpid(), SIGKILL);
    } else if (strcmp(how, "term") == 0) {
        (void)kill(getpid(), SIGTERM);
    } else if (strcmp(how, "thread") == 0) {
        leave_by_thread(leave_from_another);
    } else if (strcmp(how, "destructor") == 0) {
        leave_by_thread(end_thread);
    } else if (strcmp(how, "ending") == 0) {
        leave_with_threads();
    }
    exit(STATUS); /* "exit", "talking", "ending" */
}
