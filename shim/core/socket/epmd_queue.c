#include "shim/core/socket/epmd_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shim/core/core.h"
#include "shim/core/elapsed.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/arrival.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/roles.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"
#include "shim/core/wire/epmd.h"
#include "shim/core/wire/tls_record.h"

enum {
    ROOM = 1024,              /* no policy allows more to wait */
    TAKE_AT_ONCE = 64,        /* then the loop goes on; the kernel keeps the rest */
    REST = 100,               /* milliseconds without newcomers, where none can be taken in */
    LONGEST_ANSWER = 1 << 20, /* NAMES_RESP with as many and as long names as epmd takes */
};

enum visitor_state {
    VISITOR_WAITING, /* for its handshake, its request */
    VISITOR_READY,   /* for epmd's accept */
};

struct visitor {
    enum visitor_state state;
    int listener;
    struct dg_arrival arrival;
    struct timespec since; /* CLOCK_MONOTONIC */
};

/* In the order of arrival. */
static struct visitor room[ROOM];
static size_t visitors;

/* Until then nobody is taken in: no descriptor is left and nobody waits who could give way, or the
 * kernel is out of memory. */
static struct timespec rests_until; /* CLOCK_MONOTONIC */

static struct timespec now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

static double seconds_waited(const struct visitor *visitor)
{
    struct timespec time = now();

    return dg_seconds_between(&visitor->since, &time);
}

static void strike_out(size_t index)
{
    visitors--;
    memmove(&room[index], &room[index + 1], (visitors - index) * sizeof room[0]);
}

/* Ends a visit; its channel, if it has one, has logged why, or `reason` does. */
static void send_away(size_t index, const char *reason)
{
    struct dg_arrival arrival = room[index].arrival;
    struct dg_socket *socket = dg_table_lock(arrival.fd);

    strike_out(index);
    if (socket != NULL) {
        if (socket->channel != NULL) {
            dg_channel_close(socket->channel, arrival.fd);
        }
        dg_table_forget(arrival.fd, socket);
    }
    if (reason != NULL) {
        dg_arrival_turn_away(&arrival, "epmd", reason);
    } else {
        dg_core.real.close(arrival.fd);
    }
}

/* Seconds, as the policy has it now. */
static double patience(void)
{
    const struct dg_rules *rules = dg_rules_hold();
    double seconds = rules->policy->tls.handshake_timeout;

    dg_rules_release(rules);
    return seconds;
}

/* --- coming in --- */

static bool same_host(const struct dg_arrival *a, const struct dg_arrival *b)
{
    struct dg_host host_a;
    struct dg_host host_b;

    return dg_address_host(&a->from, &host_a) && dg_address_host(&b->from, &host_b) &&
           dg_host_equal(&host_a, &host_b);
}

/* The oldest who waits, of one host or (NULL) of all; how many there are in *count. */
static size_t oldest_waiting(const struct dg_arrival *host, size_t *count)
{
    size_t oldest = visitors;

    *count = 0;
    for (size_t i = visitors; i-- > 0;) {
        if (room[i].state == VISITOR_WAITING &&
            (host == NULL || same_host(host, &room[i].arrival))) {
            oldest = i;
            ++*count;
        }
    }
    return oldest;
}

/* One host may have a quarter of the room: a flood from one does not drive out the others. */
static void make_room(const struct dg_policy *policy, const struct dg_arrival *arrival)
{
    size_t limit = policy->tls.max_handshakes;
    size_t share = limit >= 4 ? limit / 4 : 1;
    size_t count;
    size_t oldest = oldest_waiting(arrival, &count);

    if (count >= share) {
        send_away(oldest, "gave way to a newer connection: too many of this host wait");
    }
    oldest = oldest_waiting(NULL, &count);
    if (count >= limit) {
        send_away(oldest, "gave way to a newer connection: too many wait (tls.max_handshakes)");
    }
}

/* The room is larger than any limit, but those who are ready do not count. */
static bool enter(const struct dg_arrival *arrival, int listener, enum dg_role role,
                  enum visitor_state state)
{
    struct dg_socket *socket = visitors < ROOM ? dg_table_watch(arrival->fd, role) : NULL;

    if (socket == NULL) {
        dg_arrival_turn_away(arrival, "epmd", "no room or memory for it");
        return false;
    }
    socket->epmd = true;
    socket->incoming = true;
    socket->peer = arrival->from;
    dg_table_unlock(socket);
    room[visitors++] =
        (struct visitor){.state = state, .listener = listener, .arrival = *arrival, .since = now()};
    return true;
}

static bool is_foreign(int listener)
{
    struct dg_socket *socket = dg_table_lock(listener);
    bool foreign = socket == NULL || socket->foreign;

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return foreign;
}

