#include "tests/unit/support/guarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/room.h"
#include "shim/core/socket/table.h"
#include "tests/unit/support/pki.h"

enum { WAIT_MS = 10000, HANDSHAKE_SECONDS = 60, SMALL_WINDOW = 4096 };

/* --- the process --- */

static const struct dg_real real = {
    .socket = socket,
    .bind = bind,
    .listen = listen,
    .connect = connect,
    .accept4 = accept4,
    .recvmsg = recvmsg,
    .sendmsg = sendmsg,
    .recv = recv,
    .send = send,
    .write = write,
    .shutdown = shutdown,
    .setsockopt = setsockopt,
    .close = close,
    .dup3 = dup3,
};

static void write_policy(void)
{
    char text[2048];

    (void)snprintf(text, sizeof text,
                   "version = 1; default_profile = \"p\"; profiles: { p: { mode = \"require\";\n"
                   "local = \"deny\"; node_names = \"off\"; log: { target = \"%s\"; };\n"
                   "tls: { certificate = \"%s\"; private_key = \"%s\"; ca = \"%s\"; }; }; };\n",
                   pki_path("log"), pki_path("ours/node.pem"), pki_path("ours/node.key"),
                   pki_path("ours/ca.pem"));
    pki_write("shim.conf", text);
}

int guarded_start(void **state)
{
    char reason[DG_REASON_SIZE] = "";
    struct dg_hooks hooks;

    if (pki_make(state) != 0) {
        return -1;
    }
    write_policy();
    (void)setenv("DISTGUARD_CONF", pki_path("shim.conf"), 1);
    (void)unsetenv("DISTGUARD_PROFILE");
    (void)unsetenv("ERL_EPMD_ADDRESS");
    if (dg_core_start(DG_ABI, "beam.smp", &real, &hooks, reason) != DG_CORE_GUARDING) {
        print_error("not guarded: %s\n", reason);
        return -1;
    }
    dg_room_look();
    return 0;
}

int guarded_stop(void **state)
{
    dg_rules_drop();
    (void)unlink(pki_path("shim.conf"));
    (void)unlink(pki_path("log"));
    return pki_remove(state);
}

/* --- a connection --- */

static ssize_t peer_receive(int fd, void *bytes, size_t size, bool peek)
{
    return recv(fd, bytes, size, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

static ssize_t peer_send(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct dg_transport peer_transport = {
    .receive = peer_receive, .send = peer_send, .shutdown = shutdown};

static bool are_open(const struct guarded *guarded)
{
    return dg_channel_get_state(guarded->channel) == DG_CHANNEL_OPEN &&
           dg_channel_get_state(guarded->peer) == DG_CHANNEL_OPEN;
}

static void shake_hands(const struct guarded *guarded)
{
    struct pollfd ends[2] = {{.fd = guarded->fd, .events = POLLIN},
                             {.fd = guarded->peer_fd, .events = POLLIN}};

    do {
        (void)dg_channel_readable(guarded->channel, guarded->fd);
        (void)dg_channel_readable(guarded->peer, guarded->peer_fd);
    } while (!are_open(guarded) && poll(ends, 2, WAIT_MS) > 0);
    if (!are_open(guarded)) {
        fail_msg("no handshake: '%s', '%s'", dg_channel_reason(guarded->channel),
                 dg_channel_reason(guarded->peer));
    }
}

static struct guarded open_over(const int pair[2])
{
    const struct dg_rules *rules = dg_rules_hold();
    struct guarded guarded = {.fd = pair[0], .peer_fd = pair[1]};
    struct dg_socket *socket;

    socket = dg_table_watch(guarded.fd, DG_ROLE_GUARDED);
    assert_non_null(socket);
    socket->channel = guarded.channel = dg_channel_new(rules->credentials, DG_CHANNEL_CLIENT,
                                                       &dg_core.transport, HANDSHAKE_SECONDS);
    guarded.peer =
        dg_channel_new(rules->credentials, DG_CHANNEL_SERVER, &peer_transport, HANDSHAKE_SECONDS);
    assert_true(guarded.channel != NULL && guarded.peer != NULL);
    shake_hands(&guarded);
    socket->admitted = true;
    socket->gathering.on = true;
    dg_table_unlock(socket);
    dg_rules_release(rules);
    return guarded;
}

struct guarded guarded_open(void)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    return open_over(pair);
}

struct guarded guarded_open_by_tcp(void)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof place;
    int window = SMALL_WINDOW;
    int at_once = 1; /* as distribution has it */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int pair[2] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};

    assert_true(listener >= 0 && pair[0] >= 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &window, sizeof window), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&place, sizeof place), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&place, &size), 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&place, sizeof place), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(pair[1] >= 0);
    assert_int_equal(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once), 0);
    (void)close(listener);
    return open_over(pair);
}

