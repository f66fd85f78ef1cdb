/*
 * What a system call costs: calls read-write|exec
 *
 * Answers each line of standard input, whose number says how often, with one line: nanoseconds for
 * one call, over that many of them. The one who asks starts this program with the library and
 * without, and asks both in turn.
 */
#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

/* One byte through a pipe, so that neither call waits: half of the time is the write's. */
static double read_write(unsigned long times)
{
    static int ends[2] = {-1, -1};
    uint64_t begin;
    char byte = 'x';

    if (ends[0] < 0) {
        require(pipe(ends) == 0, "pipe");
    }
    begin = now();
    for (unsigned long i = 0; i < times; i++) {
        require(write(ends[1], &byte, 1) == 1, "write");
        require(read(ends[0], &byte, 1) == 1, "read");
    }
    return (double)(now() - begin) / (double)(2 * times);
}

/* From the start of /bin/true, which inherits our environment, until it has ended. */
static double execute(unsigned long times)
{
    char *arguments[] = {"/bin/true", NULL};
    uint64_t begin = now();

    for (unsigned long i = 0; i < times; i++) {
        pid_t child;
        int status;

        errno = posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ);
        require(errno == 0, arguments[0]);
        require(waitpid(child, &status, 0) == child && status == 0, "the end of /bin/true");
    }
    return (double)(now() - begin) / (double)times;
}

int main(int count, char **arguments)
{
    double (*measure)(unsigned long times) = NULL;
    char line[32];

    if (count == 2 && strcmp(arguments[1], "read-write") == 0) {
        measure = read_write;
    } else if (count == 2 && strcmp(arguments[1], "exec") == 0) {
        measure = execute;
    } else {
        fputs("usage: calls read-write|exec\n", stderr);
        return 2;
    }
    while (fgets(line, sizeof(line), stdin)) {
        unsigned long times = strtoul(line, NULL, 10);

        require(times > 0, "the number of calls");
        printf("%.1f\n", measure(times));
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
