/* Channels, one behaviour after another: two of ours, over the simulated kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support/checked.h"
#include "tests/unit/support/pki.h"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20 };

static struct dg_credentials *client_credentials, *server_credentials;
static struct ends ends;

static int connect_ends(void **state)
{
    (void)state;
    kernel_reset(PLENTY, 1);
    ends = ends_new(client_credentials, server_credentials);
    return 0;
}

static int open_ends(void **state)
{
    (void)connect_ends(state);
    ends_handshake(&ends);
    return 0;
}

static int free_ends(void **state)
{
    (void)state;
    ends_free(&ends);
    kernel_free();
    return 0;
}

/* --- the handshake */

static void test_receive_alone_drives_the_handshake_on_both_sides(void **state)
{
    /* Safe from tomorrow's quantum computers wherever OpenSSL knows how. */
    const char *group = OpenSSL_version_num() >= 0x30500000UL ? "X25519MLKEM768" : "x25519";

    (void)state;
    assert_string_equal(dg_channel_version(ends.channel[CLIENT]), "");
    assert_string_equal(dg_channel_group(ends.channel[CLIENT]), "");
    assert_string_equal(dg_channel_cipher(ends.channel[CLIENT]), "");
    ends_handshake(&ends);
    for (int fd = 0; fd < 2; fd++) {
        assert_string_equal(dg_channel_version(ends.channel[fd]), "TLSv1.3");
        assert_string_equal(dg_channel_cipher(ends.channel[fd]), "TLS_AES_256_GCM_SHA384");
        assert_string_equal(dg_channel_group(ends.channel[fd]), group);
        assert_string_equal(dg_channel_peer_certificate(ends.channel[fd]), "DNS:node.example.org");
        assert_string_equal(dg_channel_reason(ends.channel[fd]), "");
        assert_true(dg_channel_was_open(ends.channel[fd]));
    }
}

static void test_the_handshake_survives_queues_of_one_byte_if_it_is_polled(void **state)
{
    (void)state;
    kernel_ends[CLIENT].capacity = kernel_ends[SERVER].capacity = 1;
    for (int i = 0; i < 20000 && (dg_channel_get_state(ends.channel[CLIENT]) != DG_CHANNEL_OPEN ||
                                  dg_channel_get_state(ends.channel[SERVER]) != DG_CHANNEL_OPEN);
         i++) {
        assert_eagain(&ends, CLIENT);
        assert_eagain(&ends, SERVER);
    }
    assert_int_equal(dg_channel_get_state(ends.channel[CLIENT]), DG_CHANNEL_OPEN);
    assert_int_equal(dg_channel_get_state(ends.channel[SERVER]), DG_CHANNEL_OPEN);
}

static void test_a_small_write_before_the_handshake_is_kept_and_delivered(void **state)
{
    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "name", 4), 4);
    assert_int_equal(send_bytes(&ends, CLIENT, " message", 8), 8);
    assert_eagain(&ends, SERVER);
    assert_eagain(&ends, CLIENT);
    assert_text(&ends, SERVER, "name message");
}

static void test_a_server_may_write_first_too(void **state)
{
    (void)state;
    assert_int_equal(send_bytes(&ends, SERVER, "banner", 6), 6);
    assert_eagain(&ends, CLIENT);
    assert_eagain(&ends, SERVER);
    assert_eagain(&ends, CLIENT);
    assert_eagain(&ends, SERVER);
    assert_text(&ends, CLIENT, "banner");
}

static void test_no_more_than_64_kib_are_kept_before_the_handshake(void **state)
{
    enum { KEPT = 64 * 1024 };
    static char bytes[KEPT + 1];
    static char arrived[KEPT + 1];

    (void)state;
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, KEPT + 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, KEPT), KEPT);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_eagain(&ends, SERVER);
    assert_eagain(&ends, CLIENT);
    assert_int_equal(receive_bytes(&ends, SERVER, arrived, sizeof arrived), KEPT);
    assert_memory_equal(arrived, bytes, KEPT);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, KEPT + 1), KEPT + 1);
}

static void test_a_handshake_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    dg_channel_free(ends.channel[SERVER]);
    ends.channel[SERVER] =
        dg_channel_new(server_credentials, DG_CHANNEL_SERVER, &kernel_transport, 0.0);
    assert_eagain(&ends, CLIENT);
    assert_failed(&ends, SERVER, ETIMEDOUT, "TLS handshake not finished in time");
    assert_false(dg_channel_was_open(ends.channel[SERVER]));
}

