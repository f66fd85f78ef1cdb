/* Whom a channel lets in, what it says of those it does not, and how it answers a peer that is not
 * ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/unit/support/checked.h"
#include "tests/unit/support/peer.h"
#include "tests/unit/support/pki.h"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20 };

static struct dg_credentials *ours, *stranger, *trusting_stranger;

/* A channel at one end, the raw peer at the other. */
static struct ends ends;
static struct peer *peer;

static void meet(int channel_end, const char *authority, const char *name)
{
    enum dg_channel_side side = channel_end == CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER;

    kernel_reset(PLENTY, 1);
    memset(&ends, 0, sizeof ends);
    ends.channel[channel_end] = dg_channel_new(ours, side, &kernel_transport, 60);
    assert_non_null(ends.channel[channel_end]);
    peer = peer_new(1 - channel_end, authority, name);
}

static void part(void)
{
    ends_free(&ends);
    peer_free(peer);
    kernel_free();
}

/* Both act until neither has anything left to say; the channel's last receive is not checked. */
static void talk(int channel_end)
{
    char byte;

    for (int i = 0; i < 6; i++) {
        peer_step(peer);
        if (dg_channel_get_state(ends.channel[channel_end]) <= DG_CHANNEL_OPEN) {
            (void)receive_bytes(&ends, channel_end, &byte, 1);
        }
    }
    peer_step(peer);
}

static void meet_and_open(int channel_end)
{
    meet(channel_end, "ours", "peer");
    talk(channel_end);
    if (dg_channel_get_state(ends.channel[channel_end]) != DG_CHANNEL_OPEN) {
        fail_msg("no handshake: '%s'", dg_channel_reason(ends.channel[channel_end]));
    }
}

static void assert_peer_got(const char *text)
{
    peer->text[peer->size] = '\0';
    assert_string_equal(peer->text, text);
}

/* --- certificates */

/* Two channels of which at least one refuses the other; who says what. */
static void assert_refused(const struct dg_credentials *client, const struct dg_credentials *server,
                           const char *client_reason, const char *server_reason)
{
    char byte;

    kernel_reset(PLENTY, 1);
    ends = ends_new(client, server);
    for (int i = 0; i < 4; i++) {
        (void)receive_bytes(&ends, CLIENT, &byte, 1);
        (void)receive_bytes(&ends, SERVER, &byte, 1);
    }
    assert_failed(&ends, CLIENT, ECONNRESET, client_reason);
    assert_failed(&ends, SERVER, ECONNRESET, server_reason);
    assert_false(dg_channel_was_open(ends.channel[SERVER]));
    ends_free(&ends);
    kernel_free();
}

static void test_a_client_of_another_authority_is_refused_and_told(void **state)
{
    (void)state;
    /* This client takes our server for one of its own. */
    assert_refused(trusting_stranger, ours, "peer refused with alert: unknown CA",
                   "certificate of the peer refused: unable to get local issuer certificate "
                   "(DNS:node.example.org)");
}

static void test_a_server_of_another_authority_is_refused_and_told(void **state)
{
    (void)state;
    assert_refused(ours, stranger,
                   "certificate of the peer refused: unable to get local issuer certificate "
                   "(DNS:node.example.org)",
                   "peer refused with alert: unknown CA");
}

static void test_a_refused_clients_early_words_are_not_delivered(void **state)
{
    char bytes[16];

    (void)state;
    kernel_reset(PLENTY, 1);
    ends = ends_new(trusting_stranger, ours);
    assert_int_equal(send_bytes(&ends, CLIENT, "let me in", 9), 9);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(receive_bytes(&ends, SERVER, bytes, sizeof bytes), -1);
        assert_int_equal(receive_bytes(&ends, CLIENT, bytes, sizeof bytes), -1);
    }
    assert_int_equal(dg_channel_get_state(ends.channel[SERVER]), DG_CHANNEL_FAILED);
    ends_free(&ends);
    kernel_free();
}

static void test_a_client_without_certificate_is_refused_and_told(void **state)
{
    (void)state;
    meet(SERVER, "", NULL);
    talk(SERVER);
    assert_failed(&ends, SERVER, ECONNRESET, "peer has shown no certificate");
    assert_int_equal(peer->alert, SSL_AD_CERTIFICATE_REQUIRED);
    part();
}

static void assert_special_refused(const struct pki_special *special, const char *reason)
{
    for (int channel_end = 0; channel_end < 2; channel_end++) {
        meet(channel_end, "ours", special->name);
        talk(channel_end);
        assert_failed(&ends, channel_end, ECONNRESET, reason);
        part();
    }
}

