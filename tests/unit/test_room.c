/*
 * Nothing is held that the kernel may not take later: it has a limit of memory, and one of bytes
 * that stand unsent (TCP_NOTSENT_LOWAT), here on connections of TCP whose peer reads late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/socket/hooks.h"
#include "shim/core/socket/room.h"
#include "tests/unit/support/guarded.h"
#include "tests/unit/support/pace.h"

enum { PIECE = 100, RECORD = 16384, NARROW = 16384, WIDE = 131072, ENDLESS = 100 << 20 };

static void limit_unsent(const struct guarded *guarded, uint32_t bytes)
{
    assert_int_equal(setsockopt(guarded->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes),
                     0);
}

/* Writes until no more is taken; that was told of the last write, if it was less than all. */
static void fill(struct guarded *guarded)
{
    while (guarded_try_write(guarded, PIECE) > 0) {
        assert_true(guarded->sent < ENDLESS);
    }
    assert_int_equal(errno, EAGAIN);
    guarded->sent -= guarded->sent % PIECE;
}

static void read_to_the_end(struct guarded *guarded)
{
    enum guarded_end end;

    do {
        end = guarded_read(guarded);
    } while (end == GUARDED_MORE);
    assert_int_not_equal(end, GUARDED_OTHERS); /* with close_notify, if there was room for it */
    assert_int_equal(guarded->received, guarded->sent);
}

static void by_close(int fd)
{
    int result;

    assert_true(dg_hook_close(fd, &result));
}

static void by_shutdown(int fd)
{
    int result;

    assert_false(dg_hook_shutdown(fd, SHUT_WR, &result)); /* the kernel's call comes next */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

/* The program has been told that all of it was sent, and with TCP alone it would be. */
static void assert_all_survives(void (*end)(int fd))
{
    static const uint32_t limits[] = {0, 1, NARROW, WIDE, UINT32_MAX};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct guarded guarded = guarded_open_by_tcp();

        limit_unsent(&guarded, limits[i]);
        fill(&guarded);
        end(guarded.fd);
        read_to_the_end(&guarded);
        guarded_close(&guarded);
    }
}

static void test_all_that_was_taken_survives_a_close(void **state)
{
    (void)state;
    assert_all_survives(by_close);
}

static void test_all_that_was_taken_survives_the_end_of_sending(void **state)
{
    (void)state;
    assert_all_survives(by_shutdown);
}

static void assert_held(uint32_t limit, size_t held)
{
    struct guarded guarded = guarded_open_by_tcp();

    limit_unsent(&guarded, limit);
    guarded_flood(&guarded);
    guarded_write(&guarded, 1000);
    assert_int_equal(guarded_held(&guarded), held);
    guarded_close(&guarded);
}

static void test_a_limit_that_leaves_room_is_no_hindrance(void **state)
{
    (void)state;
    assert_held(0, 1000); /* the host's, which is none */
    assert_held(1, 0);
    assert_held(NARROW, 0);
    assert_held(2 * RECORD, 0);
    assert_held(WIDE, 1000);
    assert_held(UINT32_MAX, 1000);
}

static void test_there_is_none_on_what_is_no_socket(void **state)
{
    int pair[2];

    (void)state;
    assert_false(dg_room_for(-1, 1));
    assert_int_equal(pipe(pair), 0);
    assert_false(dg_room_for(pair[1], 1));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_was_taken_survives_a_close),
        cmocka_unit_test(test_all_that_was_taken_survives_the_end_of_sending),
        cmocka_unit_test(test_a_limit_that_leaves_room_is_no_hindrance),
        cmocka_unit_test(test_there_is_none_on_what_is_no_socket),
    };

    return cmocka_run_group_tests_name("socket/room", tests, guarded_start, guarded_stop);
}