static void test_an_open_channel_knows_no_timeout(void **state)
{
    (void)state;
    dg_channel_free(ends.channel[SERVER]);
    ends.channel[SERVER] =
        dg_channel_new(server_credentials, DG_CHANNEL_SERVER, &kernel_transport, 0.2);
    ends_handshake(&ends);
    assert_int_equal(usleep(250000), 0);
    assert_int_equal(send_bytes(&ends, CLIENT, "late", 4), 4);
    assert_text(&ends, SERVER, "late");
}

static void test_a_peer_that_leaves_during_the_handshake_is_named_so(void **state)
{
    (void)state;
    assert_eagain(&ends, CLIENT);
    kernel_ends[CLIENT].ended = true;
    assert_failed(&ends, CLIENT, ECONNRESET, "peer closed the connection during the TLS handshake");
    assert_false(dg_channel_was_answered(ends.channel[CLIENT]));
}

static void test_a_peer_that_says_something_in_tls_has_answered(void **state)
{
    (void)state;
    assert_eagain(&ends, CLIENT);
    assert_false(dg_channel_was_answered(ends.channel[CLIENT]));
    assert_true(dg_channel_was_answered(ends.channel[SERVER]));
    assert_eagain(&ends, SERVER);
    assert_eagain(&ends, CLIENT);
    assert_true(dg_channel_was_answered(ends.channel[CLIENT]));
}

/* --- data */

static void test_nothing_to_send_and_no_room_to_receive_are_no_errors(void **state)
{
    struct iovec empty[] = {{.iov_base = NULL, .iov_len = 0}, {.iov_base = NULL, .iov_len = 0}};

    (void)state;
    assert_int_equal(checked_send(&ends, CLIENT, empty, 2), 0);
    assert_int_equal(checked_send(&ends, CLIENT, NULL, 0), 0);
    assert_int_equal(checked_receive(&ends, CLIENT, empty, 2, false), 0);
}

static void test_a_hundred_messages_in_one_record_all_arrive_through_a_poller(void **state)
{
    char bytes[1000];
    size_t arrived = 0;

    (void)state;
    memset(bytes, 'm', sizeof bytes);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, sizeof bytes), sizeof bytes);
    while (kernel_readable(SERVER)) {
        char message[10];
        ssize_t got = receive_bytes(&ends, SERVER, message, arrived == 0 ? 3 : sizeof message);

        assert_true(got > 0);
        arrived += (size_t)got;
    }
    assert_int_equal(arrived, sizeof bytes);
}

static void test_one_system_call_serves_one_large_enough_receive(void **state)
{
    static char bytes[65536];
    unsigned calls;

    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, 1000), 1000);
    calls = kernel_ends[SERVER].receives;
    assert_int_equal(dg_channel_receive(ends.channel[SERVER], SERVER,
                                        &(struct iovec){.iov_base = bytes, .iov_len = 65536}, 1,
                                        false),
                     1000);
    assert_int_equal(kernel_ends[SERVER].receives - calls, 1);
}

static void test_peeked_bytes_stay_and_keep_the_poller_awake(void **state)
{
    char bytes[16] = "";

    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "0123456789", 10), 10);
    for (int i = 0; i < 3; i++) {
        struct iovec vector = {.iov_base = bytes, .iov_len = 4};

        assert_int_equal(checked_receive(&ends, SERVER, &vector, 1, true), 4);
        assert_memory_equal(bytes, "0123", 4);
        assert_true(kernel_readable(SERVER));
    }
    assert_text(&ends, SERVER, "0123456789");
    assert_false(kernel_readable(SERVER));
    assert_eagain(&ends, SERVER);
}

/* A kernel that says for a while that there is nothing, where it has shown a byte already. */
static void test_a_peeked_byte_that_cannot_be_taken_yet_is_taken_later(void **state)
{
    char bytes[16] = "";

    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "0123456789", 10), 10);
    assert_int_equal(receive_bytes(&ends, SERVER, bytes, 4), 4);
    kernel_ends[SERVER].frozen = true;
    assert_int_equal(dg_channel_receive(ends.channel[SERVER], SERVER,
                                        &(struct iovec){.iov_base = bytes + 4, .iov_len = 12}, 1,
                                        false),
                     6);
    assert_memory_equal(bytes, "0123456789", 10);
    kernel_ends[SERVER].frozen = false;
    assert_int_equal(send_bytes(&ends, CLIENT, "more", 4), 4);
    assert_text(&ends, SERVER, "more");
    assert_false(kernel_readable(SERVER));
}

