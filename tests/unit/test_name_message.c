/* The name message, and all the protocols that it must not be mistaken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/wire/name_message.h"
#include "tests/unit/support/random.h"

static enum dg_parse parse(const void *bytes, size_t size, char *name, size_t *name_size)
{
    struct dg_name_message message = {0};
    uint8_t *copy = malloc(size > 0 ? size : 1);
    enum dg_parse parsed;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    parsed = dg_parse_name_message(copy, size, &message);
    if (parsed == DG_PARSE_DONE) {
        assert_true(message.name >= copy && message.name + message.name_size <= copy + size);
        memcpy(name, message.name, message.name_size);
        *name_size = message.name_size;
    }
    free(copy);
    return parsed;
}

/* As an OTP 25 sends it: flags of that release, "a@b", and two bytes that OTP ignores. */
static const uint8_t new_message[] = {0,    20,   'N',  0,    0, 0, 0x0D, 0x07, 0xDF, 0x7F, 0xBD,
                                      0x12, 0x34, 0x56, 0x78, 0, 3, 'a',  '@',  'b',  0,    0};
/* As a node before OTP 23, or one that does not know the other yet. */
static const uint8_t old_message[] = {0, 10, 'n', 0, 5, 0x07, 0xDF, 0x7F, 0xBD, 'a', '@', 'b'};

static void assert_grows(const uint8_t *message, size_t size, size_t head)
{
    for (size_t part = 0; part <= size; part++) {
        enum dg_parse wanted = part < head ? DG_PARSE_MORE : DG_PARSE_DONE;
        char name[DG_NODE_NAME_MAX];
        size_t name_size = 0;
        enum dg_parse parsed = parse(message, part, name, &name_size);
        size_t come = part < head ? 0 : part - head < 3 ? part - head : 3;

        if (parsed != wanted || name_size != come || memcmp(name, "a@b", come) != 0) {
            fail_msg("%zu bytes: %d, %zu of the name; wanted %d and %zu", part, parsed, name_size,
                     wanted, come);
        }
    }
}

static void test_a_name_message_is_known_by_its_head(void **state)
{
    (void)state;
    assert_grows(new_message, sizeof new_message, DG_NAME_MESSAGE_HEAD);
}

static void test_a_name_message_of_old_is_known_by_its_head(void **state)
{
    (void)state;
    assert_grows(old_message, sizeof old_message, 9);
}

/* Flags as nodes of these releases send them in their first message. */
static void test_the_flags_of_every_release_are_known(void **state)
{
    static const uint64_t flags[] = {
        UINT64_C(0x000000010307FFBD) | 0x1000000, /* OTP 23, 24: HANDSHAKE_23 */
        UINT64_C(0x0000000D07DF7FBD),             /* OTP 25: and MANDATORY_25_DIGEST */
        UINT64_C(0x0000000006000000) | 0x4000000, /* the digest in place of what it stands for */
    };

    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        uint8_t message[sizeof new_message];
        char name[DG_NODE_NAME_MAX];
        size_t size;

        memcpy(message, new_message, sizeof message);
        for (int at = 0; at < 8; at++) {
            message[3 + at] = (uint8_t)(flags[i] >> (56 - 8 * at));
        }
        assert_int_equal(parse(message, sizeof message, name, &size), DG_PARSE_DONE);
    }
}

struct stranger {
    const char *what;
    const char *bytes;
    size_t size;
};

#define STRANGER(what, bytes)                                                                      \
    {                                                                                              \
        what, bytes, sizeof(bytes) - 1                                                             \
    }

