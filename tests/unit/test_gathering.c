/* Which writes are to be gathered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <unistd.h>

#include "shim/core/socket/gathering.h"

enum { LONG_AGO = 1, A_FEW = 8 };

static uint64_t write_of(struct dg_gathering *gathering, size_t size)
{
    assert_false(dg_gathering_waits(gathering, size));
    return gathering->last;
}

/* Brings a gathering to just after so many writes in a row: what follows is within the instant,
 * unless the machine was busy with something else. */
static void just_written(struct dg_gathering *gathering, int count)
{
    *gathering = (struct dg_gathering){.last = LONG_AGO, .most = 4096};
    for (int i = 0; i < count; i++) {
        (void)write_of(gathering, 64);
    }
}

static void test_a_lone_message_goes_at_once(void **state)
{
    struct dg_gathering gathering = {.last = LONG_AGO, .most = 4096};

    (void)state;
    for (int i = 0; i < 20; i++) {
        (void)write_of(&gathering, 64);
        (void)usleep(1000);
    }
}

static void test_a_few_go_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct dg_gathering gathering;

        just_written(&gathering, A_FEW);
    }
}

static void test_what_follows_them_waits_and_then_goes(void **state)
{
    int waited = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct dg_gathering gathering;

        just_written(&gathering, A_FEW);
        if (dg_gathering_waits(&gathering, 64)) {
            waited++;
            assert_true(gathering.waiting);
            (void)write_of(&gathering, 64); /* never twice */
            assert_false(gathering.waiting);
        }
    }
    assert_true(waited > 0);
}

/* A flood is gathered again and again: the poller's time is no pause of the program's. */
static void test_a_flood_waits_every_second_time(void **state)
{
    bool waited = false;

    (void)state;
    for (int i = 0; i < 1000 && !waited; i++) {
        struct dg_gathering gathering;

        just_written(&gathering, A_FEW);
        if (dg_gathering_waits(&gathering, 64)) {
            (void)usleep(1000);
            (void)write_of(&gathering, 8192);
            waited = dg_gathering_waits(&gathering, 64);
        }
    }
    assert_true(waited);
}

static void test_what_waited_goes_whatever_its_size(void **state)
{
    struct dg_gathering gathering;

    (void)state;
    do {
        just_written(&gathering, A_FEW);
    } while (!dg_gathering_waits(&gathering, 64));
    (void)write_of(&gathering, 100000);
}

static void test_large_writes_never_wait(void **state)
{
    struct dg_gathering gathering = {.last = LONG_AGO, .most = 4096};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)write_of(&gathering, 4097);
    }
}

/* Whether one of many writes that follow another at once is put off. */
static bool puts_off(size_t first_read, size_t size)
{
    bool waited = false;

    for (int i = 0; i < 1000 && !waited; i++) {
        struct dg_gathering gathering;

        just_written(&gathering, A_FEW);
        dg_gathering_start(&gathering, first_read);
        waited = dg_gathering_waits(&gathering, size);
    }
    return waited;
}

static void test_for_a_reader_of_much_only_what_is_very_small_waits(void **state)
{
    (void)state;
    assert_true(puts_off(1460, 1024));
    assert_true(puts_off(1460, 4096));
    assert_true(puts_off(9216, 512));
    assert_false(puts_off(9216, 513));
}

static void test_nothing_waits_before_it_has_started(void **state)
{
    struct dg_gathering gathering = {.last = LONG_AGO};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_false(dg_gathering_waits(&gathering, 1));
    }
}

/* Nor does what comes with it, as a monitor does with a request. */
static void test_an_answer_does_not_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct dg_gathering gathering;

        just_written(&gathering, A_FEW);
        dg_gathering_hear(&gathering);
        for (int more = 0; more < A_FEW; more++) {
            (void)write_of(&gathering, 64);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lone_message_goes_at_once),
        cmocka_unit_test(test_a_few_go_at_once),
        cmocka_unit_test(test_what_follows_them_waits_and_then_goes),
        cmocka_unit_test(test_a_flood_waits_every_second_time),
        cmocka_unit_test(test_what_waited_goes_whatever_its_size),
        cmocka_unit_test(test_large_writes_never_wait),
        cmocka_unit_test(test_for_a_reader_of_much_only_what_is_very_small_waits),
        cmocka_unit_test(test_nothing_waits_before_it_has_started),
        cmocka_unit_test(test_an_answer_does_not_wait),
    };

    return cmocka_run_group_tests_name("socket/gathering", tests, NULL, NULL);
}
