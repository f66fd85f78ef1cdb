/* What one thread does to the number of a guarded connection that another is using. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probes/peer.h"

static const char text[] = MARKER MARKER MARKER;

/* How often a moment is looked for that comes by chance. */
static int rounds(void)
{
    return getenv("DISTGUARD_LONG_TESTS") != NULL ? 1000 : 60;
}

/* --- a number ends, or becomes another file's, while another thread writes to it --- */

static atomic_bool enough;

static void *write_on(void *argument)
{
    const int *fd = argument;

    while (!atomic_load(&enough) && (write(*fd, text, sizeof text) >= 0 || errno == EAGAIN)) {
    }
    return NULL;
}

static int nowhere(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    want("open", fd >= 0, 1);
    return fd;
}

static void take_away(int fd, int other)
{
    if (strcmp(variant, "dup2") == 0) {
        want("dup2 over it", dup2(other, fd), fd);
    } else if (strcmp(variant, "close_range") == 0) {
        want("close_range", close_range((unsigned)fd, (unsigned)fd, 0), 0);
    } else {
        want("close", close(fd), 0);
    }
}

void taken_client(int port)
{
    int other = nowhere();
    int count = rounds();

    for (int i = 0; i < count; i++) {
        int fd = join(port);
        pthread_t thread;

        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        atomic_store(&enough, false);
        want("pthread_create", pthread_create(&thread, NULL, write_on, &fd), 0);
        (void)usleep((useconds_t)(random() % 100));
        take_away(fd, other);
        atomic_store(&enough, true);
        (void)pthread_join(thread, NULL);
        if (strcmp(variant, "dup2") == 0) {
            (void)close(fd);
        }
    }
}

static void read_to_the_end(int fd)
{
    char bytes[65536];

    while (read(fd, bytes, sizeof bytes) > 0) {
    }
    (void)close(fd);
}

void taken_server(int listener)
{
    int count = rounds();

    for (int i = 0; i < count; i++) {
        read_to_the_end(let_in(listener));
    }
}

/* --- a number is closed and comes to be another connection while a call of the first waits --- */

struct waiting {
    int fd;
    atomic_int task;
    struct outcome outcome;
    char bytes[64];
};

/* Until the thread is in a system call of its own that names the descriptor. */
static void wait_until_it_waits(struct waiting *waiting)
{
    char path[64];
    char line[256];
    char state = '\0';

    while (atomic_load(&waiting->task) == 0) {
        (void)sched_yield();
    }
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/stat", atomic_load(&waiting->task));
    while (state != 'S') {
        FILE *file = fopen(path, "r");

        (void)usleep(20000);
        want("stat of the thread", file != NULL && fgets(line, sizeof line, file) != NULL, 1);
        (void)fclose(file);
        state = strrchr(line, ')')[2];
    }
}

static void *receive_waiting(void *argument)
{
    struct waiting *waiting = argument;

    atomic_store(&waiting->task, (int)syscall(SYS_gettid));
    waiting->outcome = CALL(recv(waiting->fd, waiting->bytes, sizeof waiting->bytes, 0));
    return NULL;
}

static void *send_waiting(void *argument)
{
    enum { MUCH = 64 * 1000 * 1000 };
    struct waiting *waiting = argument;
    char *much = malloc(MUCH);

    memset(much, 'x', MUCH);
    atomic_store(&waiting->task, (int)syscall(SYS_gettid));
    waiting->outcome = CALL(send(waiting->fd, much, MUCH, 0));
    free(much);
    return NULL;
}

/* The server's word for what it does next. */
static int join_as(int port, char what)
{
    int fd = join(port);

    send_all(fd, &what, 1);
    return fd;
}

void replaced_client(int port)
{
    bool sends = strcmp(variant, "send") == 0;
    int other = join_as(port, 'o');
    struct waiting waiting = {.fd = join_as(port, sends ? 's' : 'r')};
    char bytes[sizeof text];
    pthread_t thread;
    int next;

    want("pthread_create",
         pthread_create(&thread, NULL, sends ? send_waiting : receive_waiting, &waiting), 0);
    wait_until_it_waits(&waiting);
    want("close", close(waiting.fd), 0);
    next = join_as(port, 'n');
    want("the number of the new connection", next == waiting.fd ? next : dup2(next, waiting.fd),
         waiting.fd);
    want("something comes there", wait_for_bytes(next), 1);
    send_all(other, "e", 1); /* the first may end now */
    (void)pthread_join(thread, NULL);
    if (!sends) {
        want_errno("recv of a number that was closed", waiting.outcome, EBADF);
    }
    receive_all(next, bytes, sizeof text);
    want_bytes("the new connection's", bytes, text, sizeof text);
    send_all(next, text, sizeof text);
    want_end(next);
}

