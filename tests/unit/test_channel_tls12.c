/* Channels that speak TLS 1.2, where the policy allows it: with OpenSSL and among themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/support/forge.h"
#include "tests/unit/support/peer.h"
#include "tests/unit/support/pki.h"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20 };
enum { OVERHEAD = 5 + 8 + 16 };

#define BAD_RECORD "TLS: decryption failed or bad record mac"

static struct dg_policy policy;
static struct dg_credentials *permissive, *old;
static struct ends ends;
static struct peer *peer;

static void connect_ours(void)
{
    kernel_reset(PLENTY, 1);
    ends = ends_new(permissive, old);
    ends_handshake(&ends);
}

static void part_ours(void)
{
    ends_free(&ends);
    kernel_free();
}

/* A channel at `fd`, and plain OpenSSL that has not yet said anything. */
static void meet_peer(int fd)
{
    kernel_reset(PLENTY, 1);
    memset(&ends, 0, sizeof ends);
    ends.channel[fd] = dg_channel_new(
        permissive, fd == CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER, &kernel_transport, 60);
    assert_non_null(ends.channel[fd]);
    peer = peer_new(1 - fd, "ours", "peer");
    assert_int_equal(SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION), 1);
}

static void talk(int fd)
{
    for (int i = 0; i < 5; i++) {
        char byte;

        peer_step(peer);
        if (dg_channel_get_state(ends.channel[fd]) <= DG_CHANNEL_OPEN) {
            (void)receive_bytes(&ends, fd, &byte, 1);
        }
    }
    peer_step(peer);
}

static void connect_peer(int fd)
{
    meet_peer(fd);
    talk(fd);
    if (dg_channel_get_state(ends.channel[fd]) != DG_CHANNEL_OPEN) {
        fail_msg("no handshake: '%s'", dg_channel_reason(ends.channel[fd]));
    }
}

static void part_peer(void)
{
    peer_free(peer);
    part_ours();
}

static void exchange(int fd)
{
    peer_send(peer, "ping", 4);
    assert_text(&ends, fd, "ping");
    peer->size = 0;
    assert_int_equal(send_bytes(&ends, fd, "pong", 4), 4);
    peer_step(peer);
    peer->text[peer->size] = '\0';
    assert_string_equal(peer->text, "pong");
}

/* --- the handshake --- */

static void test_every_suite_works_with_openssl_in_both_roles(void **state)
{
    static const char *const suites[] = {"ECDHE-ECDSA-AES256-GCM-SHA384",
                                         "ECDHE-ECDSA-AES128-GCM-SHA256"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        int fd = (int)(i % 2);

        meet_peer(fd);
        assert_int_equal(SSL_set_cipher_list(peer->ssl, suites[i / 2]), 1);
        talk(fd);
        assert_string_equal(dg_channel_version(ends.channel[fd]), "TLSv1.2");
        assert_string_equal(dg_channel_cipher(ends.channel[fd]), suites[i / 2]);
        assert_string_equal(dg_channel_group(ends.channel[fd]), "x25519");
        assert_string_equal(dg_channel_peer_certificate(ends.channel[fd]), "DNS:node.example.org");
        exchange(fd);
        exchange(fd);
        part_peer();
    }
}

static void test_the_extended_master_secret_is_used_where_the_peer_can(void **state)
{
    (void)state;
    for (int fd = 0; fd < 2; fd++) {
        connect_peer(fd);
        assert_int_equal(SSL_get_extms_support(peer->ssl), 1);
        part_peer();
        meet_peer(fd);
        (void)SSL_set_options(peer->ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
        talk(fd);
        assert_int_equal(SSL_get_extms_support(peer->ssl), 0);
        exchange(fd);
        part_peer();
    }
}

static void test_no_other_suite_is_spoken(void **state)
{
    static const char *const suites[] = {
        "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-SHA",        "DHE-RSA-AES256-GCM-SHA384", "AES256-GCM-SHA384"};

    (void)state;
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        meet_peer(SERVER);
        assert_int_equal(SSL_set_cipher_list(peer->ssl, suites[i]), 1);
        talk(SERVER);
        assert_failed(&ends, SERVER, ECONNRESET, "TLS: no shared cipher");
        assert_int_equal(peer->alert, SSL_AD_HANDSHAKE_FAILURE);
        part_peer();
    }
}

static void test_nothing_older_is_spoken(void **state)
{
    (void)state;
    meet_peer(SERVER);
    assert_int_equal(SSL_set_max_proto_version(peer->ssl, TLS1_1_VERSION), 1);
    talk(SERVER);
    assert_failed(&ends, SERVER, ECONNRESET, "TLS: unsupported protocol");
    part_peer();
}

