/* What TLS itself says after the handshake, as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "shim/core/tls/control.h"

enum { CLIENT = true, SERVER = false };

struct message_case {
    const char *what;
    enum dg_tls_version version;
    bool client;
    const char *bytes;
    size_t size;
    enum dg_message meaning;
};

#define BYTES(text) (text), sizeof(text) - 1

static const struct message_case cases[] = {
    {"KeyUpdate", DG_TLS_1_3, CLIENT, BYTES("\x18\0\0\1\0"), DG_MESSAGE_KEY_UPDATE},
    {"KeyUpdate", DG_TLS_1_3, SERVER, BYTES("\x18\0\0\1\1"), DG_MESSAGE_KEY_UPDATE_REQUESTED},
    {"KeyUpdate of no known kind", DG_TLS_1_3, SERVER, BYTES("\x18\0\0\1\2"), DG_MESSAGE_MALFORMED},
    {"KeyUpdate too long", DG_TLS_1_3, SERVER, BYTES("\x18\0\0\2\0\0"), DG_MESSAGE_MALFORMED},
    {"two KeyUpdates in a record", DG_TLS_1_3, SERVER, BYTES("\x18\0\0\1\0\x18\0\0\1\0"),
     DG_MESSAGE_UNEXPECTED},
    {"ticket", DG_TLS_1_3, CLIENT, BYTES("\4\0\0\3abc"), DG_MESSAGE_NONE},
    {"ticket and KeyUpdate", DG_TLS_1_3, CLIENT, BYTES("\4\0\0\3abc\x18\0\0\1\0"),
     DG_MESSAGE_KEY_UPDATE},
    {"ticket of a client", DG_TLS_1_3, SERVER, BYTES("\4\0\0\3abc"), DG_MESSAGE_UNEXPECTED},
    {"HelloRequest", DG_TLS_1_3, CLIENT, BYTES("\0\0\0\0"), DG_MESSAGE_UNEXPECTED},
    {"ClientHello", DG_TLS_1_3, SERVER, BYTES("\1\0\0\1x"), DG_MESSAGE_UNEXPECTED},
    {"CertificateRequest", DG_TLS_1_3, CLIENT, BYTES("\x0d\0\0\1x"), DG_MESSAGE_UNEXPECTED},
    {"HelloRequest", DG_TLS_1_2, CLIENT, BYTES("\0\0\0\0"), DG_MESSAGE_RENEGOTIATE},
    {"two HelloRequests", DG_TLS_1_2, CLIENT, BYTES("\0\0\0\0\0\0\0\0"), DG_MESSAGE_RENEGOTIATE},
    {"HelloRequest with a body", DG_TLS_1_2, CLIENT, BYTES("\0\0\0\1x"), DG_MESSAGE_MALFORMED},
    {"HelloRequest of a client", DG_TLS_1_2, SERVER, BYTES("\0\0\0\0"), DG_MESSAGE_UNEXPECTED},
    {"ClientHello", DG_TLS_1_2, SERVER, BYTES("\1\0\0\3abc"), DG_MESSAGE_RENEGOTIATE},
    {"ClientHello and what has no place", DG_TLS_1_2, SERVER, BYTES("\1\0\0\3abc\2\0\0\0"),
     DG_MESSAGE_UNEXPECTED},
    {"ClientHello of a server", DG_TLS_1_2, CLIENT, BYTES("\1\0\0\3abc"), DG_MESSAGE_UNEXPECTED},
    {"KeyUpdate", DG_TLS_1_2, SERVER, BYTES("\x18\0\0\1\0"), DG_MESSAGE_UNEXPECTED},
    {"ticket", DG_TLS_1_2, CLIENT, BYTES("\4\0\0\3abc"), DG_MESSAGE_UNEXPECTED},
};

static void check(const struct message_case *c, enum dg_message meaning)
{
    if (meaning != c->meaning) {
        fail_msg("%s in TLS 1.%d at the %s: %d, wanted %d", c->what,
                 c->version == DG_TLS_1_3 ? 3 : 2, c->client ? "client" : "server", (int)meaning,
                 (int)c->meaning);
    }
}

static void test_every_message_means_what_its_version_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dg_messages messages = {.version = cases[i].version, .client = cases[i].client};

        check(&cases[i],
              dg_messages_take(&messages, (const uint8_t *)cases[i].bytes, cases[i].size));
    }
}

/* In the strongest of the meanings that its pieces have. */
static void test_messages_may_be_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dg_messages messages = {.version = cases[i].version, .client = cases[i].client};
        enum dg_message meaning = DG_MESSAGE_NONE;

        if (strcmp(cases[i].what, "two KeyUpdates in a record") == 0) {
            continue; /* it is the one record that makes them wrong */
        }
        for (size_t at = 0; at < cases[i].size && meaning < DG_MESSAGE_UNEXPECTED; at++) {
            enum dg_message part =
                dg_messages_take(&messages, (const uint8_t *)cases[i].bytes + at, 1);

            meaning = part != DG_MESSAGE_NONE ? part : meaning;
        }
        check(&cases[i], meaning);
    }
}