static void test_readable_tells_what_a_receive_would_give(void **state)
{
    char bytes[16];

    (void)state;
    assert_int_equal(checked_readable(&ends, SERVER), 0);
    assert_int_equal(send_bytes(&ends, CLIENT, "0123456789", 10), 10);
    assert_int_equal(checked_readable(&ends, SERVER), 10);
    assert_int_equal(receive_bytes(&ends, SERVER, bytes, 3), 3);
    assert_int_equal(checked_readable(&ends, SERVER), 7);
    assert_text(&ends, SERVER, "3456789");
    assert_int_equal(checked_readable(&ends, SERVER), 0);
}

static void test_a_byte_that_cannot_be_sent_is_asked_for_again_and_sent_once(void **state)
{
    size_t waiting = kernel_ends[SERVER].size;

    (void)state;
    kernel_ends[SERVER].capacity = waiting + 5;
    assert_int_equal(send_bytes(&ends, CLIENT, "a", 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send_bytes(&ends, CLIENT, "a", 1), -1);
    assert_int_equal(errno, EAGAIN);
    kernel_ends[SERVER].capacity = PLENTY;
    assert_int_equal(send_bytes(&ends, CLIENT, "a", 1), 1);
    assert_int_equal(send_bytes(&ends, CLIENT, "b", 1), 1);
    assert_text(&ends, SERVER, "ab");
}

static void test_a_partial_write_goes_on_with_more_data_cut_differently(void **state)
{
    struct iovec again[] = {{.iov_base = NULL, .iov_len = 0},
                            {.iov_base = (char[]){"j"}, .iov_len = 1},
                            {.iov_base = (char[]){"klmno"}, .iov_len = 5}};

    (void)state;
    kernel_ends[SERVER].capacity = kernel_ends[SERVER].size + 7;
    assert_int_equal(send_bytes(&ends, CLIENT, "abcdefghij", 10), 9);
    kernel_ends[SERVER].capacity = PLENTY;
    assert_int_equal(checked_send(&ends, CLIENT, again, 3), 6);
    assert_text(&ends, SERVER, "abcdefghijklmno");
}

static void test_a_receive_sends_what_a_send_could_not(void **state)
{
    (void)state;
    kernel_ends[SERVER].capacity = kernel_ends[SERVER].size + 7;
    assert_int_equal(send_bytes(&ends, CLIENT, "abc", 3), 2);
    kernel_ends[SERVER].capacity = PLENTY;
    assert_eagain(&ends, CLIENT);
    assert_text(&ends, SERVER, "abc");
    assert_int_equal(send_bytes(&ends, CLIENT, "cd", 2), 2);
    assert_text(&ends, SERVER, "d");
}

/* --- the end */

static void test_close_notify_is_the_end_and_wakes_the_poller(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "last", 4), 4);
    dg_channel_end_sending(ends.channel[CLIENT], CLIENT);
    assert_text(&ends, SERVER, "last");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), 0);
        assert_true(kernel_readable(SERVER));
    }
    assert_int_equal(dg_channel_get_state(ends.channel[SERVER]), DG_CHANNEL_PEER_CLOSED);
    assert_int_equal(kernel_ends[SERVER].shutdowns, 1);
    assert_string_equal(dg_channel_reason(ends.channel[SERVER]), "");
}

static void test_a_peer_that_has_ended_can_still_be_written_to(void **state)
{
    char byte;

    (void)state;
    dg_channel_end_sending(ends.channel[CLIENT], CLIENT);
    assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), 0);
    assert_int_equal(send_bytes(&ends, SERVER, "answer", 6), 6);
    assert_text(&ends, CLIENT, "answer");
    assert_int_equal(send_bytes(&ends, CLIENT, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_an_end_without_close_notify_is_a_truncation(void **state)
{
    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "half", 4), 4);
    kernel_ends[SERVER].ended = true;
    assert_text(&ends, SERVER, "half");
    assert_failed(&ends, SERVER, ECONNRESET, "connection ended without close_notify: truncated");
    assert_true(dg_channel_was_open(ends.channel[SERVER]));
}