void guarded_close(struct guarded *guarded)
{
    int result;

    (void)dg_hook_close(guarded->fd, &result);
    dg_channel_free(guarded->peer);
    (void)close(guarded->peer_fd);
}

/* --- the program --- */

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 7 + (place >> 8));
}

ssize_t guarded_try_write(struct guarded *guarded, size_t size)
{
    uint8_t bytes[GUARDED_WRITE_MOST];
    struct iovec vector = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t taken = -1;

    for (size_t i = 0; i < size; i++) {
        bytes[i] = byte_at(guarded->sent + i);
    }
    if (!dg_hook_send(guarded->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL, &taken)) {
        errno = EBADF;
    }
    guarded->sent += taken > 0 ? (size_t)taken : 0;
    return taken;
}

void guarded_write(struct guarded *guarded, size_t size)
{
    ssize_t taken = guarded_try_write(guarded, size);

    if (taken != (ssize_t)size) {
        fail_msg("a write of %zu bytes gave %zd (%s), '%s'", size, taken,
                 taken < 0 ? strerror(errno) : "", dg_channel_reason(guarded->channel));
    }
}

void guarded_flood(struct guarded *guarded)
{
    for (int i = 0; i < 8; i++) {
        guarded_write(guarded, 8);
    }
}

size_t guarded_held(const struct guarded *guarded)
{
    struct dg_socket *socket = dg_table_lock(guarded->fd);
    size_t held;

    assert_non_null(socket);
    held = dg_buffer_size(&socket->gathering.held);
    dg_table_unlock(socket);
    return held;
}

size_t guarded_memory(const struct guarded *guarded)
{
    struct dg_socket *socket = dg_table_lock(guarded->fd);
    size_t capacity;

    assert_non_null(socket);
    capacity = socket->gathering.held.capacity;
    dg_table_unlock(socket);
    return capacity;
}

void guarded_assert_broken(struct guarded *guarded)
{
    uint8_t byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t got = 0;

    assert_int_equal(guarded_try_write(guarded, 8), -1);
    assert_int_equal(errno, EPIPE);
    assert_true(dg_hook_receive(guarded->fd, &message, MSG_DONTWAIT, &got));
    assert_int_equal(got, -1);
    assert_int_equal(errno, ECONNRESET);
}

/* --- the peer --- */

static bool is_in_order(const struct guarded *guarded, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(guarded->received + i)) {
            return false;
        }
    }
    return true;
}

enum guarded_end guarded_read(struct guarded *guarded)
{
    uint8_t bytes[GUARDED_WRITE_MOST];
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    ssize_t got;

    while ((got = dg_channel_receive(guarded->peer, guarded->peer_fd, &vector, 1, false)) > 0) {
        if (!is_in_order(guarded, bytes, (size_t)got)) {
            return GUARDED_OTHERS;
        }
        guarded->received += (size_t)got;
    }
    if (got == 0) {
        return GUARDED_CLOSED;
    }
    return errno == EAGAIN ? GUARDED_MORE : GUARDED_FAILED;
}

static void assert_end(const struct guarded *guarded, enum guarded_end end, enum guarded_end wanted,
                       size_t size)
{
    static const char *const words[] = {"nothing", "close_notify", "a failure", "other bytes"};

    if (end != wanted || guarded->received != size) {
        fail_msg("the peer got %zu bytes and then %s ('%s'), wanted %zu of %zu and then %s",
                 guarded->received, words[end], dg_channel_reason(guarded->peer), size,
                 guarded->sent, words[wanted]);
    }
}

void guarded_assert_received(struct guarded *guarded, size_t size)
{
    assert_end(guarded, guarded_read(guarded), GUARDED_MORE, size);
}

void guarded_assert_delivered(struct guarded *guarded)
{
    struct pollfd more = {.fd = guarded->peer_fd, .events = POLLIN};
    enum guarded_end end;

    do {
        end = guarded_read(guarded);
    } while (end == GUARDED_MORE && guarded->received < guarded->sent &&
             poll(&more, 1, WAIT_MS) > 0);
    assert_end(guarded, end, GUARDED_MORE, guarded->sent);
}

void guarded_assert_closed(struct guarded *guarded)
{
    assert_end(guarded, guarded_read(guarded), GUARDED_CLOSED, guarded->sent);
}
