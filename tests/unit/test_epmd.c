/* EPMD's messages, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdbool.h>
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

static enum dg_epmd_remote parse_remote(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = exactly(bytes, size);
    enum dg_epmd_remote parsed = dg_epmd_parse_remote_request(copy, size);

    free(copy);
    return parsed;
}

static void assert_remote(const void *bytes, size_t size, enum dg_epmd_remote wanted)
{
    enum dg_epmd_remote parsed = parse_remote(bytes, size);

    if (parsed != wanted) {
        fail_msg("%zu bytes: %d, wanted %d", size, parsed, wanted);
    }
}

/* MORE for each beginning, `whole` for all of it, OTHER with anything behind it. */
static void assert_remote_request(const uint8_t *message, size_t size, enum dg_epmd_remote whole)
{
    uint8_t *longer = malloc(size + 1);

    assert_non_null(longer);
    memcpy(longer, message, size);
    longer[size] = 0;
    for (size_t part = 0; part < size; part++) {
        assert_remote(message, part, DG_EPMD_REMOTE_MORE);
    }
    assert_remote(message, size, whole);
    assert_remote(longer, size + 1, DG_EPMD_REMOTE_OTHER);
    free(longer);
}

static void test_what_other_hosts_may_ask_is_known_when_it_is_whole(void **state)
{
    (void)state;
    assert_remote_request((const uint8_t *)"\0\1n", 3, DG_EPMD_REMOTE_NAMES);
    assert_remote_request((const uint8_t *)"\0\5znode", 7, DG_EPMD_REMOTE_PORT_PLEASE);
    /* What the name is, epmd judges: none, or with the NUL that C nodes once sent. */
    assert_remote_request((const uint8_t *)"\0\1z", 3, DG_EPMD_REMOTE_PORT_PLEASE);
    assert_remote_request((const uint8_t *)"\0\3za\0", 5, DG_EPMD_REMOTE_PORT_PLEASE);
}

static void test_the_longest_name_may_be_asked_for(void **state)
{
    uint8_t request[DG_EPMD_REMOTE_REQUEST_MAX + 1];
    size_t length = 1 + DG_EPMD_NAME_MAX;

    (void)state;
    memset(request, 'n', sizeof request);
    request[0] = (uint8_t)(length >> 8);
    request[1] = (uint8_t)length;
    request[2] = DG_EPMD_PORT_PLEASE2_REQ;
    assert_remote_request(request, DG_EPMD_REMOTE_REQUEST_MAX, DG_EPMD_REMOTE_PORT_PLEASE);

    /* One more is too many, and that is known by its length alone. */
    request[0] = (uint8_t)((length + 1) >> 8);
    request[1] = (uint8_t)(length + 1);
    assert_remote(request, 2, DG_EPMD_REMOTE_OTHER);
    assert_remote(request, sizeof request, DG_EPMD_REMOTE_OTHER);
}

static void test_other_hosts_may_ask_nothing_else(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind <= UINT8_MAX; kind++) {
        const uint8_t alone[] = {0, 1, (uint8_t)kind};
        const uint8_t named[] = {0, 2, (uint8_t)kind, 'a'};

        if (kind != DG_EPMD_NAMES_REQ && kind != DG_EPMD_PORT_PLEASE2_REQ) {
            assert_remote(alone, sizeof alone, DG_EPMD_REMOTE_OTHER);
        }
        if (kind != DG_EPMD_PORT_PLEASE2_REQ) {
            /* Known by its first byte, NAMES_REQ by its length. */
            assert_remote(named, 3, DG_EPMD_REMOTE_OTHER);
            assert_remote(named, sizeof named, DG_EPMD_REMOTE_OTHER);
        }
    }
    assert_remote(alive2_req, sizeof alive2_req, DG_EPMD_REMOTE_OTHER);
    assert_remote("\0\0", 2, DG_EPMD_REMOTE_OTHER);      /* no request at all */
    assert_remote("\xff\xffz", 3, DG_EPMD_REMOTE_OTHER); /* longer than any name */
    assert_remote("\0\1n\0\1n", 6, DG_EPMD_REMOTE_OTHER);
    assert_remote("\0\2za\0\1k", 7, DG_EPMD_REMOTE_OTHER);
}

/* Two requests are never taken for one, however they are cut, and nothing turns into another thing
 * with the bytes that follow, but for what was not yet whole. */
static void test_random_remote_requests_are_decided_once(void **state)
{
    struct random random = {.state = 2};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[24];
        enum dg_epmd_remote before = DG_EPMD_REMOTE_MORE;

        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)random_next(&random);
        }
        bytes[0] = random_below(&random, 8) == 0 ? bytes[0] : 0;
        bytes[1] = (uint8_t)random_below(&random, sizeof bytes);
        bytes[2] = random_below(&random, 2) == 0 ? 'z' : bytes[2];
        for (size_t size = 0; size <= sizeof bytes; size++) {
            enum dg_epmd_remote parsed = parse_remote(bytes, size);
            bool whole = parsed == DG_EPMD_REMOTE_PORT_PLEASE || parsed == DG_EPMD_REMOTE_NAMES;

            if (whole && size != (size_t)(2 + bytes[0] * 256 + bytes[1])) {
                fail_msg("whole after %zu bytes, its length is %d %d", size, bytes[0], bytes[1]);
            }
            if (before != DG_EPMD_REMOTE_MORE && parsed != DG_EPMD_REMOTE_OTHER) {
                fail_msg("%d after %zu bytes, and %d before", parsed, size, before);
            }
            before = parsed;
        }
    }
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
        (void)parse_remote(bytes, size);
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
        cmocka_unit_test(test_what_other_hosts_may_ask_is_known_when_it_is_whole),
        cmocka_unit_test(test_the_longest_name_may_be_asked_for),
        cmocka_unit_test(test_other_hosts_may_ask_nothing_else),
        cmocka_unit_test(test_random_remote_requests_are_decided_once),
        cmocka_unit_test(test_random_bytes_are_read_within_their_bounds),
    };

    return cmocka_run_group_tests_name("wire/epmd", tests, NULL, NULL);
}