static void test_an_error_of_the_kernel_is_passed_on(void **state)
{
    (void)state;
    kernel_ends[SERVER].receive_error = ECONNRESET;
    assert_failed(&ends, SERVER, ECONNRESET, "Connection reset by peer");
    kernel_ends[CLIENT].receive_error = EHOSTUNREACH;
    assert_failed(&ends, CLIENT, EHOSTUNREACH, "No route to host");
}

static void test_a_send_to_a_reset_connection_is_a_broken_pipe(void **state)
{
    (void)state;
    kernel_ends[CLIENT].send_error = EPIPE;
    assert_int_equal(send_bytes(&ends, CLIENT, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_failed(&ends, CLIENT, ECONNRESET, "Broken pipe");
}

static void test_close_says_goodbye_and_empties_the_receive_queue(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(send_bytes(&ends, SERVER, "unread", 6), 6);
    dg_channel_close(ends.channel[CLIENT], CLIENT);
    assert_int_equal(kernel_ends[CLIENT].size, 0);
    assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), 0);
}

/* --- attackers and accidents */

static void test_plaintext_instead_of_a_handshake_is_refused(void **state)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";

    (void)state;
    kernel_inject(SERVER, request, strlen(request));
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends what is no TLS record");
    assert_false(dg_channel_was_open(ends.channel[SERVER]));
}

static void test_garbage_on_an_open_channel_ends_it(void **state)
{
    (void)state;
    kernel_inject(SERVER, "\x83garbage", 8);
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends what is no TLS record");
}

static void test_plaintext_behind_a_good_record_is_never_delivered(void **state)
{
    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "good", 4), 4);
    kernel_inject(SERVER, "injected", 8);
    assert_text(&ends, SERVER, "good");
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends what is no TLS record");
}

static void test_a_flipped_bit_anywhere_in_a_record_ends_the_channel(void **state)
{
    (void)state;
    for (size_t at = 5; at < 5 + 4 + 1 + 16; at++) {
        char byte;
        ssize_t got;

        (void)open_ends(state);
        assert_int_equal(send_bytes(&ends, CLIENT, "good", 4), 4);
        kernel_waiting(SERVER)[at] ^= 0x10;
        got = receive_bytes(&ends, SERVER, &byte, 1);
        assert_int_equal(got, -1);
        assert_failed(&ends, SERVER, ECONNRESET, "TLS: decryption failed or bad record mac");
        (void)free_ends(state);
    }
    (void)connect_ends(state);
}

static void test_a_replayed_record_ends_the_channel(void **state)
{
    char record[64];
    size_t size;

    (void)state;
    assert_int_equal(send_bytes(&ends, CLIENT, "once", 4), 4);
    size = kernel_ends[SERVER].size;
    memcpy(record, kernel_waiting(SERVER), size);
    kernel_inject(SERVER, record, size);
    assert_text(&ends, SERVER, "once");
    assert_failed(&ends, SERVER, ECONNRESET, "TLS: decryption failed or bad record mac");
}

static void test_a_record_longer_than_allowed_is_refused_by_its_header(void **state)
{
    static const uint8_t header[] = {23, 3, 3, 0x41, 0x01}; /* 2^14 + 256 + 1 */

    (void)state;
    kernel_inject(SERVER, header, sizeof header);
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends what is no TLS record");
}

/* --- resources */

static void *exchange(void *unused)
{
    enum { SIZE = 300000 };
    char *bytes = calloc(2, SIZE);
    size_t arrived = 0;

    (void)connect_ends(NULL);
    ends_handshake(&ends);
    assert_int_equal(send_bytes(&ends, CLIENT, bytes, SIZE), SIZE);
    while (arrived < SIZE) {
        ssize_t got = receive_bytes(&ends, SERVER, bytes + SIZE, SIZE);

        assert_true(got > 0);
        arrived += (size_t)got;
    }
    (void)free_ends(NULL);
    free(bytes);
    return unused;
}

