/*
 * Which writes are held, and that what is held is sent: in order, before whatever else is done with
 * the connection, and also where the kernel takes nothing, memory is out or no thread can be had.
 *
 * The linker leads allocations and the making of threads here (tests.mk).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/report/log.h"
#include "shim/core/socket/gathering.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/table.h"
#include "tests/unit/support/guarded.h"
#include "tests/unit/support/pace.h"
#include "tests/unit/support/pki.h"

enum { AT_ONCE = 8, FLOOD = AT_ONCE * 8, SMALL = 4096, RECORD = 16384, PIECE = 100 };

/* --- what can be made to fail --- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

static _Thread_local bool memory_is_out;
static bool threads_are_out;

void *__wrap_malloc(size_t size)
{
    if (memory_is_out) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_malloc(size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    return threads_are_out ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* --- which may be held --- */

/* One that has just had its first writes in a row. */
static struct dg_gathering flooded(void)
{
    struct dg_gathering gathering = {.on = true};

    for (int i = 0; i < AT_ONCE; i++) {
        assert_false(dg_gathering_wants(&gathering, 64));
    }
    return gathering;
}

static void test_a_lone_message_is_never_held(void **state)
{
    struct dg_gathering gathering = {.on = true};

    (void)state;
    for (int i = 0; i < 100; i++) {
        pace_advance(PACE_INSTANT);
        assert_false(dg_gathering_wants(&gathering, 64));
    }
}

static void test_the_first_of_a_row_are_not_held_and_what_follows_may_be(void **state)
{
    struct dg_gathering gathering = flooded();

    (void)state;
    for (int i = 0; i < 100; i++) {
        pace_advance(PACE_INSTANT - 1);
        assert_true(dg_gathering_wants(&gathering, 64));
    }
}

static void assert_begins_anew(struct dg_gathering *gathering)
{
    for (int i = 0; i < AT_ONCE; i++) {
        assert_false(dg_gathering_wants(gathering, 64));
    }
    assert_true(dg_gathering_wants(gathering, 64));
}

static void test_a_pause_begins_anew(void **state)
{
    struct dg_gathering gathering = flooded();

    (void)state;
    assert_true(dg_gathering_wants(&gathering, 64));
    pace_advance(PACE_INSTANT);
    assert_begins_anew(&gathering);
}

static void test_a_word_of_the_peer_begins_anew(void **state)
{
    struct dg_gathering gathering = flooded();

    (void)state;
    assert_true(dg_gathering_wants(&gathering, 64));
    dg_gathering_hear(&gathering);
    assert_begins_anew(&gathering);
}

static void test_large_writes_are_never_held(void **state)
{
    struct dg_gathering gathering = flooded();

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_false(dg_gathering_wants(&gathering, SMALL + 1));
    }
    assert_true(dg_gathering_wants(&gathering, SMALL)); /* but they are of the row */
}

static void test_nothing_is_held_before_the_stream_is_messages(void **state)
{
    struct dg_gathering gathering = {0};

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_false(dg_gathering_wants(&gathering, 1));
    }
}

static void test_it_rests_a_while_after_the_last_write_if_nothing_is_held(void **state)
{
    struct dg_gathering gathering = flooded();

    (void)state;
    assert_false(dg_gathering_rests(&gathering));
    pace_advance(PACE_A_WHILE - 1);
    assert_false(dg_gathering_rests(&gathering));
    pace_advance(1);
    assert_true(dg_gathering_rests(&gathering));
    assert_true(dg_buffer_append(&gathering.held, "x", 1));
    assert_false(dg_gathering_rests(&gathering));
    dg_buffer_clear(&gathering.held);
}

/* --- what is held is sent --- */

/* Holds so much, in small writes. */
static struct guarded open_holding(size_t size)
{
    struct guarded guarded = guarded_open();

    guarded_flood(&guarded);
    guarded_assert_received(&guarded, FLOOD);
    for (size_t held = 0; held < size;) {
        size_t next = size - held < 1000 ? size - held : 1000;

        guarded_write(&guarded, next);
        held += next;
    }
    assert_int_equal(guarded_held(&guarded), size);
    guarded_assert_received(&guarded, FLOOD);
    return guarded;
}

