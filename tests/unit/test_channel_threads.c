/*
 * Channels over a real socket pair, each used by two threads at once, one that reads and one that
 * writes, as a VM's schedulers do. The locks are the callers', as channel.h says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/tls/channel.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/random.h"

enum { SIZE = 3 * 1000 * 1000, PIECE = 100000, WAIT_MS = 20000 };

static ssize_t socket_receive(int fd, void *bytes, size_t size, bool peek)
{
    return recv(fd, bytes, size, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

static ssize_t socket_send(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct dg_transport socket_transport = {
    .receive = socket_receive, .send = socket_send, .shutdown = shutdown};

struct end {
    pthread_mutex_t lock;
    struct dg_channel *channel;
    int fd;
    uint8_t salt; /* of what it sends */
    const char *failure;
};

static struct end ends[2];

static uint8_t byte_at(uint8_t salt, size_t position)
{
    return (uint8_t)(salt + position * 7 + (position >> 9));
}

/* Nothing but what the poller says may be relied upon. */
static bool wait_for(struct end *end, short events)
{
    struct pollfd poll_fd = {.fd = end->fd, .events = events};

    if (poll(&poll_fd, 1, WAIT_MS) != 1) {
        end->failure = events == POLLIN ? "nothing more to read" : "never writable again";
        return false;
    }
    return true;
}

static bool write_piece(struct end *end, struct random *random, size_t *sent, uint8_t *bytes)
{
    size_t size = 1 + random_size(random, PIECE - 1);
    struct iovec vector = {.iov_base = bytes};
    ssize_t taken;

    vector.iov_len = size < SIZE - *sent ? size : SIZE - *sent;
    for (size_t i = 0; i < vector.iov_len; i++) {
        bytes[i] = byte_at(end->salt, *sent + i);
    }
    pthread_mutex_lock(&end->lock);
    taken = dg_channel_send(end->channel, end->fd, &vector, 1);
    pthread_mutex_unlock(&end->lock);
    if (taken < 0 && errno != EAGAIN) {
        end->failure = "send failed";
        return false;
    }
    *sent += taken > 0 ? (size_t)taken : 0;
    return true;
}

static void *write_all(void *argument)
{
    struct end *end = argument;
    struct random random = {.state = end->salt};
    uint8_t *bytes = malloc(PIECE);
    size_t sent = 0;

    while (sent < SIZE && wait_for(end, POLLOUT) && write_piece(end, &random, &sent, bytes)) {
    }
    free(bytes);
    return NULL;
}

static bool read_piece(struct end *end, struct random *random, size_t *received, uint8_t *bytes)
{
    struct iovec vector = {.iov_base = bytes, .iov_len = 1 + random_size(random, PIECE - 1)};
    uint8_t salt = (uint8_t)~end->salt;
    ssize_t got;

    pthread_mutex_lock(&end->lock);
    got = dg_channel_receive(end->channel, end->fd, &vector, 1, false);
    pthread_mutex_unlock(&end->lock);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        end->failure = dg_channel_reason(end->channel);
        return false;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (bytes[i] != byte_at(salt, *received + (size_t)i)) {
            end->failure = "other bytes than were sent";
            return false;
        }
    }
    *received += got > 0 ? (size_t)got : 0;
    return true;
}

static void *read_all(void *argument)
{
    struct end *end = argument;
    struct random random = {.state = end->salt + 1U};
    uint8_t *bytes = malloc(PIECE);
    size_t received = 0;

    while (received < SIZE && wait_for(end, POLLIN) && read_piece(end, &random, &received, bytes)) {
    }
    free(bytes);
    return NULL;
}

static void make_ends(const struct dg_credentials *credentials)
{
    int pair[2];
    int buffer = 8192;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int i = 0; i < 2; i++) {
        ends[i] = (struct end){.fd = pair[i], .salt = i == 0 ? 0x5A : 0xA5};
        assert_int_equal(setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
        assert_int_equal(pthread_mutex_init(&ends[i].lock, NULL), 0);
        ends[i].channel = dg_channel_new(
            credentials, i == 0 ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER, &socket_transport, 60);
        assert_non_null(ends[i].channel);
    }
}

