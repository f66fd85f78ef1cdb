/* KeyUpdates: when a channel sends them, how it answers them, and how many it puts up with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/support/forge.h"
#include "tests/unit/support/peer.h"
#include "tests/unit/support/pki.h"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20 };
enum { OVERHEAD = 22, KEY_UPDATE = OVERHEAD + 5 };

#define FLOODED "peer sends more KeyUpdates than tls.keyupdate_limit lets it"

static struct dg_policy policy;
static struct dg_credentials *credentials;
static struct ends ends;
static struct peer *peer;

/* Two channels of ours whose policy is this. */
static void connect_ours(int64_t rekey_bytes, unsigned keyupdate_limit)
{
    policy.tls.rekey_bytes = rekey_bytes;
    policy.tls.keyupdate_limit = keyupdate_limit;
    kernel_reset(PLENTY, 1);
    ends = ends_new(credentials, credentials);
    ends_handshake(&ends);
}

static void part_ours(void)
{
    ends_free(&ends);
    kernel_free();
}

/* One channel of ours at `fd`, and plain OpenSSL. */
static void connect_peer(int fd, int64_t rekey_bytes, unsigned keyupdate_limit)
{
    policy.tls.rekey_bytes = rekey_bytes;
    policy.tls.keyupdate_limit = keyupdate_limit;
    kernel_reset(PLENTY, 1);
    memset(&ends, 0, sizeof ends);
    ends.channel[fd] = dg_channel_new(
        credentials, fd == CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER, &kernel_transport, 60);
    assert_non_null(ends.channel[fd]);
    peer = peer_new(1 - fd, "ours", "peer");
    for (int i = 0; i < 4; i++) {
        peer_step(peer);
        assert_eagain(&ends, fd);
    }
    assert_int_equal(dg_channel_get_state(ends.channel[fd]), DG_CHANNEL_OPEN);
}

static void part_peer(void)
{
    peer_free(peer);
    part_ours();
}

static void fill(uint8_t *bytes, size_t size, unsigned number)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(number + i);
    }
}

/* The peer tells nothing but a KeyUpdate. */
static void peer_updates(int type)
{
    assert_int_equal(SSL_key_update(peer->ssl, type), 1);
    assert_int_equal(SSL_do_handshake(peer->ssl), 1);
    peer_step(peer);
}

/* --- ours --- */

static void test_two_of_ours_rekey_thousands_of_times(void **state)
{
    enum { MESSAGES = 3000, SIZE = 600 };
    uint8_t sent[SIZE], arrived[SIZE];

    (void)state;
    connect_ours(1000, 1000000);
    for (int from = 0; from < 2; from++) {
        size_t before = kernel_ends[from].sent;

        for (unsigned i = 0; i < MESSAGES; i++) {
            fill(sent, SIZE, i);
            assert_int_equal(send_bytes(&ends, from, sent, SIZE), SIZE);
            assert_int_equal(receive_bytes(&ends, 1 - from, arrived, SIZE), SIZE);
            assert_memory_equal(arrived, sent, SIZE);
        }
        /* Two messages are more than the limit: new keys before each, but the first. */
        assert_int_equal(kernel_ends[from].sent - before,
                         MESSAGES * (SIZE + OVERHEAD) + (MESSAGES - 1) * KEY_UPDATE);
    }
    part_ours();
}

static void test_no_key_is_used_for_more_bytes_than_the_policy_says(void **state)
{
    enum { LIMIT = 40000, SIZE = 200000 };
    static uint8_t bytes[SIZE], arrived[SIZE];
    size_t before, got = 0;

    (void)state;
    connect_ours(LIMIT, 1000);
    fill(bytes, SIZE, 0);
    before = kernel_ends[CLIENT].sent;
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, SIZE), SIZE);
    while (got < SIZE) {
        ssize_t part = receive_bytes(&ends, SERVER, arrived + got, SIZE - got);

        assert_true(part > 0);
        got += (size_t)part;
    }
    assert_memory_equal(arrived, bytes, SIZE);
    /* Twelve records of 16384 bytes, of which two fit under one key, and a short one that fits with
     * the last two. */
    assert_int_equal(kernel_ends[CLIENT].sent - before, SIZE + 13 * OVERHEAD + 5 * KEY_UPDATE);
    part_ours();
}

static void test_without_a_limit_records_alone_count(void **state)
{
    const uint64_t records = 1 << 23;
    size_t before;

    (void)state;
    connect_ours(0, 0);
    before = kernel_ends[CLIENT].sent;
    ends.channel[CLIENT]->sending.sequence = records - 1;
    ends.channel[SERVER]->receiving.sequence = records - 1;
    assert_int_equal(send_bytes(&ends, CLIENT, "last", 4), 4);
    assert_int_equal(kernel_ends[CLIENT].sent - before, 4 + OVERHEAD);
    assert_int_equal(send_bytes(&ends, CLIENT, "first", 5), 5);
    assert_int_equal(kernel_ends[CLIENT].sent - before, 9 + 2 * OVERHEAD + KEY_UPDATE);
    assert_int_equal(ends.channel[CLIENT]->sending.sequence, 1);
    assert_text(&ends, SERVER, "lastfirst");
    part_ours();
}