static void test_an_empty_record_of_messages_has_no_place(void **state)
{
    struct dg_messages messages = {.version = DG_TLS_1_2};

    (void)state;
    assert_int_equal(dg_messages_take(&messages, NULL, 0), DG_MESSAGE_UNEXPECTED);
}

static void test_alerts(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum dg_alert_meaning in_1_2;
        enum dg_alert_meaning in_1_3;
    } alerts[] = {
        {BYTES("\1\0"), DG_ALERT_MEANS_CLOSED, DG_ALERT_MEANS_CLOSED},
        {BYTES("\2\0"), DG_ALERT_MEANS_CLOSED, DG_ALERT_MEANS_CLOSED},
        {BYTES("\1\x5a"), DG_ALERT_MEANS_NOTHING, DG_ALERT_MEANS_NOTHING},
        {BYTES("\1\x64"), DG_ALERT_MEANS_NOTHING, DG_ALERT_MEANS_FAILURE},
        {BYTES("\2\x31"), DG_ALERT_MEANS_FAILURE, DG_ALERT_MEANS_FAILURE},
        {BYTES("\1\x31"), DG_ALERT_MEANS_NOTHING, DG_ALERT_MEANS_FAILURE},
        {BYTES("\3\x31"), DG_ALERT_MALFORMED, DG_ALERT_MEANS_FAILURE},
        {BYTES(""), DG_ALERT_MALFORMED, DG_ALERT_MALFORMED},
        {BYTES("\1"), DG_ALERT_MALFORMED, DG_ALERT_MALFORMED},
        {BYTES("\1\0\1"), DG_ALERT_MALFORMED, DG_ALERT_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++) {
        const uint8_t *bytes = (const uint8_t *)alerts[i].bytes;

        assert_int_equal(dg_alert_read(bytes, alerts[i].size, DG_TLS_1_2), alerts[i].in_1_2);
        assert_int_equal(dg_alert_read(bytes, alerts[i].size, DG_TLS_1_3), alerts[i].in_1_3);
    }
    assert_int_equal(dg_alert_level(DG_ALERT_CLOSE_NOTIFY), DG_ALERT_WARNING);
    assert_int_equal(dg_alert_level(DG_ALERT_NO_RENEGOTIATION), DG_ALERT_WARNING);
    assert_int_equal(dg_alert_level(DG_ALERT_ACCESS_DENIED), DG_ALERT_FATAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_means_what_its_version_says),
        cmocka_unit_test(test_messages_may_be_cut_anywhere),
        cmocka_unit_test(test_an_empty_record_of_messages_has_no_place),
        cmocka_unit_test(test_alerts),
    };

    return cmocka_run_group_tests_name("tls/control", tests, NULL, NULL);
}
