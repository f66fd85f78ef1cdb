/* EPMD's messages, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/core/wire/epmd.h"
#include "tests/unit/support/random.h"

/* "a", port 0xA1B2, hidden=72, TCP, versions 6 and 5, no Extra */
static const uint8_t alive2_req[] = {0, 14, 'x', 0xA1, 0xB2, 72, 0, 0, 6, 0, 5, 0, 1, 'a', 0, 0};
static const uint8_t port2_resp[] = {'w', 0, 0xA1, 0xB2, 77, 0, 0, 6, 0, 5, 0, 1, 'a', 0, 0};

/* A copy of exactly this size, so that the sanitizers see a read beyond it. */
static uint8_t *exactly(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    return copy;
}

typedef enum dg_parse parser(const uint8_t *bytes, size_t size, uint16_t *port);

static enum dg_parse parse(parser *parse_message, const uint8_t *bytes, size_t size, uint16_t *port)
{
    uint8_t *copy = exactly(bytes, size);
    enum dg_parse parsed = parse_message(copy, size, port);

    free(copy);
    return parsed;
}

/* MORE up to the port, DONE from there on. */
static void assert_grows(parser *parse_message, const uint8_t *message, size_t size, size_t enough)
{
    for (size_t part = 0; part <= size; part++) {
        enum dg_parse wanted = part < enough ? DG_PARSE_MORE : DG_PARSE_DONE;
        uint16_t port = 0;
        enum dg_parse parsed = parse(parse_message, message, part, &port);

        if (parsed != wanted || port != (wanted == DG_PARSE_DONE ? 0xA1B2 : 0)) {
            fail_msg("%zu bytes: %d, port %#x; wanted %d", part, parsed, port, wanted);
        }
    }
}

static void test_alive2_req_tells_the_port_as_soon_as_it_is_there(void **state)
{
    (void)state;
    assert_grows(dg_epmd_parse_alive2_req, alive2_req, sizeof alive2_req, 5);
}

static void test_port2_resp_tells_the_port_as_soon_as_it_is_there(void **state)
{
    (void)state;
    assert_grows(dg_epmd_parse_port2_resp, port2_resp, sizeof port2_resp, 4);
}

static void assert_other(parser *parse_message, const void *bytes, size_t size)
{
    uint16_t port;

    assert_int_equal(parse(parse_message, bytes, size, &port), DG_PARSE_OTHER);
}

static void test_other_requests_are_no_alive2_req(void **state)
{
    (void)state;
    assert_other(dg_epmd_parse_alive2_req, "\0\4znod", 6);       /* PORT_PLEASE2_REQ */
    assert_other(dg_epmd_parse_alive2_req, "\0\20znode@ho", 10); /* a long one */
    assert_other(dg_epmd_parse_alive2_req, "\0\1n", 3);          /* NAMES_REQ */
    assert_other(dg_epmd_parse_alive2_req, "\0\1d", 3);          /* DUMP_REQ */
    assert_other(dg_epmd_parse_alive2_req, "\0\1k", 3);          /* KILL_REQ */
    assert_other(dg_epmd_parse_alive2_req, "\0\14x", 3);         /* too short to be one */
}

static void test_refusals_are_no_port2_resp(void **state)
{
    (void)state;
    assert_other(dg_epmd_parse_port2_resp, "w\1", 2);        /* no such node */
    assert_other(dg_epmd_parse_port2_resp, "y\0\0\1", 4);    /* ALIVE2_RESP */
    assert_other(dg_epmd_parse_port2_resp, "v\0\0\0\1", 5);  /* ALIVE2_X_RESP */
    assert_other(dg_epmd_parse_port2_resp, "\0\0\21\21", 4); /* NAMES_RESP */
}

static void test_a_request_is_known_by_its_third_byte(void **state)
{
    (void)state;
    assert_int_equal(dg_epmd_request(alive2_req, 0), 0);
    assert_int_equal(dg_epmd_request(alive2_req, 2), 0);
    assert_int_equal(dg_epmd_request(alive2_req, 3), DG_EPMD_ALIVE2_REQ);
    assert_int_equal(dg_epmd_request((const uint8_t *)"\0\5znode", 7), DG_EPMD_PORT_PLEASE2_REQ);
}

static void test_random_bytes_are_read_within_their_bounds(void **state)
{
    struct random random = {.state = 1};

    (void)state;
    for (int i = 0; i < 50000; i++) {
        uint8_t bytes[16];
        size_t size = random_below(&random, sizeof bytes + 1);
        uint16_t port;

        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)random_next(&random);
        }
        bytes[0] = random_below(&random, 2) == 0 ? 'w' : 0;
        bytes[2] = random_below(&random, 2) == 0 ? 'x' : bytes[2];
        (void)parse(dg_epmd_parse_alive2_req, bytes, size, &port);
        (void)parse(dg_epmd_parse_port2_resp, bytes, size, &port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alive2_req_tells_the_port_as_soon_as_it_is_there),
        cmocka_unit_test(test_port2_resp_tells_the_port_as_soon_as_it_is_there),
        cmocka_unit_test(test_other_requests_are_no_alive2_req),
        cmocka_unit_test(test_refusals_are_no_port2_resp),
        cmocka_unit_test(test_a_request_is_known_by_its_third_byte),
        cmocka_unit_test(test_random_bytes_are_read_within_their_bounds),
    };

    return cmocka_run_group_tests_name("wire/epmd", tests, NULL, NULL);
}