static void judge_visitor(const struct dg_policy *policy, const struct dg_arrival *arrival,
                          int listener)
{
    struct dg_error why = {""};

    if (policy->mode == DG_MODE_OFF || !dg_arrival_is_internet(arrival)) {
        (void)enter(arrival, listener, DG_ROLE_PLAIN, VISITOR_READY);
        return;
    }
    if (!dg_arrival_is_located(arrival)) {
        dg_arrival_turn_away(arrival, "epmd", DG_ARRIVAL_UNLOCATED);
        return;
    }
    if (!dg_epmd_may_accept(policy, &arrival->from, &arrival->own, is_foreign(listener), &why)) {
        dg_arrival_turn_away(arrival, "epmd", why.text);
        return;
    }
    if (dg_arrival_is_local(arrival)) {
        (void)enter(arrival, listener, DG_ROLE_PLAIN, VISITOR_READY);
        return;
    }
    make_room(policy, arrival);
    (void)enter(arrival, listener, DG_ROLE_EPMD_INCOMING, VISITOR_WAITING);
}

static void receive_visitor(const struct dg_arrival *arrival, int listener)
{
    const struct dg_rules *rules = dg_rules_hold();

    judge_visitor(rules->policy, arrival, listener);
    dg_rules_release(rules);
}

static int rest_left(void)
{
    struct timespec time = now();
    long left = dg_milliseconds_between(&time, &rests_until);

    return left > 0 ? (int)left : 0;
}

bool dg_epmd_rests(void)
{
    return rest_left() > 0;
}

static void rest(void)
{
    rests_until = now();
    rests_until.tv_nsec += REST * 1000000L;
    if (rests_until.tv_nsec >= 1000000000L) {
        rests_until.tv_sec++;
        rests_until.tv_nsec -= 1000000000L;
    }
}

/* Descriptors are short: the oldest who waits has to go. */
static bool free_a_descriptor(void)
{
    size_t count;
    size_t oldest = oldest_waiting(NULL, &count);

    if (count == 0) {
        return false;
    }
    send_away(oldest, "gave way to a newer connection: epmd has no descriptor left");
    return true;
}

static bool is_out_of_descriptors(int error)
{
    return error == EMFILE || error == ENFILE;
}

static bool is_out_of_something(int error)
{
    return is_out_of_descriptors(error) || error == ENOMEM || error == ENOBUFS;
}

void dg_epmd_take_in(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    for (int taken = 0; taken < TAKE_AT_ONCE && poll(&ready, 1, 0) == 1; taken++) {
        struct dg_arrival arrival;

        if (dg_arrival_accept(listener, 0, &arrival) == 0) {
            dg_rules_renew();
            receive_visitor(&arrival, listener);
        } else if (!is_out_of_something(errno)) {
            return;
        } else if (!is_out_of_descriptors(errno) || !free_a_descriptor()) {
            rest(); /* the listener stays readable: epmd would run in circles */
            return;
        }
    }
}

/* --- waiting --- */

/* What a waiting connection has come to. */
enum progress {
    PROGRESS_NONE,
    PROGRESS_READY,
    PROGRESS_ENDED,
};

static enum progress refuse(struct dg_socket *socket, int fd, const char *reason)
{
    dg_refuse(socket, fd, reason, NULL);
    return PROGRESS_ENDED;
}

static enum progress judge_request(struct dg_socket *socket, int fd)
{
    switch (dg_epmd_parse_remote_request(socket->request->bytes, socket->request->size)) {
    case DG_EPMD_REMOTE_MORE:
        return PROGRESS_NONE;
    case DG_EPMD_REMOTE_PORT_PLEASE:
        if ((socket->rules->policy->epmd.remote_requests & DG_REMOTE_PORT_PLEASE) == 0) {
            return refuse(socket, fd,
                          "asks for a node's port, which epmd.remote_requests leaves out");
        }
        return PROGRESS_READY;
    case DG_EPMD_REMOTE_NAMES:
        if ((socket->rules->policy->epmd.remote_requests & DG_REMOTE_NAMES) == 0) {
            return refuse(socket, fd, "asks for all names, which epmd.remote_requests leaves out");
        }
        return PROGRESS_READY;
    case DG_EPMD_REMOTE_OTHER:
    default:
        return refuse(socket, fd, "asks for what no other host may ask of EPMD");
    }
}

/* Some of the request, out of TLS or, where the policy lets the peer speak it, plaintext. */
static ssize_t receive_some(struct dg_socket *socket, int fd, struct iovec *rest)
{
    enum dg_channel_state before;
    ssize_t size;
    int error;

    if (socket->channel == NULL) {
        return dg_core.real.recv(fd, rest->iov_base, rest->iov_len, MSG_DONTWAIT);
    }
    before = dg_channel_get_state(socket->channel);
    size = dg_channel_receive(socket->channel, fd, rest, 1, false);
    error = errno;
    dg_audit_channel(socket, before);
    dg_show_moved(socket, DG_PAGE_IN, size);
    errno = error;
    return size;
}

static enum progress receive_request(struct dg_socket *socket, int fd)
{
    struct dg_request *request = socket->request;

