/* Much, in both directions at once, and what a poller sees of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/probes/peer.h"

enum { STREAM = 50 * 1000 * 1000, FLOOD = 24 * 1000 * 1000, LARGEST = 200000 };

/* One end of a stream whose bytes follow from their place. */
struct end {
    int fd;
    int epoll; /* -1: poll is used */
    bool oneshot;
    size_t total;
    size_t sent, received;
    unsigned seed;
    uint8_t in[LARGEST], out[LARGEST];
};

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(((uint32_t)place * 2654435761U) >> 24);
}

static size_t some(struct end *end, size_t left)
{
    size_t size = (size_t)rand_r(&end->seed) % (rand_r(&end->seed) % 4 == 0 ? LARGEST : 2000) + 1;

    return size < left ? size : left;
}

static void check_received(struct end *end, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++) {
        if (end->in[i] != byte_at(end->received + (size_t)i)) {
            want("place of the first wrong byte", (ssize_t)end->received + i, -1);
        }
    }
    end->received += (size_t)size;
}

/* Returns false where the kernel takes no more. */
static bool send_some(struct end *end)
{
    size_t size = some(end, end->total - end->sent);
    ssize_t sent;

    for (size_t i = 0; i < size; i++) {
        end->out[i] = byte_at(end->sent + i);
    }
    sent = write(end->fd, end->out, size);
    if (sent < 0 && errno == EAGAIN) {
        return false;
    }
    want("write", sent > 0, 1);
    end->sent += (size_t)sent;
    return true;
}

static void receive_some(struct end *end)
{
    ssize_t size = read(end->fd, end->in, some(end, end->total - end->received));

    if (size < 0 && errno == EAGAIN) {
        return;
    }
    want("read", size > 0, 1);
    check_received(end, size);
}

/* Waits by poll, by level-triggered epoll, or by EPOLLONESHOT armed anew each time. */
static uint32_t ready(struct end *end, uint32_t events, int milliseconds)
{
    struct epoll_event event = {.events = events | (end->oneshot ? EPOLLONESHOT : 0)};
    struct pollfd poll_event = {.fd = end->fd, .events = (short)events};

    if (end->epoll < 0) {
        return poll(&poll_event, 1, milliseconds) == 1 ? (uint32_t)poll_event.revents : 0;
    }
    if (epoll_ctl(end->epoll, EPOLL_CTL_MOD, end->fd, &event) != 0) {
        give_up("epoll_ctl");
    }
    return epoll_wait(end->epoll, &event, 1, milliseconds) == 1 ? event.events : 0;
}

static struct end *new_end(int fd, size_t total)
{
    struct epoll_event event = {0};
    struct end *end = calloc(1, sizeof *end);
    const char *seed = getenv("PROBE_SEED");

    end->fd = fd;
    end->total = total;
    end->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : 1;
    end->epoll = -1;
    if (strncmp(variant, "epoll", 5) == 0) {
        end->epoll = epoll_create1(0);
        end->oneshot = strcmp(variant, "epoll-oneshot") == 0;
        want("epoll_ctl", epoll_ctl(end->epoll, EPOLL_CTL_ADD, fd, &event), 0);
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return end;
}

/* Both directions until all is there; a readiness that is missed ends in silence. */
static void pump(struct end *end)
{
    enum { SILENCE = 10000 };

    while (end->sent < end->total || end->received < end->total) {
        uint32_t events = ready(end,
                                (end->sent < end->total ? (uint32_t)EPOLLOUT : 0) |
                                    (end->received < end->total ? (uint32_t)EPOLLIN : 0),
                                SILENCE);

        want("readiness before the stream was through", events != 0, 1);
        if ((events & EPOLLOUT) != 0) {
            (void)send_some(end);
        }
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            receive_some(end);
        }
    }
}

/* Neither end closes before the other has all. */
static void part(int fd)
{
    char byte = 'e';

    (void)fcntl(fd, F_SETFL, 0);
    send_all(fd, &byte, 1);
    receive_all(fd, &byte, 1);
    (void)shutdown(fd, SHUT_WR);
    want_end(fd);
    (void)close(fd);
}

static void *send_thread(void *argument)
{
    struct end *end = argument;

    while (end->sent < end->total) {
        (void)send_some(end);
    }
    return NULL;
}

/* Blocking, one thread for each direction. */
static void pump_by_threads(struct end *end)
{
    pthread_t thread;

    (void)fcntl(end->fd, F_SETFL, 0);
    want("pthread_create", pthread_create(&thread, NULL, send_thread, end), 0);
    while (end->received < end->total) {
        ssize_t size =
            read(end->fd, end->in,
                 50000 < end->total - end->received ? 50000 : end->total - end->received);

        want("read", size > 0, 1);
        check_received(end, size);
    }
    (void)pthread_join(thread, NULL);
}

static void stream(int fd)
{
    struct end *end = new_end(fd, STREAM);

    if (strcmp(variant, "threads") == 0) {
        pump_by_threads(end);
    } else {
        pump(end);
    }
    part(fd);
}

void stream_client(int port)
{
    stream(join(port));
}

void stream_server(int listener)
{
    stream(let_in(listener));
}

static double now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Sends for so long that neither kernel takes more, and only then receives. */
static void flood(int fd)
{
    const double until = now() + 0.5;
    const int small = 128 * 1024;
    struct end *end = new_end(fd, FLOOD);

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);

    while (now() < until && end->sent < end->total) {
        (void)(ready(end, EPOLLOUT, 20) != 0 && send_some(end));
    }
    want("both kernels are full", end->sent < end->total, 1);
    pump(end);
    part(fd);
}

void flood_client(int port)
{
    int fd = join(port);
    char byte;

    receive_all(fd, &byte, 1);
    flood(fd);
}

void flood_server(int listener)
{
    int fd = let_in(listener);

    send_all(fd, "h", 1);
    flood(fd);
}