static void test_what_is_held_goes_when_the_flusher_passes(void **state)
{
    struct guarded guarded = open_holding(5000);

    (void)state;
    pace_tick();
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_delivered(&guarded);
    guarded_write(&guarded, 7); /* and it goes on */
    assert_int_equal(guarded_held(&guarded), 7);
    pace_tick();
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

static void test_what_exceeds_a_record_goes_by_itself(void **state)
{
    struct guarded guarded = open_holding(RECORD - 384);

    (void)state;
    guarded_write(&guarded, 384);
    assert_int_equal(guarded_held(&guarded), RECORD);
    guarded_assert_received(&guarded, FLOOD);
    guarded_write(&guarded, 1);
    assert_int_equal(guarded_held(&guarded), 1);
    guarded_assert_received(&guarded, FLOOD + RECORD);
    guarded_close(&guarded);
}

/* Messages of one record each would be no gain. */
static void test_what_is_held_is_one_record(void **state)
{
    struct guarded guarded = open_holding(10000);
    uint64_t before = dg_channel_figures(guarded.channel).sent;

    (void)state;
    pace_tick();
    assert_int_equal(dg_channel_figures(guarded.channel).sent - before, 1);
    guarded_close(&guarded);
}

static void test_a_large_write_comes_after_what_is_held(void **state)
{
    struct guarded guarded = open_holding(3000);

    (void)state;
    guarded_write(&guarded, GUARDED_WRITE_MOST);
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

/* A write after a pause, or an answer to the peer. */
static void test_a_lone_write_comes_after_what_is_held(void **state)
{
    struct guarded guarded = open_holding(3000);

    (void)state;
    pace_advance(PACE_INSTANT);
    guarded_write(&guarded, 10);
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

static void test_close_sends_what_is_held_first(void **state)
{
    struct guarded guarded = open_holding(3000);
    int result = -1;

    (void)state;
    assert_true(dg_hook_close(guarded.fd, &result));
    assert_int_equal(result, 0);
    guarded_assert_closed(&guarded);
    guarded_close(&guarded);
}

static void test_the_end_of_sending_sends_what_is_held_first(void **state)
{
    struct guarded guarded = open_holding(3000);
    int result;

    (void)state;
    assert_false(dg_hook_shutdown(guarded.fd, SHUT_RD, &result));
    assert_int_equal(guarded_held(&guarded), 3000);
    assert_false(dg_hook_shutdown(guarded.fd, SHUT_WR, &result)); /* the kernel's call comes next */
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_closed(&guarded);
    assert_int_equal(guarded_try_write(&guarded, 8), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_close(&guarded);
}

static void test_what_takes_its_number_lets_it_send_first(void **state)
{
    struct guarded guarded = open_holding(3000);
    int other = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int result = -1;

    (void)state;
    assert_true(dg_hook_replace(other, guarded.fd, O_CLOEXEC, &result));
    assert_int_equal(result, guarded.fd);
    guarded_assert_closed(&guarded);
    assert_null(dg_table_lock(guarded.fd));
    (void)close(guarded.fd);
    (void)close(other);
    guarded_close(&guarded);
}

static void test_the_end_of_the_process_sends_what_is_held_first(void **state)
{
    struct guarded guarded = open_holding(3000);

    (void)state;
    dg_table_disown();
    guarded_assert_delivered(&guarded);
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_close(&guarded);
    dg_channel_free(guarded.channel); /* disowned */
}

/* The number that is closed may be the one that the flusher knows it by, or not. */
static void hold_with_a_copy(bool close_copy)
{
    struct guarded guarded = open_holding(3000);
    int copy = dg_hook_duplicated(guarded.fd, dup(guarded.fd));
    int first = guarded.fd;
    int result;

    assert_true(dg_hook_close(close_copy ? copy : first, &result));
    guarded.fd = close_copy ? first : copy;
    guarded_assert_delivered(&guarded);
    guarded_write(&guarded, 100);
    assert_int_equal(guarded_held(&guarded), 100);
    pace_tick();
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

static void test_either_number_of_a_copied_connection_may_go(void **state)
{
    (void)state;
    hold_with_a_copy(true);
    hold_with_a_copy(false);
}

/* --- a peer that does not read --- */

static void set_room(const struct guarded *guarded, int size)
{
    assert_int_equal(setsockopt(guarded->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
}

/* Writes until no more is taken. What the last write was told it has, less than all, it knows of.
 */
static struct guarded open_full(void)
{
    struct guarded guarded = guarded_open();

    set_room(&guarded, 16384);
    while (guarded_try_write(&guarded, PIECE) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    return guarded;
}

/* Something is held, and then, for what is beyond us, the kernel takes no more. */
static struct guarded open_stuck(void)
{
    struct guarded guarded = guarded_open();

    guarded_flood(&guarded);
    guarded_write(&guarded, SMALL + 1);
    for (int i = 0; i < 3; i++) {
        guarded_write(&guarded, 1000);
    }
    set_room(&guarded, 1);
    pace_tick();
    assert_true(guarded_held(&guarded) > 0);
    return guarded;
}

static void test_a_peer_that_reads_late_gets_all_though_nobody_writes(void **state)
{
    struct guarded guarded = open_stuck();

    (void)state;
    pace_advance(10 * (uint64_t)PACE_A_WHILE);
    pace_tick(); /* what is held is watched however long it takes */
    assert_true(guarded_held(&guarded) > 0);
    pace_run(true);
    guarded_assert_delivered(&guarded);
    pace_run(false);
    guarded_close(&guarded);
}

static void test_no_more_is_taken_while_the_kernel_takes_nothing(void **state)
{
    static const size_t sizes[] = {1, PIECE, SMALL, SMALL + 1, GUARDED_WRITE_MOST};
    struct guarded guarded = open_stuck();

    (void)state;
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(guarded_try_write(&guarded, sizes[i / 2]), -1);
        assert_int_equal(errno, EAGAIN);
    }
    pace_run(true);
    guarded_assert_delivered(&guarded);
    pace_run(false);
    guarded_close(&guarded);
}

static void test_writes_go_on_where_they_were_refused(void **state)
{
    static const size_t sizes[] = {PIECE, SMALL, SMALL + 1, GUARDED_WRITE_MOST};
    struct guarded guarded;

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        guarded = open_full();
        for (size_t target = guarded.sent + 2 * sizes[i]; guarded.sent < target;) {
            ssize_t taken = guarded_try_write(&guarded, sizes[i]);

            assert_true(taken > 0 || errno == EAGAIN);
            assert_int_equal(guarded_read(&guarded), GUARDED_MORE);
        }
        for (int more = 0; more < 20 && guarded.received < guarded.sent; more++) {
            (void)guarded_try_write(&guarded, 1); /* also for the byte that is kept back */
            assert_int_equal(guarded_read(&guarded), GUARDED_MORE);
            pace_tick();
        }
        guarded_assert_delivered(&guarded);
        guarded_close(&guarded);
    }
}

/* The program has been told that all of it was sent, and with TCP alone it would be. */
static void test_what_was_taken_survives_a_close_while_the_peer_does_not_read(void **state)
{
    struct guarded guarded = open_full();
    int result;

    (void)state;
    guarded.sent -= guarded.sent % PIECE;
    assert_true(dg_hook_close(guarded.fd, &result));
    assert_int_not_equal(guarded_read(&guarded), GUARDED_MORE); /* with close_notify or without */
    assert_int_equal(guarded.received, guarded.sent);
    guarded_close(&guarded);
}

/* The flusher knows the connection by a number that is gone, or the number that goes is not its. */
static void close_a_copy_of_what_is_full(bool close_copy)
{
    struct guarded guarded = open_full();
    int copy = dg_hook_duplicated(guarded.fd, dup(guarded.fd));
    int first = guarded.fd;
    int result;

    guarded.sent -= guarded.sent % PIECE;
    assert_true(dg_hook_close(close_copy ? copy : first, &result));
    guarded.fd = close_copy ? first : copy;
    pace_run(true);
    guarded_assert_delivered(&guarded);
    pace_run(false);
    guarded_close(&guarded);
}

static void test_what_is_held_goes_out_though_a_number_of_the_connection_has_gone(void **state)
{
    (void)state;
    close_a_copy_of_what_is_full(true);
    close_a_copy_of_what_is_full(false);
}

/* Nor does what the kernel could not take when the number went wait for the next write. */
static void close_a_copy_of_what_is_stuck(bool close_copy)
{
    struct guarded guarded = open_stuck();
    int copy = dg_hook_duplicated(guarded.fd, dup(guarded.fd));
    int first = guarded.fd;
    int result;

    assert_true(dg_hook_close(close_copy ? copy : first, &result));
    guarded.fd = close_copy ? first : copy;
    assert_true(guarded_held(&guarded) > 0);
    pace_run(true);
    guarded_assert_delivered(&guarded);
    pace_run(false);
    guarded_close(&guarded);
}

static void test_what_is_stuck_goes_out_though_a_number_of_the_connection_has_gone(void **state)
{
    (void)state;
    close_a_copy_of_what_is_stuck(true);
    close_a_copy_of_what_is_stuck(false);
}

/* --- what fails --- */

/* How many lines of the log tell of a connection that broke. */
static int lines_of_broken(void)
{
    char line[2048];
    int lines = 0;
    FILE *file;

    dg_log_flush();
    file = fopen(pki_path("log"), "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        lines += strstr(line, "event=broken") != NULL ? 1 : 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return lines;
}

static void test_a_close_that_finds_the_connection_broken_says_so(void **state)
{
    struct guarded guarded = open_holding(3000);
    int before = lines_of_broken();
    int result;

    (void)state;
    (void)shutdown(guarded.peer_fd, SHUT_RDWR);
    assert_true(dg_hook_close(guarded.fd, &result));
    assert_int_equal(lines_of_broken() - before, 1);
    guarded_close(&guarded);
}

static void test_what_is_held_is_lost_with_the_connection(void **state)
{
    struct guarded guarded = open_holding(3000);

    (void)state;
    (void)shutdown(guarded.peer_fd, SHUT_RDWR);
    pace_tick();
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_broken(&guarded);
    guarded_close(&guarded);
}

static void test_a_write_tells_that_what_is_held_is_lost(void **state)
{
    struct guarded guarded = open_holding(3000);

    (void)state;
    (void)shutdown(guarded.peer_fd, SHUT_RDWR);
    assert_int_equal(guarded_try_write(&guarded, SMALL + 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_broken(&guarded);
    guarded_close(&guarded);
}

static void test_without_memory_it_goes_at_once(void **state)
{
    struct guarded guarded = guarded_open();

    (void)state;
    guarded_flood(&guarded);
    memory_is_out = true;
    guarded_write(&guarded, 1000);
    memory_is_out = false;
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_received(&guarded, guarded.sent);
    guarded_write(&guarded, 1000); /* and is held where there is some again */
    assert_int_equal(guarded_held(&guarded), 1000);
    guarded_close(&guarded);
}

static void test_without_a_thread_it_goes_at_once(void **state)
{
    struct guarded guarded = guarded_open();

    (void)state;
    threads_are_out = true;
    guarded_flood(&guarded);
    guarded_write(&guarded, 1000);
    threads_are_out = false;
    assert_int_equal(guarded_held(&guarded), 0);
    guarded_assert_received(&guarded, guarded.sent);
    guarded_write(&guarded, 1000);
    assert_int_equal(guarded_held(&guarded), 1000);
    pace_tick();
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lone_message_is_never_held),
        cmocka_unit_test(test_the_first_of_a_row_are_not_held_and_what_follows_may_be),
        cmocka_unit_test(test_a_pause_begins_anew),
        cmocka_unit_test(test_a_word_of_the_peer_begins_anew),
        cmocka_unit_test(test_large_writes_are_never_held),
        cmocka_unit_test(test_nothing_is_held_before_the_stream_is_messages),
        cmocka_unit_test(test_it_rests_a_while_after_the_last_write_if_nothing_is_held),
        cmocka_unit_test(test_without_a_thread_it_goes_at_once), /* before there is one */
        cmocka_unit_test(test_what_is_held_goes_when_the_flusher_passes),
        cmocka_unit_test(test_what_exceeds_a_record_goes_by_itself),
        cmocka_unit_test(test_what_is_held_is_one_record),
        cmocka_unit_test(test_a_large_write_comes_after_what_is_held),
        cmocka_unit_test(test_a_lone_write_comes_after_what_is_held),
        cmocka_unit_test(test_close_sends_what_is_held_first),
        cmocka_unit_test(test_the_end_of_sending_sends_what_is_held_first),
        cmocka_unit_test(test_what_takes_its_number_lets_it_send_first),
        cmocka_unit_test(test_the_end_of_the_process_sends_what_is_held_first),
        cmocka_unit_test(test_either_number_of_a_copied_connection_may_go),
        cmocka_unit_test(test_a_peer_that_reads_late_gets_all_though_nobody_writes),
        cmocka_unit_test(test_no_more_is_taken_while_the_kernel_takes_nothing),
        cmocka_unit_test(test_writes_go_on_where_they_were_refused),
        cmocka_unit_test(test_what_was_taken_survives_a_close_while_the_peer_does_not_read),
        cmocka_unit_test(test_what_is_held_goes_out_though_a_number_of_the_connection_has_gone),
        cmocka_unit_test(test_what_is_stuck_goes_out_though_a_number_of_the_connection_has_gone),
        cmocka_unit_test(test_a_close_that_finds_the_connection_broken_says_so),
        cmocka_unit_test(test_what_is_held_is_lost_with_the_connection),
        cmocka_unit_test(test_a_write_tells_that_what_is_held_is_lost),
        cmocka_unit_test(test_without_memory_it_goes_at_once),
    };

    return cmocka_run_group_tests_name("socket/gathering", tests, guarded_start, guarded_stop);
}