    for (;;) {
        struct iovec rest = {request->bytes + request->size, sizeof request->bytes - request->size};
        ssize_t size = receive_some(socket, fd, &rest);
        enum progress progress;

        if (size <= 0) {
            return size < 0 && errno == EAGAIN ? PROGRESS_NONE : PROGRESS_ENDED;
        }
        request->size += (size_t)size;
        progress = judge_request(socket, fd);
        if (progress != PROGRESS_NONE) {
            return progress;
        }
    }
}

/* The first byte decides: TLS, or plaintext where the mode takes it. */
static enum progress begin(struct dg_socket *socket, int fd)
{
    const struct dg_policy *policy = socket->rules->policy;
    uint8_t byte;
    ssize_t size = dg_core.real.recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (size < 0 && errno == EAGAIN) {
        return PROGRESS_NONE;
    }
    if (size <= 0) {
        return refuse(socket, fd, "peer hung up without a word");
    }
    if (byte != DG_TLS_FIRST_BYTE && policy->mode == DG_MODE_REQUIRE) {
        return refuse(socket, fd, DG_PLAINTEXT_REFUSED);
    }
    socket->request = calloc(1, sizeof *socket->request);
    if (socket->request == NULL) {
        return refuse(socket, fd, "out of memory");
    }
    if (byte != DG_TLS_FIRST_BYTE) {
        socket->plain_by = dg_mode_name(policy->mode);
    } else if (!dg_guard_incoming(socket, fd)) {
        return PROGRESS_ENDED;
    }
    return receive_request(socket, fd);
}

static enum progress go_on_with(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    enum progress progress;

    if (socket == NULL) {
        return PROGRESS_ENDED;
    }
    progress = socket->request == NULL ? begin(socket, fd) : receive_request(socket, fd);
    if (progress == PROGRESS_READY && socket->plain_by != NULL) {
        socket->role = DG_ROLE_PLAIN;
        dg_audit_plaintext(socket);
    }
    dg_table_unlock(socket);
    return progress;
}

static size_t find_visitor(int fd)
{
    size_t index = 0;

    while (index < visitors && room[index].arrival.fd != fd) {
        index++;
    }
    return index;
}

static void expire(void)
{
    for (size_t i = visitors; i-- > 0;) {
        if (room[i].state == VISITOR_WAITING && seconds_waited(&room[i]) > patience()) {
            send_away(i, "no whole request within tls.handshake_timeout");
        }
    }
}

void dg_epmd_go_on(const struct pollfd *polled, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t index = find_visitor(polled[i].fd);

        if (polled[i].revents == 0 || index == visitors || room[index].state != VISITOR_WAITING) {
            continue;
        }
        switch (go_on_with(polled[i].fd)) {
        case PROGRESS_READY:
            room[index].state = VISITOR_READY;
            break;
        case PROGRESS_ENDED:
            send_away(index, NULL);
            break;
        case PROGRESS_NONE:
        default:
            break;
        }
    }
    expire();
}

size_t dg_epmd_poll(struct pollfd *polled, size_t space)
{
    size_t count = 0;

    for (size_t i = 0; i < visitors && count < space; i++) {
        if (room[i].state == VISITOR_WAITING) {
            polled[count++] = (struct pollfd){.fd = room[i].arrival.fd, .events = POLLIN};
        }
    }
    return count;
}

static int shorter(int a, int b)
{
    return a < b ? a : b;
}

int dg_epmd_patience(void)
{
    int resting = rest_left();
    size_t count;
    size_t oldest = oldest_waiting(NULL, &count);
    double left;
    int waiting;

    if (count == 0) {
        return resting > 0 ? resting : -1;
    }
    left = patience() - seconds_waited(&room[oldest]);
    waiting = left > 0 ? (int)(left * 1000) + 1 : 0;
    return resting > 0 ? shorter(resting, waiting) : waiting;
}

/* --- going on to epmd --- */

static size_t first_ready(int listener)
{
    size_t index = 0;

    while (index < visitors &&
           (room[index].state != VISITOR_READY || room[index].listener != listener)) {
        index++;
    }
    return index;
}

bool dg_epmd_is_ready(int listener)
{
    return first_ready(listener) < visitors;
}

/* A peer that does not read its answer must not hold up epmd's loop: the kernel is to take the
 * whole answer at once, as far as net.core.wmem_max lets it. Who leaves more than that unread is
 * hung up on (send.c). */
static void make_room_for_answer(int fd)
{
    int answer = LONGEST_ANSWER;

    (void)dg_core.real.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &answer, sizeof answer);
}

int dg_epmd_accept(int listener, struct sockaddr *address, socklen_t *size)
{
    size_t index = first_ready(listener);
    struct dg_arrival arrival;

    if (index == visitors) {
        errno = EAGAIN;
        return -1;
    }
    arrival = room[index].arrival;
    strike_out(index);
    if (!dg_arrival_is_internet(&arrival) || !dg_arrival_is_local(&arrival)) {
        make_room_for_answer(arrival.fd);
    }
    dg_arrival_introduce(&arrival, address, size);
    return arrival.fd;
}
