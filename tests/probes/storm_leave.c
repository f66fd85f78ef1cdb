/* The ways by which a process ends while its threads are in handshakes and in the midst of data. */
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
    }
    exit(STATUS); /* "exit", "talking" */
}
