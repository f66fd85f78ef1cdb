#include "shim/core/socket/gathering.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "shim/core/socket/audit.h"
#include "shim/core/socket/flusher.h"
#include "shim/core/socket/room.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"
#include "shim/core/tls/vector.h"

enum {
    INSTANT = 50 * 1000,    /* nanoseconds */
    A_WHILE = 10000 * 1000, /* nanoseconds */
    /* So many go at once: a gen_server:call is three (the end of the last call's monitor, a
     * monitor, the request), and who waits for its answer must not wait for the flusher as well. */
    AT_ONCE = 8,
    /* Larger writes gain little: sealing them costs more than the system call. */
    SMALL = 4096,
    /* A record's worth. */
    MOST_HELD = 16384,
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

bool dg_gathering_wants(struct dg_gathering *gathering, size_t size)
{
    uint64_t time = now();

    if (time - gathering->last >= INSTANT) {
        gathering->in_row = 0;
    }
    gathering->in_row++;
    gathering->last = time;
    return gathering->on && size <= SMALL && gathering->in_row > AT_ONCE;
}

static bool has_room(struct dg_socket *socket, int fd, size_t size)
{
    struct dg_buffer *held = &socket->gathering.held;

    if (dg_buffer_size(held) + size > MOST_HELD && !dg_gathering_send(socket, fd)) {
        return false;
    }
    if (dg_buffer_size(held) > 0) {
        return dg_buffer_reserve(held, size);
    }
    return dg_room_for(fd, MOST_HELD) && dg_buffer_reserve(held, MOST_HELD);
}

bool dg_gathering_hold(struct dg_socket *socket, int fd, const struct iovec *vector, int count)
{
    struct dg_gathering *gathering = &socket->gathering;

    if (dg_channel_get_state(socket->channel) != DG_CHANNEL_OPEN ||
        dg_channel_is_blocked(socket->channel)) {
        return false;
    }
    /* First, so that who is not watched has no memory either. */
    gathering->watched = gathering->watched || dg_flusher_watch(fd);
    if (!gathering->watched || !has_room(socket, fd, dg_vector_size(vector, count))) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        (void)dg_buffer_append(&gathering->held, vector[i].iov_base, vector[i].iov_len);
    }
    return true;
}

bool dg_gathering_must_wait(const struct dg_gathering *gathering, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};

    return dg_buffer_size(&gathering->held) == 0 && poll(&ready, 1, 0) == 0;
}

bool dg_gathering_send(struct dg_socket *socket, int fd)
{
    struct dg_buffer *held = &socket->gathering.held;

    while (dg_buffer_size(held) > 0) {
        struct iovec vector = {.iov_base = held->bytes + held->start,
                               .iov_len = dg_buffer_size(held)};
        ssize_t taken = dg_channel_send(socket->channel, fd, &vector, 1);

        if (taken < 0) {
            if (errno != EAGAIN) {
                dg_buffer_clear(held);
            }
            return false;
        }
        dg_buffer_take(held, (size_t)taken);
    }
    return true;
}

bool dg_gathering_flush(struct dg_socket *socket, int fd)
{
    enum dg_channel_state before = dg_channel_get_state(socket->channel);
    bool all;

    if (dg_buffer_size(&socket->gathering.held) == 0) {
        return true;
    }
    all = dg_gathering_send(socket, fd);
    dg_audit_channel(socket, before);
    dg_show_moved(socket, DG_PAGE_OUT, 0); /* records: the bytes were counted when they came */
    return all;
}

bool dg_gathering_rests(const struct dg_gathering *gathering)
{
    return dg_buffer_size(&gathering->held) == 0 && now() - gathering->last >= A_WHILE;
}