static void test_1_3_is_spoken_where_both_can(void **state)
{
    (void)state;
    kernel_reset(PLENTY, 1);
    ends = ends_new(permissive, permissive);
    ends_handshake(&ends);
    assert_string_equal(dg_channel_version(ends.channel[CLIENT]), "TLSv1.3");
    assert_string_equal(dg_channel_group(ends.channel[SERVER]),
                        dg_channel_group(ends.channel[CLIENT]));
    assert_string_not_equal(dg_channel_group(ends.channel[CLIENT]), "");
    part_ours();
}

static void test_no_session_can_be_resumed(void **state)
{
    unsigned size = 1;

    (void)state;
    connect_peer(SERVER);
    assert_int_equal(peer->tickets, 0);
    (void)SSL_SESSION_get_id(SSL_get0_session(peer->ssl), &size);
    assert_int_equal(size, 0);
    part_peer();
}

/* --- records --- */

static void test_a_record_is_what_rfc_5288_says(void **state)
{
    static const uint8_t first[] = {23, 3, 3, 0, 4 + OVERHEAD - 5, 0, 0, 0, 0, 0, 0, 0, 1};

    (void)state;
    connect_ours();
    assert_int_equal(send_bytes(&ends, CLIENT, "data", 4), 4);
    assert_int_equal(kernel_ends[SERVER].size, 4 + OVERHEAD);
    assert_memory_equal(kernel_waiting(SERVER), first, sizeof first);
    assert_text(&ends, SERVER, "data");
    part_ours();
}

static void test_a_flipped_bit_anywhere_in_a_record_ends_the_channel(void **state)
{
    (void)state;
    for (size_t at = 5; at < 4 + OVERHEAD; at++) {
        connect_ours();
        assert_int_equal(send_bytes(&ends, CLIENT, "good", 4), 4);
        kernel_waiting(SERVER)[at] ^= 0x10;
        assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
        part_ours();
    }
}

static void test_a_record_that_claims_to_be_of_another_type_ends_the_channel(void **state)
{
    (void)state;
    for (uint8_t type = 20; type <= 24; type++) {
        connect_ours();
        assert_int_equal(send_bytes(&ends, CLIENT, "\1\0", 2), 2);
        kernel_waiting(SERVER)[0] = type;
        if (type == DG_CONTENT_APPLICATION_DATA) {
            assert_text(&ends, SERVER, "\1");
        } else {
            assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
        }
        part_ours();
    }
}

static void test_a_changed_version_or_length_ends_the_channel(void **state)
{
    (void)state;
    connect_ours();
    assert_int_equal(send_bytes(&ends, CLIENT, "good", 4), 4);
    kernel_waiting(SERVER)[2] = 2;
    assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
    part_ours();
    connect_ours();
    assert_int_equal(send_bytes(&ends, CLIENT, "good", 4), 4);
    kernel_waiting(SERVER)[4]--;
    assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
    part_ours();
}

static void test_a_replayed_record_ends_the_channel(void **state)
{
    uint8_t record[4 + OVERHEAD];

    (void)state;
    connect_ours();
    assert_int_equal(send_bytes(&ends, CLIENT, "once", 4), 4);
    memcpy(record, kernel_waiting(SERVER), sizeof record);
    kernel_inject(SERVER, record, sizeof record);
    assert_text(&ends, SERVER, "once");
    assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
    part_ours();
}

static void test_a_missing_record_ends_the_channel(void **state)
{
    uint8_t record[4 + OVERHEAD];

    (void)state;
    connect_ours();
    assert_int_equal(send_bytes(&ends, CLIENT, "lost", 4), 4);
    assert_int_equal(send_bytes(&ends, CLIENT, "next", 4), 4);
    assert_int_equal(kernel_take(SERVER, record, sizeof record), sizeof record);
    assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
    part_ours();
}

/* What is too short for its explicit nonce and tag. */
static void test_a_truncated_record_ends_the_channel(void **state)
{
    (void)state;
    for (size_t size = 0; size < OVERHEAD - 5; size++) {
        uint8_t record[OVERHEAD] = {23, 3, 3, 0, (uint8_t)size};

        connect_ours();
        kernel_inject(SERVER, record, 5 + size);
        assert_failed(&ends, SERVER, ECONNRESET, BAD_RECORD);
        part_ours();
    }
}

static void test_the_explicit_nonce_is_the_senders_choice(void **state)
{
    struct dg_keys *sending;

    (void)state;
    connect_ours();
    sending = &ends.channel[CLIENT]->sending;
    /* As if the nonce were the sequence number with some bits turned, which only its sender knows.
     */
    sending->iv[7] ^= 0xa5;
    assert_int_equal(send_bytes(&ends, CLIENT, "one", 3), 3);
    assert_int_equal(send_bytes(&ends, CLIENT, "two", 3), 3);
    assert_text(&ends, SERVER, "onetwo");
    part_ours();
}