/* The VM's dirty I/O schedulers have 320 KiB (+sssdio 40) and run our code on their own stacks. */
static void test_a_stack_of_320_kib_is_enough(void **state)
{
    const size_t stack = (size_t)320 * 1024;
    pthread_attr_t attributes;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, stack), 0);
    assert_int_equal(pthread_create(&thread, &attributes, exchange, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_attr_destroy(&attributes);
    (void)connect_ends(state);
}

static void test_an_idle_channel_keeps_little_memory(void **state)
{
    enum { PAIRS = 20, CHANNELS = 2 * PAIRS, MOST_PER_CHANNEL = 40 * 1024 };
    static struct ends pairs[PAIRS];
    static char bytes[100000];
    size_t before, kept;

    (void)state;
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < PAIRS; i++) {
        kernel_reset(PLENTY, 1);
        pairs[i] = ends_new(client_credentials, server_credentials);
        ends_handshake(&pairs[i]);
        assert_int_equal(send_bytes(&pairs[i], CLIENT, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(receive_bytes(&pairs[i], SERVER, bytes, sizeof bytes), sizeof bytes);
        kernel_free();
    }
    kept = (mallinfo2().uordblks + mallinfo2().hblkhd - before) / CHANNELS;
    for (int i = 0; i < PAIRS; i++) {
        ends_free(&pairs[i]);
    }
    (void)connect_ends(state);
    /* Under the sanitizers mallinfo2() knows nothing, and both are 0. */
    print_message("# %zu bytes per idle channel\n", kept);
    if (kept > MOST_PER_CHANNEL) {
        fail_msg("an idle channel keeps %zu bytes, more than %d", kept, MOST_PER_CHANNEL);
    }
}

static int set_up(void **state)
{
    (void)pki_make(state);
    client_credentials = pki_credentials("ours", "node", "ours");
    server_credentials = pki_credentials("ours", "peer", "ours");
    return 0;
}

static int tear_down(void **state)
{
    dg_credentials_free(client_credentials);
    dg_credentials_free(server_credentials);
    return pki_remove(state);
}

#define CONNECTED(test) cmocka_unit_test_setup_teardown(test, connect_ends, free_ends)
#define OPEN(test) cmocka_unit_test_setup_teardown(test, open_ends, free_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONNECTED(test_receive_alone_drives_the_handshake_on_both_sides),
        CONNECTED(test_the_handshake_survives_queues_of_one_byte_if_it_is_polled),
        CONNECTED(test_a_small_write_before_the_handshake_is_kept_and_delivered),
        CONNECTED(test_a_server_may_write_first_too),
        CONNECTED(test_no_more_than_64_kib_are_kept_before_the_handshake),
        CONNECTED(test_a_handshake_that_takes_too_long_is_ended),
        CONNECTED(test_an_open_channel_knows_no_timeout),
        CONNECTED(test_a_peer_that_leaves_during_the_handshake_is_named_so),
        CONNECTED(test_a_peer_that_says_something_in_tls_has_answered),
        OPEN(test_nothing_to_send_and_no_room_to_receive_are_no_errors),
        OPEN(test_a_hundred_messages_in_one_record_all_arrive_through_a_poller),
        OPEN(test_one_system_call_serves_one_large_enough_receive),
        OPEN(test_peeked_bytes_stay_and_keep_the_poller_awake),
        OPEN(test_a_peeked_byte_that_cannot_be_taken_yet_is_taken_later),
        OPEN(test_readable_tells_what_a_receive_would_give),
        OPEN(test_a_byte_that_cannot_be_sent_is_asked_for_again_and_sent_once),
        OPEN(test_a_partial_write_goes_on_with_more_data_cut_differently),
        OPEN(test_a_receive_sends_what_a_send_could_not),
        OPEN(test_close_notify_is_the_end_and_wakes_the_poller),
        OPEN(test_a_peer_that_has_ended_can_still_be_written_to),
        OPEN(test_an_end_without_close_notify_is_a_truncation),
        OPEN(test_an_error_of_the_kernel_is_passed_on),
        OPEN(test_a_send_to_a_reset_connection_is_a_broken_pipe),
        OPEN(test_close_says_goodbye_and_empties_the_receive_queue),
        CONNECTED(test_plaintext_instead_of_a_handshake_is_refused),
        OPEN(test_garbage_on_an_open_channel_ends_it),
        OPEN(test_plaintext_behind_a_good_record_is_never_delivered),
        cmocka_unit_test_teardown(test_a_flipped_bit_anywhere_in_a_record_ends_the_channel,
                                  free_ends),
        OPEN(test_a_replayed_record_ends_the_channel),
        OPEN(test_a_record_longer_than_allowed_is_refused_by_its_header),
        cmocka_unit_test_teardown(test_a_stack_of_320_kib_is_enough, free_ends),
        cmocka_unit_test_teardown(test_an_idle_channel_keeps_little_memory, free_ends),
    };

    return cmocka_run_group_tests_name("tls/channel", tests, set_up, tear_down);
}
