/* Which node is at the other end of a plaintext connection, read along in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/core/socket/naming.h"
#include "tests/unit/support/random.h"

#define BYTES(text) text, sizeof(text) - 1

#define FLAGS "\x00\x00\x00\x0D\x07\xDF\x7F\xBD"
#define FLAGS_NAME_ME "\x00\x00\x00\x0F\x07\xDF\x7F\xBD"
#define CREATION "\x12\x34\x56\x78"
#define CHALLENGE "\x9A\xBC\xDE\xF0"
#define NAME_NEW "\0\22N" FLAGS CREATION "\0\3a@b"
#define NAME_OLD                                                                                   \
    "\0\12n\0\5\x07\xDF\x7F\xBD"                                                                   \
    "a@b"
#define NAME_DYNAMIC "\0\23N" FLAGS_NAME_ME CREATION "\0\4host"
#define STATUS "\0\3sok"
#define ALIVE "\0\6salive"
#define CHALLENGE_NEW "\0\26N" FLAGS CHALLENGE CREATION "\0\3b@c"
#define REPLY "\0\25r" CHALLENGE "0123456789abcdef"

static struct dg_socket begin(bool we_accept)
{
    struct dg_socket socket = {.naming = dg_naming_new(we_accept)};

    assert_non_null(socket.naming);
    return socket;
}

static void end(struct dg_socket *socket)
{
    dg_naming_free(socket->naming);
    free(socket->node);
}

static bool take(struct dg_socket *socket, const char *bytes, size_t size)
{
    struct iovec vector = {.iov_len = size};

    memcpy(&vector.iov_base, &bytes, sizeof bytes); /* nothing is changed there */
    return dg_naming_take(socket, &vector, 1, size);
}

/* Brings it in two pieces, cut anywhere: the name is known once all of it is there, not before. */
static void assert_named(bool we_accept, const char *bytes, size_t size, const char *node)
{
    for (size_t cut = 0; cut < size; cut++) {
        struct dg_socket socket = begin(we_accept);
        bool early = take(&socket, bytes, cut) || socket.node != NULL;
        bool done = take(&socket, bytes + cut, size - cut);

        if (early || !done || socket.node == NULL || strcmp(socket.node, node) != 0) {
            fail_msg("cut at %zu of %zu: early %d, done %d, node '%s', wanted '%s'", cut, size,
                     early, done, socket.node != NULL ? socket.node : "", node);
        }
        end(&socket);
    }
}

static void test_who_connects_is_named_by_its_first_message(void **state)
{
    (void)state;
    assert_named(true, BYTES(NAME_NEW), "a@b");
    assert_named(true, BYTES(NAME_OLD), "a@b");
    assert_named(true, BYTES(NAME_DYNAMIC), "@host");
}

static void test_whom_we_connect_to_is_named_by_its_challenge(void **state)
{
    (void)state;
    assert_named(false, BYTES(STATUS CHALLENGE_NEW), "b@c");
    assert_named(false, BYTES(ALIVE CHALLENGE_NEW), "b@c");
}

/* What follows is not looked at, however it came. */
static void test_all_at_once(void **state)
{
    struct dg_socket socket = begin(true);

    (void)state;
    assert_true(take(&socket, BYTES(NAME_NEW REPLY "\0\0\0\0\xff\xff\xff\xff")));
    assert_string_equal(socket.node, "a@b");
    end(&socket);
}

static void test_byte_by_byte(void **state)
{
    static const char bytes[] = STATUS CHALLENGE_NEW;
    struct dg_socket socket = begin(false);

    (void)state;
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        assert_int_equal(take(&socket, bytes + i, 1), i == sizeof bytes - 2);
    }
    assert_string_equal(socket.node, "b@c");
    end(&socket);
}

/* Of a vector only what was received counts. */
static void test_a_vector_is_read_as_far_as_it_was_filled(void **state)
{
    char bytes[] = NAME_NEW "\0\0rest";
    struct iovec vector[] = {
        {.iov_base = bytes, .iov_len = 1},
        {.iov_base = NULL, .iov_len = 0},
        {.iov_base = bytes + 1, .iov_len = 9},
        {.iov_base = bytes + 10, .iov_len = sizeof bytes - 10},
    };
    size_t size = sizeof NAME_NEW - 1;

    (void)state;
    for (size_t part = 0; part <= size; part++) {
        struct dg_socket socket = begin(true);

        assert_int_equal(dg_naming_take(&socket, vector, 4, part), part == size);
        assert_int_equal(socket.node != NULL, part == size);
        end(&socket);
    }
}

static void assert_unnamed(bool we_accept, const char *bytes, size_t size)
{
    struct dg_socket socket = begin(we_accept);

    if (!take(&socket, bytes, size) || socket.node != NULL) {
        fail_msg("it still waits, or is named '%s'", socket.node != NULL ? socket.node : "");
    }
    end(&socket);
}

static void test_who_speaks_otherwise_goes_unnamed(void **state)
{
    (void)state;
    assert_unnamed(true, BYTES(STATUS));                            /* where a name is due */
    assert_unnamed(true, BYTES("\0\0"));                            /* a tick */
    assert_unnamed(true, BYTES("\0\22N" FLAGS CREATION "\0\4a@b")); /* more name than there is */
    assert_unnamed(true, BYTES("GET / HTTP/1.0\r\n"));              /* longer than any name */
    assert_unnamed(false, BYTES("\x08\x01s"));                      /* 2049 bytes */
    assert_unnamed(false, BYTES("\0\21a0123456789abcdef")); /* acknowledges what was not asked */
}

static void test_the_longest_message_is_read(void **state)
{
    enum { SIZE = 2048, HEAD = 15, LENGTH = SIZE - HEAD };
    static char bytes[2 + SIZE] = "\x08\0N" FLAGS CREATION;
    struct dg_socket socket = begin(true);

    (void)state;
    bytes[2 + HEAD - 2] = (char)(LENGTH >> 8);
    bytes[2 + HEAD - 1] = (char)(LENGTH & 0xff);
    memset(bytes + 2 + HEAD, 'x', LENGTH);
    assert_true(take(&socket, bytes, sizeof bytes));
    assert_int_equal(strlen(socket.node), LENGTH);
    end(&socket);
}

static void test_random_bytes_in_random_pieces(void **state)
{
    struct random random = {.state = 1};

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct dg_socket socket = begin(random_below(&random, 2) == 0);
        bool done = false;

        for (int piece = 0; piece < 20 && !done; piece++) {
            size_t size = 1 + random_size(&random, 300);
            char *bytes = malloc(size);

            assert_non_null(bytes);
            for (size_t at = 0; at < size; at++) {
                bytes[at] = (char)(random_below(&random, 2) == 0
                                       ? 0
                                       : "nNsra\1\2\22"[random_below(&random, 8)]);
            }
            done = take(&socket, bytes, size);
            free(bytes);
        }
        end(&socket);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_connects_is_named_by_its_first_message),
        cmocka_unit_test(test_whom_we_connect_to_is_named_by_its_challenge),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_a_vector_is_read_as_far_as_it_was_filled),
        cmocka_unit_test(test_who_speaks_otherwise_goes_unnamed),
        cmocka_unit_test(test_the_longest_message_is_read),
        cmocka_unit_test(test_random_bytes_in_random_pieces),
    };

    return cmocka_run_group_tests_name("socket/naming", tests, NULL, NULL);
}