/* --- OpenSSL --- */

static void test_openssl_follows_thousands_of_key_updates(void **state)
{
    enum { MESSAGES = 2000, SIZE = 100 };
    uint8_t bytes[SIZE];

    (void)state;
    for (int fd = 0; fd < 2; fd++) {
        connect_peer(fd, SIZE, 0);
        for (unsigned i = 0; i < MESSAGES; i++) {
            fill(bytes, SIZE, i);
            peer->size = 0;
            assert_int_equal(send_bytes(&ends, fd, bytes, SIZE), SIZE);
            peer_step(peer);
            assert_int_equal(peer->size, SIZE);
            assert_memory_equal(peer->text, bytes, SIZE);
        }
        assert_int_equal(peer->key_updates, MESSAGES - 1);
        part_peer();
    }
}

static void test_a_channel_follows_thousands_of_openssls(void **state)
{
    enum { MESSAGES = 2000 };

    (void)state;
    for (int fd = 0; fd < 2; fd++) {
        connect_peer(fd, 0, 1000000);
        for (unsigned i = 0; i < MESSAGES; i++) {
            peer_updates(i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
            peer_send(peer, "ping", 4);
            assert_text(&ends, fd, "ping");
            assert_int_equal(send_bytes(&ends, fd, "pong", 4), 4);
            peer->size = 0;
            peer_step(peer);
            assert_int_equal(peer->size, 4);
        }
        assert_int_equal(peer->key_updates, MESSAGES / 2);
        part_peer();
    }
}

/* --- answers --- */

static void test_one_key_update_answers_many_requests(void **state)
{
    (void)state;
    connect_peer(SERVER, 0, 1000);
    for (int i = 0; i < 500; i++) {
        peer_updates(SSL_KEY_UPDATE_REQUESTED);
        assert_eagain(&ends, SERVER);
    }
    assert_int_equal(kernel_ends[CLIENT].size, 0);
    assert_int_equal(send_bytes(&ends, SERVER, "answer", 6), 6);
    assert_int_equal(send_bytes(&ends, SERVER, "s", 1), 1);
    peer_step(peer);
    assert_int_equal(peer->key_updates, 1);
    assert_int_equal(peer->size, 7);
    part_peer();
}

static void test_requests_pile_nothing_up_while_a_write_is_blocked(void **state)
{
    size_t queued;

    (void)state;
    connect_peer(SERVER, 0, 1000);
    kernel_ends[CLIENT].capacity = kernel_ends[CLIENT].size + 3;
    assert_int_equal(send_bytes(&ends, SERVER, "abc", 3), 2);
    queued = dg_buffer_size(&ends.channel[SERVER]->out);
    for (int i = 0; i < 500; i++) {
        char byte;

        assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(peer->ssl), 1);
        peer_send(peer, "x", 1);
        assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), 1);
    }
    assert_int_equal(dg_buffer_size(&ends.channel[SERVER]->out), queued);
    kernel_ends[CLIENT].capacity = PLENTY;
    assert_int_equal(send_bytes(&ends, SERVER, "cdef", 4), 4);
    peer_step(peer);
    assert_int_equal(peer->key_updates, 1);
    peer->text[peer->size] = '\0';
    assert_string_equal(peer->text, "abcdef");
    part_peer();
}

/* --- floods --- */

static void assert_flooded(int fd)
{
    char byte;

    assert_int_equal(receive_bytes(&ends, fd, &byte, 1), -1);
    assert_failed(&ends, fd, ECONNRESET, FLOODED);
    peer_step(peer);
    assert_int_equal(peer->alert, SSL_AD_UNEXPECTED_MESSAGE);
}

static void test_a_flood_of_key_updates_ends_the_channel_and_the_peer_is_told(void **state)
{
    (void)state;
    for (int fd = 0; fd < 2; fd++) {
        for (int type = 0; type < 2; type++) {
            connect_peer(fd, 0, 0);
            for (int i = 0; i < 1000; i++) {
                peer_updates(type == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED);
            }
            assert_flooded(fd);
            part_peer();
        }
    }
}

static void test_much_data_between_them_is_no_flood(void **state)
{
    enum { SIZE = 1 << 20, TIMES = 10 };
    static char bytes[SIZE], arrived[SIZE];

    (void)state;
    connect_ours(65536, 1);
    kernel_ends[SERVER].capacity = (size_t)2 * SIZE;
    for (int i = 0; i < TIMES; i++) {
        size_t got = 0;

        assert_int_equal(send_bytes(&ends, CLIENT, bytes, SIZE), SIZE);
        while (got < SIZE) {
            ssize_t part = receive_bytes(&ends, SERVER, arrived, SIZE);

            assert_true(part > 0);
            got += (size_t)part;
        }
    }
    part_ours();
}