static void test_an_expired_certificate_is_refused_on_both_sides(void **state)
{
    static const struct pki_special special = {
        .name = "expired", .from = -7200, .until = -3600, .usages = "serverAuth,clientAuth"};

    (void)state;
    pki_special("ours", &special);
    assert_special_refused(&special, "certificate of the peer refused: certificate has expired "
                                     "(DNS:node.example.org)");
}

static void test_a_certificate_not_yet_valid_is_refused_on_both_sides(void **state)
{
    static const struct pki_special special = {
        .name = "future", .from = 3600, .until = 7200, .usages = "serverAuth,clientAuth"};

    (void)state;
    pki_special("ours", &special);
    assert_special_refused(&special,
                           "certificate of the peer refused: certificate is not yet valid "
                           "(DNS:node.example.org)");
}

static void test_a_certificate_for_another_purpose_is_refused_on_both_sides(void **state)
{
    static const struct pki_special special = {
        .name = "mail", .from = -60, .until = 3600, .usages = "emailProtection"};

    (void)state;
    pki_special("ours", &special);
    assert_special_refused(&special,
                           "certificate of the peer refused: unsuitable certificate purpose "
                           "(DNS:node.example.org)");
}

static void test_a_certificate_with_a_weak_key_is_refused_on_both_sides(void **state)
{
    static const struct pki_special special = {.name = "weak",
                                               .from = -60,
                                               .until = 3600,
                                               .usages = "serverAuth,clientAuth",
                                               .weak = true};

    (void)state;
    pki_special("ours", &special);
    assert_special_refused(&special, "certificate of the peer refused: EE certificate key too weak "
                                     "(DNS:node.example.org)");
}

/* --- protocol versions */

static void test_a_client_with_tls_1_2_only_is_refused_and_told(void **state)
{
    (void)state;
    meet(SERVER, "ours", "peer");
    assert_int_equal(SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION), 1);
    talk(SERVER);
    assert_failed(&ends, SERVER, ECONNRESET, "TLS: unsupported protocol");
    assert_int_equal(peer->alert, SSL_AD_PROTOCOL_VERSION);
    part();
}

static void test_a_server_with_tls_1_2_only_is_refused(void **state)
{
    (void)state;
    meet(CLIENT, "ours", "peer");
    assert_int_equal(SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION), 1);
    assert_eagain(&ends, CLIENT);
    talk(CLIENT);
    assert_failed(&ends, CLIENT, ECONNRESET, "peer refused with alert: protocol version");
    part();
}

/* --- after the handshake */

/* Records received and sent, and KeyUpdates of both sides, under whichever keys. */
static void assert_figures(int channel_end, const struct dg_channel_figures *before,
                           unsigned received, unsigned sent, unsigned key_updates)
{
    struct dg_channel_figures figures = dg_channel_figures(ends.channel[channel_end]);

    assert_int_equal(figures.received, before->received + received);
    assert_int_equal(figures.sent, before->sent + sent);
    assert_int_equal(figures.key_updates, before->key_updates + key_updates);
}

static void test_a_key_update_of_the_peer_is_answered_with_the_next_write(void **state)
{
    (void)state;
    for (int channel_end = 0; channel_end < 2; channel_end++) {
        struct dg_channel_figures before;

        meet_and_open(channel_end);
        before = dg_channel_figures(ends.channel[channel_end]);
        assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        peer_send(peer, "ping", 4);
        assert_text(&ends, channel_end, "ping");
        assert_int_equal(send_bytes(&ends, channel_end, "pong", 4), 4);
        peer_step(peer);
        assert_peer_got("pong");
        assert_int_equal(peer->key_updates, 1);
        peer_send(peer, "more", 4);
        assert_text(&ends, channel_end, "more");
        assert_figures(channel_end, &before, 3, 2, 2);
        part();
    }
}

static void test_a_key_update_is_answered_while_a_write_of_ours_is_blocked(void **state)
{
    (void)state;
    meet_and_open(SERVER);
    kernel_ends[CLIENT].capacity = kernel_ends[CLIENT].size + 3;
    assert_int_equal(send_bytes(&ends, SERVER, "abc", 3), 2);
    assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    peer_send(peer, "ping", 4);
    assert_text(&ends, SERVER, "ping");
    assert_int_equal(send_bytes(&ends, SERVER, "c", 1), -1);
    assert_int_equal(errno, EAGAIN);
    kernel_ends[CLIENT].capacity = PLENTY;
    assert_int_equal(send_bytes(&ends, SERVER, "cde", 3), 3);
    peer_step(peer);
    assert_peer_got("abcde");
    assert_int_equal(peer->key_updates, 1);
    part();
}

