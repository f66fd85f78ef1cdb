/* The stranger's handshake, against OpenSSL at the other end, and against what is no TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "cli/tls/probe.h"
#include "shim/core/tls/credentials.h"
#include "tests/unit/support/random.h"

enum { FLIGHT = 16384, ROUNDS = 8, DAY = 86400 };

struct server {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;
    BIO *out;
};

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.example.org");

    assert_non_null(names);
    assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), DAY));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(X509_add_ext(certificate, names, -1), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    X509_EXTENSION_free(names);
    return certificate;
}

static void start(struct server *server, int version, int verify)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key);

    server->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_set_max_proto_version(server->context, version), 1);
    assert_int_equal(SSL_CTX_set_min_proto_version(server->context, version), 1);
    assert_int_equal(SSL_CTX_use_certificate(server->context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->context, key), 1);
    SSL_CTX_set_verify(server->context, verify, NULL);
    server->ssl = SSL_new(server->context);
    server->in = BIO_new(BIO_s_mem());
    server->out = BIO_new(BIO_s_mem());
    SSL_set_bio(server->ssl, server->in, server->out);
    SSL_set_accept_state(server->ssl);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void stop_server(struct server *server)
{
    SSL_free(server->ssl);
    SSL_CTX_free(server->context);
    ERR_clear_error();
}

/* Back and forth, in pieces of this size, until neither has more to say. */
static enum dg_probe_state talk(struct dg_probe *probe, struct server *server, size_t piece)
{
    enum dg_probe_state state = dg_probe_receive(probe, NULL, 0);
    uint8_t bytes[FLIGHT];
    int size;

    for (int round = 0; round < ROUNDS; round++) {
        size = (int)dg_probe_send(probe, bytes, sizeof bytes);
        assert_int_equal(BIO_write(server->in, bytes, size), size > 0 ? size : 0);
        if (SSL_do_handshake(server->ssl) == 1)
            (void)SSL_read(server->ssl, bytes, 1);
        while ((size = BIO_read(server->out, bytes, (int)piece)) > 0)
            state = dg_probe_receive(probe, bytes, (size_t)size);
    }
    return state;
}

struct outcome {
    enum dg_probe_state state;
    struct dg_probe_findings findings;
};

static struct outcome meet(int version, int verify, size_t piece)
{
    struct dg_probe *probe = dg_probe_new("a.example.org");
    struct outcome outcome;
    struct server server;

    assert_non_null(probe);
    start(&server, version, verify);
    outcome.state = talk(probe, &server, piece);
    outcome.findings = *dg_probe_findings(probe);
    stop_server(&server);
    dg_probe_free(probe);
    assert_int_equal(ERR_peek_error(), 0);
    return outcome;
}

static void assert_seen(const struct outcome *outcome, const char *version)
{
    assert_string_equal(outcome->findings.version, version);
    assert_string_equal(outcome->findings.certificate, "DNS:a.example.org");
    assert_in_range(outcome->findings.expires, time(NULL) + DAY - 60, time(NULL) + DAY);
    assert_string_not_equal(outcome->findings.cipher, "");
}

static const int demanding = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

static void test_a_certificate_is_seen_before_the_refusal(void **state)
{
    static const size_t pieces[] = {1, 7, FLIGHT};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct outcome outcome = meet(TLS1_3_VERSION, demanding, pieces[i]);

        assert_seen(&outcome, "TLSv1.3");
        assert_int_equal(outcome.state, DG_PROBE_OVER);
        assert_string_equal(outcome.findings.refusal, "certificate required");
    }
}

static void test_so_it_is_in_tls_1_2(void **state)
{
    struct outcome outcome = meet(TLS1_2_VERSION, demanding, FLIGHT);

    (void)state;
    assert_seen(&outcome, "TLSv1.2");
    assert_int_equal(outcome.state, DG_PROBE_OVER);
    assert_string_equal(outcome.findings.refusal, "handshake failure");
}

static void test_a_server_without_demands_lets_it_through(void **state)
{
    struct outcome outcome = meet(TLS1_3_VERSION, SSL_VERIFY_NONE, FLIGHT);

    (void)state;
    assert_seen(&outcome, "TLSv1.3");
    assert_int_equal(outcome.state, DG_PROBE_THROUGH);
    assert_string_equal(outcome.findings.refusal, "");
    outcome = meet(TLS1_3_VERSION, SSL_VERIFY_PEER, FLIGHT);
    assert_int_equal(outcome.state, DG_PROBE_THROUGH);
}

static void test_what_is_no_tls_is_told_apart(void **state)
{
    static const char *const words[] = {"220 mail", "HTTP/1.1", "w", "\x16\x02\x01\x01\x01",
                                        "\x15\x03\x03\xff\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct dg_probe *probe = dg_probe_new(NULL);

        (void)dg_probe_receive(probe, NULL, 0);
        assert_int_equal(dg_probe_receive(probe, (const uint8_t *)words[i], strlen(words[i])),
                         DG_PROBE_NOT_TLS);
        dg_probe_free(probe);
    }
}

/* Noise behind the head of a record, and a true answer with bits turned: nothing but an end. */
static void test_noise_ends_it(void **state)
{
    struct random random = {.state = 1};

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct dg_probe *probe = dg_probe_new(NULL);
        uint8_t bytes[64] = {22, 3, 3, 0, 59};

        for (size_t i = 5; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_below(&random, 256);
        if (round % 2 == 0)
            bytes[5] = 2; /* a ServerHello, of sorts */
        (void)dg_probe_receive(probe, NULL, 0);
        (void)dg_probe_receive(probe, bytes, sizeof bytes);
        assert_string_equal(dg_probe_findings(probe)->certificate, "");
        dg_probe_free(probe);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static int start_library(void **state)
{
    struct dg_error error;

    (void)state;
    return dg_tls_start(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_is_seen_before_the_refusal),
        cmocka_unit_test(test_so_it_is_in_tls_1_2),
        cmocka_unit_test(test_a_server_without_demands_lets_it_through),
        cmocka_unit_test(test_what_is_no_tls_is_told_apart),
        cmocka_unit_test(test_noise_ends_it),
    };

    return cmocka_run_group_tests(tests, start_library, NULL);
}