static void free_ends(void)
{
    for (int i = 0; i < 2; i++) {
        dg_channel_close(ends[i].channel, ends[i].fd);
        dg_channel_free(ends[i].channel);
        (void)close(ends[i].fd);
        (void)pthread_mutex_destroy(&ends[i].lock);
    }
}

static void test_two_threads_on_each_end_send_and_receive_at_once(void **state)
{
    struct dg_credentials *credentials = pki_credentials("ours", "node", "ours");
    pthread_t threads[4];

    (void)state;
    make_ends(credentials);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &ends[i]), 0);
        assert_int_equal(pthread_create(&threads[2 + i], NULL, write_all, &ends[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i].failure != NULL) {
            fail_msg("end %d: %s", i, ends[i].failure);
        }
    }
    free_ends();
    dg_credentials_free(credentials);
}

static void test_nobody_is_left_waiting_whoever_closes_first(void **state)
{
    struct dg_credentials *credentials = pki_credentials("ours", "node", "ours");
    pthread_t threads[2];

    (void)state;
    make_ends(credentials);
    assert_int_equal(pthread_create(&threads[0], NULL, read_all, &ends[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, read_all, &ends[1]), 0);
    /* The client's first call makes the ClientHello; without it both would wait. */
    pthread_mutex_lock(&ends[0].lock);
    (void)dg_channel_readable(ends[0].channel, ends[0].fd);
    pthread_mutex_unlock(&ends[0].lock);
    for (enum dg_channel_state now = DG_CHANNEL_HANDSHAKE; now != DG_CHANNEL_OPEN;) {
        pthread_mutex_lock(&ends[0].lock);
        now = dg_channel_get_state(ends[0].channel);
        pthread_mutex_unlock(&ends[0].lock);
        (void)sched_yield();
    }
    pthread_mutex_lock(&ends[0].lock);
    dg_channel_end_sending(ends[0].channel, ends[0].fd);
    pthread_mutex_unlock(&ends[0].lock);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    pthread_mutex_lock(&ends[1].lock);
    dg_channel_end_sending(ends[1].channel, ends[1].fd);
    pthread_mutex_unlock(&ends[1].lock);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_string_equal(ends[0].failure, "");
    assert_string_equal(ends[1].failure, "");
    assert_int_equal(dg_channel_get_state(ends[0].channel), DG_CHANNEL_PEER_CLOSED);
    assert_int_equal(dg_channel_get_state(ends[1].channel), DG_CHANNEL_PEER_CLOSED);
    free_ends();
    dg_credentials_free(credentials);
}

static void receive_late(void *argument)
{
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    struct end *end = argument;

    end->failure =
        dg_channel_receive(end->channel, end->fd, &vector, 1, false) < 0 && errno == EAGAIN
            ? ""
            : "receive failed";
}

static pthread_key_t late;

/* The server's part of the handshake is left for the destructor to receive. */
static void *shake_hands(void *argument)
{
    receive_late(&ends[0]);
    receive_late(&ends[1]);
    return pthread_setspecific(late, argument) == 0 ? argument : NULL;
}

/* Destructors of a thread's data run in no order that we could choose: ours may be the first. */
static void test_a_thread_may_use_a_channel_to_its_very_end(void **state)
{
    struct dg_credentials *credentials = pki_credentials("ours", "node", "ours");
    pthread_t thread;
    void *result = NULL;

    (void)state;
    make_ends(credentials);
    assert_int_equal(pthread_key_create(&late, receive_late), 0);
    assert_int_equal(pthread_create(&thread, NULL, shake_hands, &ends[0]), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &ends[0]);
    assert_string_equal(ends[0].failure, "");
    assert_int_equal(pthread_key_delete(late), 0);
    free_ends();
    dg_credentials_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_threads_on_each_end_send_and_receive_at_once),
        cmocka_unit_test(test_nobody_is_left_waiting_whoever_closes_first),
        cmocka_unit_test(test_a_thread_may_use_a_channel_to_its_very_end),
    };

    return cmocka_run_group_tests_name("tls/channel, threads", tests, pki_make, pki_remove);
}
