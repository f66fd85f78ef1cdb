/* Children of every birth, while the parent's threads are in the midst of their connections: the
 * parent's go on, and a child neither sends nor receives on them. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probes/storm.h"

extern char **environ;

static char *const nothing[] = {"true", NULL};

/* Only what may be called in the child of a process with threads. */
static _Noreturn void try_as_child(int fd)
{
    static const char text[] = "marker-that-nobody-may-read";
    char byte;

    if (write(fd, text, sizeof text) >= 0 || send(fd, text, sizeof text, MSG_DONTWAIT) >= 0) {
        _exit(3);
    }
    if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0) {
        _exit(4);
    }
    _exit(close(fd) == 0 ? 0 : 5);
}

static void reap(const char *how, pid_t child)
{
    int status = -1;

    storm_want(how, child > 0, 1);
    storm_want("waitpid", waitpid(child, &status, 0), child);
    if (status != 0) {
        fprintf(stderr, "%s: ", how);
        storm_want("status of the child (768: sent, 1024: received)", status, 0);
    }
}

static void fork_and_try(int fd)
{
    pid_t child = fork();

    if (child == 0) {
        try_as_child(fd);
    }
    reap("fork", child);
}

/* Without the handlers of pthread_atfork. */
static void fork_bare_and_try(int fd)
{
    pid_t child = _Fork();

    if (child == 0) {
        try_as_child(fd);
    }
    reap("_Fork", child);
}

static void clone_and_try(int fd)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (child == 0) {
        try_as_child(fd);
    }
    reap("clone", child);
}

static void fork_and_exec(int fd)
{
    pid_t child = fork();

    if (child == 0) {
        closefrom(fd);
        (void)execv("/bin/true", nothing);
        _exit(6);
    }
    reap("fork and exec", child);
}

/* What programs do all the same.
 * NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
static void vfork_and_exec(int fd)
{
    pid_t child = vfork();

    if (child == 0) {
        (void)close(fd);
        (void)execv("/bin/true", nothing);
        _exit(6);
    }
    reap("vfork and exec", child);
}
/* NOLINTEND(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */

static void spawn(int fd)
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, fd, 100);
    (void)posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    storm_want("posix_spawn", posix_spawn(&child, "/bin/true", &actions, NULL, nothing, environ),
               0);
    (void)posix_spawn_file_actions_destroy(&actions);
    reap("posix_spawn", child);
}

static void run_shell(int fd)
{
    FILE *stream = popen("true", "r");

    (void)fd;
    storm_want("popen", stream != NULL, 1);
    storm_want("pclose", pclose(stream), 0);
    storm_want("system", system("true"), 0);
}

void storm_fork(unsigned count)
{
    static void (*const births[])(int fd) = {fork_and_try,  fork_bare_and_try, clone_and_try,
                                             fork_and_exec, vfork_and_exec,    spawn,
                                             run_shell};
    uint64_t id = storm_new_id();
    size_t place = 0;
    int fd = storm_join();

    storm_want("a connection comes to be", fd >= 0, 1);
    for (unsigned i = 0; i < count; i++) {
        storm_ask(fd, id, place, 100);
        place += 100;
        births[i % (sizeof births / sizeof births[0])](fd);
    }
    storm_ask(fd, id, place, 100);
    (void)close(fd);
}