static const struct stranger strangers[] = {
    STRANGER("HTTP request", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    STRANGER("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    STRANGER("TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random"),
    STRANGER("SOCKS5 greeting", "\x05\x01\x00"),
    STRANGER("SOCKS5 greeting with methods", "\x05\x02\x00\x02"),
    STRANGER("SOCKS4 to port 80", "\x04\x01\x00\x50\x0a\x00\x00\x01user\0"),
    STRANGER("MQTT CONNECT", "\x10\x16\x00\x04MQTT\x04\x02\x00\x3c\x00\x0anode@host1"),
    STRANGER("PostgreSQL SSLRequest", "\x00\x00\x00\x08\x04\xd2\x16\x2f"),
    STRANGER("PostgreSQL startup", "\x00\x00\x00\x54\x00\x03\x00\x00user\0nn\0database\0n\0\0"),
    STRANGER("MySQL greeting answer", "\x4e\x00\x00\x01\x85\xa6\xff\x01"),
    STRANGER("AMQP", "AMQP\x00\x00\x09\x01"),
    STRANGER("memcached binary", "\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03key"),
    STRANGER("memcached text", "get N@n\r\n"),
    STRANGER("Redis", "*1\r\n$4\r\nPING\r\n"),
    STRANGER("SSH", "SSH-2.0-OpenSSH_9.2\r\n"),
    STRANGER("EPMD NAMES_REQ", "\x00\x01n"),
    STRANGER("EPMD ALIVE2_REQ", "\x00\x0ex\xa1\xb2\x48\x00\x00\x06\x00\x05\x00\x01N\x00\x00"),
    STRANGER("EPMD PORT_PLEASE2_REQ", "\x00\x09zNnnnnnnn"),
    STRANGER("LDAP bind", "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"),
    STRANGER("Kafka", "\x00\x00\x00\x4e\x00\x03\x00\x09"),
    STRANGER("Cassandra", "\x04\x00\x00\x4e\x05\x00\x00\x00\x00"),
    STRANGER("MongoDB", "\x4e\x00\x00\x00\x01\x00\x00\x00"),
    STRANGER("SMTP client", "EHLO n\r\n"),
    STRANGER("distribution data", "\x00\x00\x00\x00"),
    STRANGER("distribution status", "\x00\x03sok"),
    STRANGER("an old name message without the flags that all nodes have",
             "\x00\x0an\x00\x05\x00\x00\x00\x00"
             "a@b"),
    STRANGER("Diameter", "\x01\x00\x00\x4e\x80\x00\x01\x01\x00\x00\x00\x00"),
};

static void test_other_protocols_are_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        char name[DG_NODE_NAME_MAX];
        size_t size;
        enum dg_parse parsed = parse(strangers[i].bytes, strangers[i].size, name, &size);

        if (parsed != DG_PARSE_OTHER) {
            fail_msg("%s is %s", strangers[i].what,
                     parsed == DG_PARSE_DONE ? "taken for a name message" : "not yet decided");
        }
    }
}

/* A DNS question over TCP begins with a length and a random number: every 256th has the name
 * message's tag where that stands. */
static void assert_dns_question_is_other(const char *question, size_t size)
{
    for (unsigned low = 0; low < 256; low++) {
        for (unsigned high = 'N'; high <= 'n'; high += 'n' - 'N') {
            uint8_t bytes[64] = {0, (uint8_t)(12 + size), (uint8_t)high, (uint8_t)low, 1, 0, 0, 1};
            char name[DG_NODE_NAME_MAX];
            size_t name_size;

            memcpy(bytes + 14, question, size);
            if (parse(bytes, 14 + size, name, &name_size) != DG_PARSE_OTHER) {
                fail_msg("a DNS question with number %02x%02x is not refused", high, low);
            }
        }
    }
}

static void test_dns_questions_over_tcp_are_other(void **state)
{
    (void)state;
    assert_dns_question_is_other("\7example\3org\0\0\1\0\1", 17);
    assert_dns_question_is_other("\1a\1b\0\0\1\0\1", 9);
    assert_dns_question_is_other("\0\0\2\0\1", 5); /* the name servers of the root */
    assert_dns_question_is_other("\0\0\2\0\1\0\0\51\4\320\0\0\0\0\0\0", 16); /* with EDNS */
}

static void test_lengths_that_do_not_fit_are_other(void **state)
{
    uint8_t message[sizeof new_message];
    char name[DG_NODE_NAME_MAX];
    size_t size;

    (void)state;
    memcpy(message, new_message, sizeof message);
    message[16] = 6; /* a name that ends behind the message */
    assert_int_equal(parse(message, sizeof message, name, &size), DG_PARSE_OTHER);
    message[16] = 0;
    assert_int_equal(parse(message, sizeof message, name, &size), DG_PARSE_OTHER);
    assert_int_equal(parse("\0\17N", 3, name, &size), DG_PARSE_OTHER);
    assert_int_equal(parse("\0\7n", 3, name, &size), DG_PARSE_OTHER);
    assert_int_equal(parse("\5", 1, name, &size), DG_PARSE_OTHER);
    assert_int_equal(parse("\4\377", 2, name, &size), DG_PARSE_OTHER);
    assert_int_equal(parse("\4\0", 2, name, &size), DG_PARSE_MORE);
}

static void test_random_bytes_are_read_within_their_bounds(void **state)
{
    struct random random = {.state = 1};

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint8_t bytes[48];
        size_t size = random_below(&random, sizeof bytes + 1);
        char name[DG_NODE_NAME_MAX];
        size_t name_size;

        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)random_next(&random);
        }
        bytes[0] = 0;
        bytes[2] = random_below(&random, 2) == 0 ? 'N' : 'n';
        bytes[15] = 0;
        (void)parse(bytes, size, name, &name_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_message_is_known_by_its_head),
        cmocka_unit_test(test_a_name_message_of_old_is_known_by_its_head),
        cmocka_unit_test(test_the_flags_of_every_release_are_known),
        cmocka_unit_test(test_other_protocols_are_other),
        cmocka_unit_test(test_dns_questions_over_tcp_are_other),
        cmocka_unit_test(test_lengths_that_do_not_fit_are_other),
        cmocka_unit_test(test_random_bytes_are_read_within_their_bounds),
    };

    return cmocka_run_group_tests_name("wire/name_message", tests, NULL, NULL);
}
