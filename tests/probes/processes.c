/* Children of every birth, and calls made by signal handlers. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probes/probe.h"

extern char **environ;

static void reap(const char *how, pid_t child)
{
    int status = -1;

    (void)waitpid(child, &status, 0);
    report(how, "exit status", (struct outcome){WEXITSTATUS(status), ERRNO_BEFORE});
}

/* The parent goes on with its connection, whatever its child did with the copies. */
static void go_on(const char *how, struct ends ends)
{
    char bytes[16];

    report(how, "write", CALL(write(ends.to, "\0\x20N", 3)));
    (void)wait_for_bytes(ends.from);
    report_bytes(how, "read", CALL(read(ends.from, bytes, sizeof bytes)), bytes);
    report(how, "write more", CALL(write(ends.to, "bbbbbbbbbbbbbbbbbbbbbbb", 23)));
    (void)wait_for_bytes(ends.from);
    report_bytes(how, "read more", CALL(read(ends.from, bytes, sizeof bytes)), bytes);
    close_ends(ends);
}

static void probe_fork(void)
{
    struct ends ends = tcp_ends();
    pid_t child = fork();

    if (child == 0) {
        closefrom(3);
        _exit(3);
    }
    reap("fork", child);
    go_on("fork", ends);
}

/* The child shares our memory: what it closes must not be forgotten by us.
 * NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
static void probe_vfork(void)
{
    struct ends ends = tcp_ends();
    pid_t child = vfork();

    if (child == 0) {
        (void)close(ends.to);
        (void)close(ends.from);
        _exit(4);
    }
    /* NOLINTEND(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
    reap("vfork", child);
    go_on("vfork", ends);
}

static void probe_spawn(void)
{
    struct ends ends = tcp_ends();
    char *const arguments[] = {"sh", "-c", "exit 5", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child = -1;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addclose(&actions, ends.to);
    (void)posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    report("posix_spawn", "sh",
           CALL(posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ)));
    (void)posix_spawn_file_actions_destroy(&actions);
    reap("posix_spawn", child);
    go_on("posix_spawn", ends);
}

static void probe_shell(void)
{
    char line[16] = "";
    FILE *stream = popen("echo popen", "r");

    (void)!fgets(line, sizeof line, stream);
    report_bytes("popen", "sh", (struct outcome){(ssize_t)strlen(line), ERRNO_BEFORE}, line);
    report("pclose", "sh", (struct outcome){pclose(stream), ERRNO_BEFORE});
    report("system", "sh", (struct outcome){WEXITSTATUS(system("exit 6")), ERRNO_BEFORE});
}

void probe_children(void)
{
    probe_fork();
    probe_vfork();
    probe_spawn();
    probe_shell();
}

static struct ends handled;
static volatile sig_atomic_t written;

static void write_in_handler(int signal_number)
{
    int error = errno;

    (void)signal_number;
    written = (sig_atomic_t)write(handled.to, "handler", 7);
    errno = error;
}

/* A read that waits is interrupted by a handler that writes what is read. */
static void probe_handler(const struct kind *kind, int flags)
{
    struct sigaction action = {.sa_handler = write_in_handler, .sa_flags = flags};
    const struct itimerval soon = {.it_value.tv_usec = 20000};
    const char *on = flags == 0 ? "interrupted" : "restarted";
    char bytes[16];

    handled = kind->open();
    written = 0;
    (void)sigaction(SIGALRM, &action, NULL);
    (void)setitimer(ITIMER_REAL, &soon, NULL);
    report_bytes(kind->name, on, CALL(read(handled.from, bytes, sizeof bytes)), bytes);
    report(kind->name, "the handler's write", (struct outcome){written, ERRNO_BEFORE});
    if (flags == 0 && wait_for_bytes(handled.from)) {
        report_bytes(kind->name, "then", CALL(read(handled.from, bytes, sizeof bytes)), bytes);
    }
    close_ends(handled);
}

void probe_signals(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        if (kinds[i].carries_bytes && strcmp(kinds[i].name, "file") != 0) {
            probe_handler(&kinds[i], 0);
        }
        if (kinds[i].is_tcp && kinds[i].carries_bytes) {
            probe_handler(&kinds[i], SA_RESTART);
        }
    }
}
