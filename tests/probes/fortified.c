/* Compiled with _FORTIFY_SOURCE: here read is __read_chk, and so on. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probes/probe.h"

enum { BUFFER = 4096 };

/* The compiler must not know the size, or it leaves out the check. */
static size_t hidden(size_t size)
{
    volatile size_t hiding = size;

    return hiding;
}

static ssize_t deliver(ssize_t result, void *bytes, const char *buffer)
{
    int error = errno;

    if (result > 0) {
        memcpy(bytes, buffer, (size_t)result);
    }
    errno = error;
    return result;
}

ssize_t read_fortified(int fd, void *bytes, size_t size)
{
    char buffer[BUFFER];

    return deliver(read(fd, buffer, hidden(size < BUFFER ? size : BUFFER)), bytes, buffer);
}

ssize_t recv_fortified(int fd, void *bytes, size_t size)
{
    char buffer[BUFFER];

    return deliver(recv(fd, buffer, hidden(size < BUFFER ? size : BUFFER), 0), bytes, buffer);
}

ssize_t recvfrom_fortified(int fd, void *bytes, size_t size)
{
    char buffer[BUFFER];

    return deliver(recvfrom(fd, buffer, hidden(size < BUFFER ? size : BUFFER), 0, NULL, NULL),
                   bytes, buffer);
}

void overflow_fortified(int fd)
{
    char buffer[8];

    if (read(fd, buffer, hidden(sizeof buffer + 1)) >= 0) {
        (void)puts(buffer);
    }
}

int print_fortified(int fd, const char *text)
{
    return dprintf(fd, "%s", text);
}

/* How libc ends a program whose buffer is too small. */
static void overflow_in_child(const char *on, struct ends ends)
{
    const struct rlimit no_core = {0, 0};
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)close(STDERR_FILENO);
        overflow_fortified(ends.from);
        _exit(0);
    }
    (void)waitpid(child, &status, 0);
    printf("overflow, %s: signal %s\n", on,
           WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "none");
    (void)fflush(stdout);
}

void probe_fortified(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct ends ends = kinds[i].open();

        if (kinds[i].carries_bytes) {
            report("dprintf", kinds[i].name, CALL(print_fortified(ends.to, "0123456789")));
            overflow_in_child(kinds[i].name, ends);
        }
        close_ends(ends);
    }
}
