/* The connections of a scan: several at once, non-blocking, limited in number, rate and time. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/scan/talk.h"

enum {
    ACTIVE_MAX = 64,
    CHUNK = 16384,
    SECOND = 1000, /* all times are in milliseconds */
    NEVER_LONGER = 100,
};

struct line {
    struct dg_talk talk;
    int fd;
    bool connected;
    bool half_closed;
    int64_t deadline; /* of the connection, then of the talk */
    int64_t quiet_at; /* when silence means something */
};

struct asking {
    struct dg_scan_host *host;
    struct dg_scan_port *port;
    enum dg_talk_kind kind;
};

struct engine {
    struct dg_scan *scan;
    struct line active[ACTIVE_MAX];
    size_t active_count;
    struct asking *waiting; /* a queue: from `next` to `waiting_count` */
    size_t next;
    size_t waiting_count;
    int64_t start_at; /* when the rate allows the next connection */
    size_t done;
    int error; /* an errno: we ourselves cannot go on */
};

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec / 1000000;
}

static int64_t patience(const struct engine *engine)
{
    return (int64_t)(engine->scan->timeout * SECOND);
}

static void ask(struct engine *engine, struct dg_scan_host *host, struct dg_scan_port *port,
                enum dg_talk_kind kind)
{
    struct asking *grown =
        reallocarray(engine->waiting, engine->waiting_count + 1, sizeof *engine->waiting);

    if (grown == NULL) {
        engine->error = ENOMEM;
        return;
    }
    engine->waiting = grown;
    grown[engine->waiting_count++] = (struct asking){host, port, kind};
}

/* --- ends --- */

static void hang_up(struct line *line)
{
    if (line->fd >= 0)
        (void)close(line->fd);
    line->fd = -1;
    dg_talk_clear(&line->talk);
}

static void not_connected(struct line *line, int error)
{
    struct dg_scan_port *port = line->talk.port;

    /* The first look has the say: a later one only adds to it. */
    if (port->seen == DG_SEEN_NOTHING) {
        port->error = error;
        port->seen = error == ECONNREFUSED ? DG_SEEN_CLOSED
                     : error == ETIMEDOUT  ? DG_SEEN_FILTERED
                                           : DG_SEEN_UNREACHABLE;
    }
    hang_up(line);
}

/* What EPMD has told is looked at next; ports that were asked for by number have been, by then. */
static void conclude(struct engine *engine, struct line *line, enum dg_talk_end end)
{
    struct dg_scan_host *host = line->talk.host;
    struct dg_scan_port *port = line->talk.port;
    size_t known = host->count;
    enum dg_talk_kind next = dg_talk_conclude(&line->talk, end);

    hang_up(line);
    if (next != DG_TALK_NONE)
        ask(engine, host, port, next);
    for (size_t i = known; i < host->count; i++)
        ask(engine, host, &host->ports[i], DG_TALK_TLS);
}

/* --- beginnings --- */

static void begin_talk(struct engine *engine, struct line *line)
{
    uint8_t out[DG_TALK_OUT];
    int size = dg_talk_start(&line->talk, out);

    line->connected = true;
    line->deadline = now() + patience(engine);
    line->quiet_at = now() + patience(engine) / 2;
    if (size < 0) {
        engine->error = ENOMEM;
        hang_up(line);
    } else if (send(line->fd, out, (size_t)size, MSG_NOSIGNAL) != size) {
        conclude(engine, line, DG_TALK_THEY_CLOSED);
    }
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

static void begin(struct engine *engine, const struct asking *asking)
{
    struct line *line = &engine->active[engine->active_count++];
    struct sockaddr_storage address = asking->host->socket_address;

    *line =
        (struct line){.talk = {.kind = asking->kind, .host = asking->host, .port = asking->port}};
    set_port(&address, asking->port->port);
    line->deadline = now() + patience(engine);
    line->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (line->fd < 0) {
        if (errno != EAFNOSUPPORT)
            engine->error = errno;
        not_connected(line, errno);
    } else if (connect(line->fd, (struct sockaddr *)&address, asking->host->socket_address_size) ==
               0) {
        begin_talk(engine, line);
    } else if (errno != EINPROGRESS) {
        not_connected(line, errno);
    }
}

static void begin_some(struct engine *engine)
{
    while (engine->next < engine->waiting_count && engine->active_count < ACTIVE_MAX &&
           engine->start_at <= now() && engine->error == 0) {
        /* Rounded up, so that the rate is never exceeded. */
        engine->start_at = now() + (SECOND + engine->scan->rate - 1) / engine->scan->rate;
        begin(engine, &engine->waiting[engine->next++]);
    }
}

/* --- in between --- */

static void connected(struct engine *engine, struct line *line)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0)
        not_connected(line, error);
    else
        begin_talk(engine, line);
}