static void test_an_empty_record_of_data_is_passed_over(void **state)
{
    (void)state;
    connect_ours();
    forge_record(&ends, CLIENT, DG_CONTENT_APPLICATION_DATA, "", 0);
    assert_eagain(&ends, SERVER);
    assert_int_equal(send_bytes(&ends, CLIENT, "data", 4), 4);
    assert_text(&ends, SERVER, "data");
    part_ours();
}

static void test_a_channel_never_rekeys(void **state)
{
    (void)state;
    policy.tls.rekey_bytes = 100;
    connect_ours();
    policy.tls.rekey_bytes = 0;
    for (int i = 0; i < 100; i++) {
        char bytes[60] = "";

        assert_int_equal(send_bytes(&ends, CLIENT, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(kernel_ends[SERVER].size, sizeof bytes + OVERHEAD);
        assert_int_equal(receive_bytes(&ends, SERVER, bytes, sizeof bytes), sizeof bytes);
    }
    part_ours();
}

/* --- renegotiation --- */

static void test_openssl_is_told_that_there_is_no_renegotiation(void **state)
{
    (void)state;
    for (int fd = 0; fd < 2; fd++) {
        connect_peer(fd);
        assert_int_equal(SSL_renegotiate(peer->ssl), 1);
        (void)SSL_do_handshake(peer->ssl);
        peer_step(peer);
        assert_eagain(&ends, fd);
        peer_step(peer);
        assert_int_equal(peer->alert, SSL_AD_NO_RENEGOTIATION);
        part_peer();
    }
}

/* What asks for it: HelloRequest to a client, a ClientHello (here only its head is true) to a
 * server. */
static void ask_to_renegotiate(int from)
{
    if (from == SERVER) {
        forge_record(&ends, from, DG_CONTENT_HANDSHAKE, "\0\0\0\0", 4);
    } else {
        forge_record(&ends, from, DG_CONTENT_HANDSHAKE, "\1\0\0\x0bhello", 9);
        forge_record(&ends, from, DG_CONTENT_HANDSHAKE, " again", 6);
    }
}

static void test_the_connection_goes_on_after_a_refused_renegotiation(void **state)
{
    (void)state;
    for (int from = 0; from < 2; from++) {
        connect_ours();
        ask_to_renegotiate(from);
        assert_int_equal(send_bytes(&ends, from, "on", 2), 2);
        assert_text(&ends, 1 - from, "on");
        assert_int_equal(kernel_ends[from].size, 2 + OVERHEAD);
        assert_int_equal(kernel_waiting(from)[0], DG_CONTENT_ALERT);
        assert_eagain(&ends, from);
        assert_int_equal(send_bytes(&ends, 1 - from, "and on", 6), 6);
        assert_text(&ends, from, "and on");
        part_ours();
    }
}

static void test_refusals_pile_nothing_up_while_a_write_is_blocked(void **state)
{
    (void)state;
    connect_ours();
    kernel_ends[SERVER].capacity = 3;
    assert_int_equal(send_bytes(&ends, CLIENT, "abc", 3), 2);
    for (int i = 0; i < 9; i++) {
        ask_to_renegotiate(SERVER);
        assert_eagain(&ends, CLIENT);
    }
    kernel_ends[SERVER].capacity = PLENTY;
    assert_int_equal(send_bytes(&ends, CLIENT, "cd", 2), 2);
    assert_int_equal(kernel_ends[SERVER].size, (3 + OVERHEAD) + (2 + OVERHEAD) + (1 + OVERHEAD));
    assert_text(&ends, SERVER, "abcd");
    part_ours();
}

/* OpenSSL's words for unexpected_message changed over time. */
static void assert_told_unexpected_message(int fd)
{
    char reason[80];

    (void)snprintf(reason, sizeof reason, "peer refused with alert: %s",
                   SSL_alert_desc_string_long(SSL_AD_UNEXPECTED_MESSAGE));
    assert_failed(&ends, fd, ECONNRESET, reason);
}

static void test_a_flood_of_renegotiations_ends_the_channel(void **state)
{
    char byte;

    (void)state;
    for (int from = 0; from < 2; from++) {
        connect_ours();
        for (int i = 0; i < 1000; i++) {
            ask_to_renegotiate(from);
        }
        assert_int_equal(receive_bytes(&ends, 1 - from, &byte, 1), -1);
        assert_failed(&ends, 1 - from, ECONNRESET,
                      "peer asks to renegotiate more often than tls.keyupdate_limit lets it");
        assert_told_unexpected_message(from);
        part_ours();
    }
}

/* --- alerts --- */

static void test_a_warning_ends_nothing(void **state)
{
    (void)state;
    connect_ours();
    forge_record(&ends, CLIENT, DG_CONTENT_ALERT, "\1\x64", 2); /* no_renegotiation */
    forge_record(&ends, CLIENT, DG_CONTENT_ALERT, "\1\x70", 2); /* unrecognized_name */
    assert_eagain(&ends, SERVER);
    assert_int_equal(send_bytes(&ends, CLIENT, "on", 2), 2);
    assert_text(&ends, SERVER, "on");
    part_ours();
}

static void test_a_fatal_alert_ends_the_channel(void **state)
{
    (void)state;
    connect_ours();
    forge_record(&ends, CLIENT, DG_CONTENT_ALERT, "\2\x31", 2);
    assert_failed(&ends, SERVER, ECONNRESET, "peer refused with alert: access denied");
    part_ours();
}

static void test_an_alert_of_no_level_is_malformed(void **state)
{
    (void)state;
    connect_ours();
    forge_record(&ends, CLIENT, DG_CONTENT_ALERT, "\3\x31", 2);
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends a malformed alert");
    assert_failed(&ends, CLIENT, ECONNRESET, "peer refused with alert: decode error");
    part_ours();
}

static void test_close_notify_is_the_end(void **state)
{
    char byte;

    (void)state;
    connect_peer(SERVER);
    dg_channel_end_sending(ends.channel[SERVER], SERVER);
    peer_step(peer);
    assert_int_equal(SSL_get_shutdown(peer->ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    (void)SSL_shutdown(peer->ssl);
    peer_step(peer);
    assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), 0);
    part_peer();
}

static void test_change_cipher_spec_has_no_place_after_the_handshake(void **state)
{
    (void)state;
    connect_ours();
    forge_record(&ends, CLIENT, (enum dg_content_type)20, "\1", 1);
    assert_failed(&ends, SERVER, ECONNRESET, "peer sends a record that has no place here");
    part_ours();
}

static int set_up(void **state)
{
    (void)pki_make(state);
    policy.tls = pki_policy("ours", "node", "ours");
    policy.tls.min_version = DG_TLS_1_2;
    permissive = pki_credentials_of(&policy);
    old = pki_credentials_of(&policy);
    pki_cap_1_2(old);
    return 0;
}

static int tear_down(void **state)
{
    dg_credentials_free(permissive);
    dg_credentials_free(old);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_suite_works_with_openssl_in_both_roles),
        cmocka_unit_test(test_the_extended_master_secret_is_used_where_the_peer_can),
        cmocka_unit_test(test_no_other_suite_is_spoken),
        cmocka_unit_test(test_nothing_older_is_spoken),
        cmocka_unit_test(test_1_3_is_spoken_where_both_can),
        cmocka_unit_test(test_no_session_can_be_resumed),
        cmocka_unit_test(test_a_record_is_what_rfc_5288_says),
        cmocka_unit_test(test_a_flipped_bit_anywhere_in_a_record_ends_the_channel),
        cmocka_unit_test(test_a_record_that_claims_to_be_of_another_type_ends_the_channel),
        cmocka_unit_test(test_a_changed_version_or_length_ends_the_channel),
        cmocka_unit_test(test_a_replayed_record_ends_the_channel),
        cmocka_unit_test(test_a_missing_record_ends_the_channel),
        cmocka_unit_test(test_a_truncated_record_ends_the_channel),
        cmocka_unit_test(test_the_explicit_nonce_is_the_senders_choice),
        cmocka_unit_test(test_an_empty_record_of_data_is_passed_over),
        cmocka_unit_test(test_a_channel_never_rekeys),
        cmocka_unit_test(test_openssl_is_told_that_there_is_no_renegotiation),
        cmocka_unit_test(test_the_connection_goes_on_after_a_refused_renegotiation),
        cmocka_unit_test(test_refusals_pile_nothing_up_while_a_write_is_blocked),
        cmocka_unit_test(test_a_flood_of_renegotiations_ends_the_channel),
        cmocka_unit_test(test_a_warning_ends_nothing),
        cmocka_unit_test(test_a_fatal_alert_ends_the_channel),
        cmocka_unit_test(test_an_alert_of_no_level_is_malformed),
        cmocka_unit_test(test_close_notify_is_the_end),
        cmocka_unit_test(test_change_cipher_spec_has_no_place_after_the_handshake),
    };

    return cmocka_run_group_tests_name("tls/channel, TLS 1.2", tests, set_up, tear_down);
}
