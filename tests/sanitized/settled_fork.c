/*
 * Preloaded behind the sanitizer's runtime. GCC 12's does not take the locks of its allocator
 * before a fork, as glibc does its own: one that another thread has just then stays locked in the
 * child, which sooner or later waits for it for ever. A thread has them as it starts. So a process
 * that has one other thread, the log's (an EPMD that is about to put itself into the background),
 * forks once that thread sleeps. It sleeps with nothing of the allocator's: it waits for lines to
 * write.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 1000 /* milliseconds */ };

/* The other thread of two; 0: there are more, or none. */
static long other_thread(void)
{
    struct stat tasks;
    struct dirent *entry;
    long other = 0;
    DIR *folder;

    /* It has a link for each task, and two of its own. */
    if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink != 4) {
        return 0;
    }
    folder = opendir("/proc/self/task");
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        long id = strtol(entry->d_name, NULL, 10);

        if (id != 0 && id != (long)gettid()) {
            other = id;
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return other;
}

static bool sleeps(long thread)
{
    char path[64];
    char text[256] = "";
    const char *after_name;
    int fd;

    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/stat", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return true; /* it has ended */
    }
    if (read(fd, text, sizeof text - 1) < 0) {
        text[0] = '\0';
    }
    (void)close(fd);
    after_name = strrchr(text, ')');
    return after_name != NULL && strncmp(after_name, ") S", 3) == 0;
}

static void settle(void)
{
    const struct timespec step = {.tv_nsec = 1000000};
    long other = other_thread();

    for (int i = 0; other != 0 && !sleeps(other) && i < PATIENCE; i++) {
        (void)nanosleep(&step, NULL);
    }
}

__attribute__((constructor)) static void start(void)
{
    (void)pthread_atfork(settle, NULL, NULL);
}