static void test_a_key_update_alone_wakes_nobody_for_nothing(void **state)
{
    (void)state;
    meet_and_open(SERVER);
    assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(peer->ssl), 1);
    peer_step(peer);
    assert_true(kernel_readable(SERVER));
    assert_eagain(&ends, SERVER);
    assert_false(kernel_readable(SERVER));
    part();
}

static void test_no_session_tickets_are_sent(void **state)
{
    (void)state;
    meet_and_open(SERVER);
    peer_send(peer, "ping", 4);
    assert_text(&ends, SERVER, "ping");
    assert_int_equal(send_bytes(&ends, SERVER, "pong", 4), 4);
    talk(SERVER);
    assert_peer_got("pong");
    assert_int_equal(peer->tickets, 0);
    part();
}

static void test_session_tickets_of_the_peer_are_passed_over(void **state)
{
    (void)state;
    meet_and_open(CLIENT);
    assert_int_equal(SSL_new_session_ticket(peer->ssl), 1);
    peer_send(peer, "data", 4);
    assert_text(&ends, CLIENT, "data");
    part();
}

static void test_a_record_out_of_place_ends_the_channel_and_the_peer_is_told(void **state)
{
    char byte;

    (void)state;
    meet_and_open(SERVER);
    /* change_cipher_spec belongs into the handshake; OpenSSL's words for it changed over time. */
    kernel_inject(SERVER, "\x14\x03\x03\x00\x01\x01", 6);
    assert_int_equal(receive_bytes(&ends, SERVER, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_failed(&ends, SERVER, ECONNRESET, dg_channel_reason(ends.channel[SERVER]));
    peer_step(peer);
    assert_int_equal(peer->alert, SSL_AD_UNEXPECTED_MESSAGE);
    part();
}

static void test_a_peers_padding_is_taken_off(void **state)
{
    (void)state;
    meet(SERVER, "ours", "peer");
    assert_int_equal(SSL_set_block_padding(peer->ssl, 4096), 1);
    talk(SERVER);
    peer_send(peer, "x", 1);
    assert_true(kernel_ends[SERVER].size > 4000);
    assert_text(&ends, SERVER, "x");
    assert_eagain(&ends, SERVER);
    part();
}

static int set_up(void **state)
{
    (void)pki_make(state);
    ours = pki_credentials("ours", "node", "ours");
    stranger = pki_credentials("other", "node", "other");
    /* Its certificate is the other authority's; it trusts both. */
    trusting_stranger = pki_credentials("other", "node", "both");
    return 0;
}

static int tear_down(void **state)
{
    dg_credentials_free(ours);
    dg_credentials_free(stranger);
    dg_credentials_free(trusting_stranger);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_of_another_authority_is_refused_and_told),
        cmocka_unit_test(test_a_server_of_another_authority_is_refused_and_told),
        cmocka_unit_test(test_a_refused_clients_early_words_are_not_delivered),
        cmocka_unit_test(test_a_client_without_certificate_is_refused_and_told),
        cmocka_unit_test(test_an_expired_certificate_is_refused_on_both_sides),
        cmocka_unit_test(test_a_certificate_not_yet_valid_is_refused_on_both_sides),
        cmocka_unit_test(test_a_certificate_for_another_purpose_is_refused_on_both_sides),
        cmocka_unit_test(test_a_certificate_with_a_weak_key_is_refused_on_both_sides),
        cmocka_unit_test(test_a_client_with_tls_1_2_only_is_refused_and_told),
        cmocka_unit_test(test_a_server_with_tls_1_2_only_is_refused),
        cmocka_unit_test(test_a_key_update_of_the_peer_is_answered_with_the_next_write),
        cmocka_unit_test(test_a_key_update_is_answered_while_a_write_of_ours_is_blocked),
        cmocka_unit_test(test_a_key_update_alone_wakes_nobody_for_nothing),
        cmocka_unit_test(test_no_session_tickets_are_sent),
        cmocka_unit_test(test_session_tickets_of_the_peer_are_passed_over),
        cmocka_unit_test(test_a_record_out_of_place_ends_the_channel_and_the_peer_is_told),
        cmocka_unit_test(test_a_peers_padding_is_taken_off),
    };

    return cmocka_run_group_tests_name("tls/channel, peers", tests, set_up, tear_down);
}