static void hear(struct engine *engine, struct line *line)
{
    static uint8_t bytes[CHUNK];
    uint8_t out[DG_TALK_OUT];
    size_t out_size;
    ssize_t size = recv(line->fd, bytes, sizeof bytes, 0);

    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        conclude(engine, line, line->half_closed ? DG_TALK_THEY_FOLLOWED : DG_TALK_THEY_CLOSED);
        return;
    }
    line->quiet_at = now() + patience(engine) / 2;
    if (dg_talk_hear(&line->talk, bytes, (size_t)size, out, &out_size) == DG_TALK_FINISHED ||
        (out_size > 0 && send(line->fd, out, out_size, MSG_NOSIGNAL) != (ssize_t)out_size))
        conclude(engine, line, DG_TALK_TIME_IS_UP);
}

static void wait_on(struct engine *engine, struct line *line)
{
    bool half_close = false;

    if (line->connected && line->quiet_at <= now() && !line->half_closed) {
        if (dg_talk_quiet(&line->talk, &half_close) == DG_TALK_FINISHED) {
            conclude(engine, line, DG_TALK_TIME_IS_UP);
            return;
        }
        line->half_closed = half_close && shutdown(line->fd, SHUT_WR) == 0;
    }
    if (line->deadline > now())
        return;
    if (line->connected)
        conclude(engine, line, DG_TALK_TIME_IS_UP);
    else
        not_connected(line, ETIMEDOUT);
}

static void serve(struct engine *engine, struct line *line, short events)
{
    if (events != 0 && !line->connected)
        connected(engine, line);
    else if (events != 0)
        hear(engine, line);
    if (line->fd >= 0)
        wait_on(engine, line);
}

static void forget_ended(struct engine *engine)
{
    for (size_t i = engine->active_count; i-- > 0;) {
        if (engine->active[i].fd >= 0)
            continue;
        engine->active[i] = engine->active[--engine->active_count];
        engine->done++;
    }
}

/* Waits until something happens, or might be due. */
static void turn(struct engine *engine)
{
    struct pollfd polled[ACTIVE_MAX];
    size_t count = engine->active_count;
    int64_t wait = NEVER_LONGER;

    if (engine->next < engine->waiting_count && count < ACTIVE_MAX &&
        engine->start_at - now() < wait)
        wait = engine->start_at > now() ? engine->start_at - now() : 0;
    for (size_t i = 0; i < count; i++) {
        struct line *line = &engine->active[i];

        polled[i] = (struct pollfd){line->fd, line->connected ? POLLIN : POLLOUT, 0};
    }
    if (poll(polled, count, (int)wait) < 0 && errno != EINTR) {
        engine->error = errno;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (engine->active[i].fd >= 0)
            serve(engine, &engine->active[i], polled[i].revents);
    }
    forget_ended(engine);
}

int dg_scan_run(struct dg_scan *scan, dg_scan_progress *progress, struct dg_error *error)
{
    struct engine engine = {.scan = scan};

    for (size_t i = 0; i < scan->count; i++) {
        struct dg_scan_host *host = &scan->hosts[i];

        ask(&engine, host, &host->epmd, DG_TALK_NAMES);
        for (size_t j = 0; j < host->count; j++)
            ask(&engine, host, &host->ports[j], DG_TALK_TLS);
    }
    while (engine.error == 0 && (engine.next < engine.waiting_count || engine.active_count > 0)) {
        begin_some(&engine);
        turn(&engine);
        if (progress != NULL)
            progress(engine.done, engine.active_count + engine.waiting_count - engine.next);
    }
    for (size_t i = 0; i < engine.active_count; i++)
        hang_up(&engine.active[i]);
    free(engine.waiting);
    if (engine.error != 0)
        return dg_fail(error, "the scan broke off: %s", strerror(engine.error));
    return 0;
}
