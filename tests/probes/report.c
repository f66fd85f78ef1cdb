#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/probes/probe.h"

struct outcome outcome_of(ssize_t result)
{
    return (struct outcome){.result = result, .error = errno};
}

static volatile sig_atomic_t broken_pipes;

static void count_broken_pipe(int signal_number)
{
    (void)signal_number;
    broken_pipes++;
}

void report_broken_pipes(void)
{
    struct sigaction action = {.sa_handler = count_broken_pipe};

    (void)sigaction(SIGPIPE, &action, NULL);
}

static void print_bytes(const unsigned char *bytes, size_t size)
{
    (void)putchar('"');
    for (size_t i = 0; i < size; i++) {
        if (isprint(bytes[i])) {
            (void)putchar(bytes[i]);
        } else {
            printf("\\x%02x", bytes[i]);
        }
    }
    (void)putchar('"');
}

static void print_errno(struct outcome outcome)
{
    if (broken_pipes > 0) {
        printf(" SIGPIPE");
        broken_pipes = 0;
    }
    if (outcome.result < 0) {
        const char *name = strerrorname_np(outcome.error);

        printf(" %s", name != NULL ? name : "errno untouched");
    } else if (outcome.error != ERRNO_BEFORE) {
        printf(" but errno became %s", strerrorname_np(outcome.error));
    }
}

void report(const char *what, const char *on, struct outcome outcome)
{
    printf("%s, %s: %zd", what, on, outcome.result);
    print_errno(outcome);
    printf("\n");
    (void)fflush(stdout);
}

void report_bytes(const char *what, const char *on, struct outcome outcome, const void *bytes)
{
    printf("%s, %s: %zd ", what, on, outcome.result);
    if (outcome.result > 0) {
        print_bytes(bytes, (size_t)outcome.result);
    }
    print_errno(outcome);
    printf("\n");
    (void)fflush(stdout);
}

int report_descriptor(const char *what, const char *on, struct outcome outcome)
{
    int fd = (int)outcome.result;

    outcome.result = fd >= 0 ? 0 : -1;
    report(what, on, outcome);
    return fd;
}

void give_up(const char *what)
{
    perror(what);
    exit(99);
}