static void test_little_data_between_them_excuses_no_flood(void **state)
{
    int taken = 0;

    (void)state;
    connect_peer(SERVER, 0, 5);
    while (dg_channel_get_state(ends.channel[SERVER]) == DG_CHANNEL_OPEN && taken < 10000) {
        char byte;

        peer_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
        peer_send(peer, "x", 1);
        (void)receive_bytes(&ends, SERVER, &byte, 1);
        taken++;
    }
    assert_in_range(taken, 6, 1000);
    assert_flooded(SERVER);
    part_peer();
}

/* Receives `size` bytes and looks at none. */
static void swallow(size_t size)
{
    static char bytes[1 << 16];

    while (size > 0) {
        ssize_t part =
            receive_bytes(&ends, SERVER, bytes, size < sizeof bytes ? size : sizeof bytes);

        assert_true(part > 0);
        size -= (size_t)part;
    }
}

/* As OTP does where it has more to send than key_update_at. */
static void test_a_short_rest_under_keys_of_its_own_is_no_flood(void **state)
{
    enum { SIZE = 40000, TIMES = 200 };
    static const char bytes[SIZE];

    (void)state;
    connect_peer(SERVER, 0, 1);
    for (int i = 0; i < TIMES; i++) {
        peer_updates(SSL_KEY_UPDATE_REQUESTED);
        peer_send(peer, bytes, SIZE);
        swallow(SIZE);
        peer_updates(SSL_KEY_UPDATE_REQUESTED);
        peer_send(peer, "rest", 4);
        swallow(4);
    }
    part_peer();
}

static void test_a_flood_after_much_data_is_one_all_the_same(void **state)
{
    enum { SIZE = 40000, TIMES = 200 };
    static const char bytes[SIZE];
    int taken = 0;

    (void)state;
    connect_peer(SERVER, 0, 5);
    for (int i = 0; i < TIMES; i++) {
        peer_send(peer, bytes, SIZE);
        swallow(SIZE);
    }
    while (dg_channel_get_state(ends.channel[SERVER]) == DG_CHANNEL_OPEN && taken < 10000) {
        char byte;

        peer_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
        peer_send(peer, "x", 1);
        (void)receive_bytes(&ends, SERVER, &byte, 1);
        taken++;
    }
    assert_in_range(taken, 64, 1000);
    assert_flooded(SERVER);
    part_peer();
}

static void test_as_many_as_the_limit_lets_are_no_flood(void **state)
{
    (void)state;
    connect_peer(SERVER, 0, 20);
    for (int i = 0; i < 20; i++) {
        peer_updates(SSL_KEY_UPDATE_REQUESTED);
    }
    peer_send(peer, "fine", 4);
    assert_text(&ends, SERVER, "fine");
    part_peer();
}

static void test_what_was_there_before_a_flood_is_delivered(void **state)
{
    (void)state;
    connect_peer(SERVER, 0, 1);
    peer_send(peer, "before", 6);
    for (int i = 0; i < 100; i++) {
        peer_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    assert_text(&ends, SERVER, "before");
    assert_flooded(SERVER);
    part_peer();
}

static void test_a_key_update_with_something_behind_it_ends_the_channel(void **state)
{
    (void)state;
    connect_ours(0, 0);
    forge_record(&ends, CLIENT, DG_CONTENT_HANDSHAKE, "\x18\0\0\1\0\x18\0\0\1\0", 10);
    assert_failed(&ends, SERVER, ECONNRESET,
                  "peer sends a post-handshake message that has no place here");
    part_ours();
}

static int set_up(void **state)
{
    (void)pki_make(state);
    policy.tls = pki_policy("ours", "node", "ours");
    credentials = pki_credentials_of(&policy);
    return 0;
}

static int tear_down(void **state)
{
    dg_credentials_free(credentials);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_of_ours_rekey_thousands_of_times),
        cmocka_unit_test(test_no_key_is_used_for_more_bytes_than_the_policy_says),
        cmocka_unit_test(test_without_a_limit_records_alone_count),
        cmocka_unit_test(test_openssl_follows_thousands_of_key_updates),
        cmocka_unit_test(test_a_channel_follows_thousands_of_openssls),
        cmocka_unit_test(test_one_key_update_answers_many_requests),
        cmocka_unit_test(test_requests_pile_nothing_up_while_a_write_is_blocked),
        cmocka_unit_test(test_a_flood_of_key_updates_ends_the_channel_and_the_peer_is_told),
        cmocka_unit_test(test_much_data_between_them_is_no_flood),
        cmocka_unit_test(test_little_data_between_them_excuses_no_flood),
        cmocka_unit_test(test_a_short_rest_under_keys_of_its_own_is_no_flood),
        cmocka_unit_test(test_a_flood_after_much_data_is_one_all_the_same),
        cmocka_unit_test(test_as_many_as_the_limit_lets_are_no_flood),
        cmocka_unit_test(test_what_was_there_before_a_flood_is_delivered),
        cmocka_unit_test(test_a_key_update_with_something_behind_it_ends_the_channel),
    };

    return cmocka_run_group_tests_name("tls/channel, KeyUpdate", tests, set_up, tear_down);
}
