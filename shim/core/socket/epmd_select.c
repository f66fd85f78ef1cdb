/*
 * select(2) for epmd: where its loop waits, the waiting room's work is done. To epmd a listener is
 * readable when a connection is ready to be accepted, and a connection when there is plaintext to
 * be read.
 */
#include <errno.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#include "shim/core/core.h"
#include "shim/core/elapsed.h"
#include "shim/core/socket/epmd_queue.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"

enum { MOST_POLLED = FD_SETSIZE + 1024 };

/* The caller's question, as poll(2) puts it. */
struct question {
    int count; /* of descriptors in the sets */
    const fd_set *sets[3];
    struct pollfd polled[MOST_POLLED];
    size_t asked;   /* of polled[]: the caller's */
    size_t waiting; /* behind them: the waiting room's */
};

static const short events_of[3] = {POLLIN, POLLOUT, POLLPRI};
static const short answers_of[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

static void take_over(struct dg_socket *socket, int fd)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;

    socket->foreign = true;
    if (getsockname(fd, (struct sockaddr *)&own, &size) == 0) {
        dg_show_listener(socket, &own, &own);
    }
}

/* systemd's listeners were made by nobody we have seen; they are known by what they are. */
static bool is_listener(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    int listening = 0;
    socklen_t size = sizeof listening;
    bool is;

    if (socket == NULL && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
        listening != 0) {
        socket = dg_table_watch(fd, DG_ROLE_LISTENER);
        if (socket != NULL) {
            take_over(socket, fd);
        }
    }
    is = socket != NULL && socket->role == DG_ROLE_LISTENER;
    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return is;
}

/* Whether a listener has nothing to give now whatever the kernel would say. */
static bool is_left_out(int fd)
{
    return dg_epmd_rests() && is_listener(fd) && !dg_epmd_is_ready(fd);
}

static void ask(struct question *question)
{
    question->asked = 0;
    for (int fd = 0; fd < question->count; fd++) {
        short events = 0;

        for (int i = 0; i < 3; i++) {
            if (question->sets[i] != NULL && FD_ISSET(fd, question->sets[i])) {
                events |= events_of[i];
            }
        }
        if (events != 0 && !is_left_out(fd)) {
            question->polled[question->asked++] = (struct pollfd){.fd = fd, .events = events};
        }
    }
    question->waiting =
        dg_epmd_poll(question->polled + question->asked, MOST_POLLED - question->asked);
}

/* A request that has come whole before epmd saw its connection. */
static bool has_request(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool has = socket != NULL && socket->request != NULL;

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return has;
}

/* Whether the caller is to be told at once, whatever poll would say. */
static bool is_ready(int fd)
{
    return is_listener(fd) ? dg_epmd_is_ready(fd) : has_request(fd);
}

static bool any_ready(const struct question *question)
{
    for (size_t i = 0; i < question->asked; i++) {
        if (is_ready(question->polled[i].fd)) {
            return true;
        }
    }
    return false;
}

static int shorter(int a, int b)
{
    if (a < 0) {
        return b;
    }
    return b < 0 || a < b ? a : b;
}

/* What is left of the caller's time; -1 where it waits for ever. */
static int time_left(const struct timeval *timeout, const struct timespec *start)
{
    struct timespec now;
    long left;

    if (timeout == NULL) {
        return -1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = timeout->tv_sec * 1000 + (timeout->tv_usec + 999) / 1000 -
           dg_milliseconds_between(start, &now);
    return left > 0 ? (int)left : 0;
}

/* Does the waiting room's part of what poll has found. */
static void serve_waiting(const struct question *question)
{
    for (size_t i = 0; i < question->asked; i++) {
        const struct pollfd *polled = &question->polled[i];

        if ((polled->revents & POLLIN) != 0 && is_listener(polled->fd)) {
            dg_epmd_take_in(polled->fd);
        }
    }
    dg_epmd_go_on(question->polled + question->asked, question->waiting);
}

static short answer_for(const struct pollfd *polled)
{
    short found = polled->revents;

    if (is_listener(polled->fd)) {
        found = (short)(found & ~(POLLIN | POLLHUP | POLLERR));
        found |= dg_epmd_is_ready(polled->fd) ? POLLIN : 0;
    } else if (has_request(polled->fd)) {
        found |= POLLIN;
    }
    return found;
}

/* Puts the answers into `answers`. Returns how many there are. */
static int answer(const struct question *question, fd_set answers[3])
{
    int count = 0;

    for (int i = 0; i < 3; i++) {
        FD_ZERO(&answers[i]);
    }
    for (size_t at = 0; at < question->asked; at++) {
        short found = answer_for(&question->polled[at]);

        for (int i = 0; i < 3; i++) {
            if ((question->polled[at].events & events_of[i]) != 0 && (found & answers_of[i]) != 0) {
                FD_SET(question->polled[at].fd, &answers[i]);
                count++;
            }
        }
    }
    return count;
}

/* What there is to be told after poll(2), which is never that it has failed: epmd looks at errno
 * only when it has tried to log that, and ends itself of what it finds then (epmd_srv.c). */
static int wait_and_answer(struct question *question, const struct timeval *timeout,
                           fd_set answers[3])
{
    const struct timespec breath = {.tv_nsec = 10000000};
    struct timespec start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        int left = time_left(timeout, &start);
        int count = 0;
        int found;

        ask(question);
        found = poll(question->polled, question->asked + question->waiting,
                     any_ready(question) ? 0 : shorter(left, dg_epmd_patience()));
        if (found < 0 && errno != EINTR && errno != ENOMEM) {
            return -1;
        }
        if (found >= 0) {
            serve_waiting(question);
            count = answer(question, answers);
        } else if (errno == ENOMEM) {
            (void)nanosleep(&breath, NULL); /* which it will be the next moment, too */
        }
        if (count > 0 || left == 0) {
            return count;
        }
    }
}

int dg_hook_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
                   struct timeval *timeout)
{
    static struct question question; /* epmd has one thread, and a small stack is no place for it */
    fd_set *sets[3] = {readable, writable, exceptional};
    fd_set answers[3];
    int result;

    question.count = count < FD_SETSIZE ? count : FD_SETSIZE;
    memset(answers, 0, sizeof answers);
    for (int i = 0; i < 3; i++) {
        question.sets[i] = sets[i];
    }
    result = wait_and_answer(&question, timeout, answers);
    for (int i = 0; i < 3 && result >= 0; i++) {
        if (sets[i] != NULL) {
            *sets[i] = answers[i];
        }
    }
    return result;
}