void replaced_server(int listener)
{
    int other = let_in(listener);
    char bytes[sizeof text];
    char what;
    int first;
    int next;

    receive_all(other, &what, 1);
    first = let_in(listener);
    receive_all(first, &what, 1);
    next = let_in(listener);
    receive_all(next, &what, 1);
    want("what it is", what, 'n');
    send_all(next, text, sizeof text);
    receive_all(other, &what, 1);
    (void)close(first);
    receive_all(next, bytes, sizeof text);
    want_bytes("from the new connection", bytes, text, sizeof text);
    (void)close(next);
}

/* --- descriptors beyond exec --- */

enum { FAR = 500 };

/* All that a program can do to keep a connection open when it becomes another. */
static void keep_open(int fd, int numbers[5])
{
    numbers[0] = fd;
    numbers[1] = dup(fd);
    numbers[2] = dup2(fd, nowhere());
    numbers[3] = dup3(fd, FAR, 0);
    numbers[4] = fcntl(fd, F_DUPFD, FAR);
    for (int i = 0; i < 5; i++) {
        const int off = 0;

        want("a copy", numbers[i] >= 0, 1);
        want("F_SETFD", fcntl(numbers[i], F_SETFD, 0), 0);
        want("FIONCLEX", ioctl(numbers[i], FIONCLEX, &off), 0);
    }
}

/* This program again, which tries to write to each. */
static void become_another(const int numbers[5], bool guarded)
{
    char words[5][16];
    char *const arguments[] = {"peer",   "inherited", words[0], words[1],
                               words[2], words[3],    words[4], NULL};

    for (int i = 0; i < 5; i++) {
        (void)snprintf(words[i], sizeof words[i], "%d", numbers[i]);
    }
    if (!guarded) {
        (void)setenv("DISTGUARD", "off", 1);
    }
    (void)execv("/proc/self/exe", arguments);
    give_up("execv");
}

void inherited(int count, char **numbers)
{
    for (int i = 0; i < count; i++) {
        want_errno("write to what was guarded before exec",
                   CALL(write((int)strtol(numbers[i], NULL, 10), text, sizeof text)), EBADF);
    }
}

void another_client(int port)
{
    int fd = join(port);
    int numbers[5];

    keep_open(fd, numbers);
    ask(fd, text, sizeof text);
    for (int guarded = 0; guarded < 2; guarded++) {
        int status = -1;
        pid_t child = fork();

        if (child == 0) {
            become_another(numbers, guarded);
        }
        want("wait", waitpid(child, &status, 0), child);
        want("exit status of the other program", status, 0);
        ask(numbers[guarded + 2], text, sizeof text);
    }
    become_another(numbers, false);
}

void another_server(int listener)
{
    int fd = let_in(listener);
    char byte;

    for (int i = 0; i < 3; i++) {
        answer(fd, "from the client", text, sizeof text);
    }
    want_errno("the end of a program that became another", CALL(read(fd, &byte, 1)), ECONNRESET);
}

/* --- threads with a descriptor table of their own --- */

static atomic_bool parted;

static void *stay(void *unused)
{
    while (!atomic_load(&parted)) {
        (void)usleep(1000);
    }
    return unused;
}

/* A thread is gone a moment after it was joined. */
static int unshare_once_alone(void)
{
    int result;

    for (int i = 0; (result = unshare(CLONE_FILES)) != 0 && i < 2000; i++) {
        (void)usleep(1000);
    }
    return result;
}

void apart_client(int port)
{
    int fd = join(port);
    int copy = dup(fd);
    pthread_t thread;

    ask(fd, text, sizeof text);
    want("pthread_create", pthread_create(&thread, NULL, stay, NULL), 0);
    want_errno("unshare among threads", CALL(unshare(CLONE_FILES)), EOPNOTSUPP);
    want_errno("CLOSE_RANGE_UNSHARE among threads",
               CALL(close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_UNSHARE)), EOPNOTSUPP);
    want_errno("CLOSE_RANGE_UNSHARE and CLOEXEC",
               CALL(close_range((unsigned)fd, ~0U, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)),
               EOPNOTSUPP);
    ask(fd, text, sizeof text);
    atomic_store(&parted, true);
    (void)pthread_join(thread, NULL);
    want("unshare alone", unshare_once_alone(), 0);
    want("CLOSE_RANGE_CLOEXEC", close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC), 0);
    want("CLOSE_RANGE_UNSHARE", close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_UNSHARE), 0);
    want_errno("write to what was closed", CALL(write(fd, text, 1)), EBADF);
    ask(copy, text, sizeof text);
    closefrom(copy);
}

void apart_server(int listener)
{
    int fd = let_in(listener);

    for (int i = 0; i < 3; i++) {
        answer(fd, "from either number", text, sizeof text);
    }
    want_end(fd);
}
