/* What is logged once in a while, then counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/report/repeats.h"

enum {
    LONG = 3600, /* seconds: a window that no test outlasts */
    SHORT = 1,
    KINDS = 256, /* as many as are known at a time */
    PATIENCE = 10,
    SOME = 8, /* places that other tests of a second ago may still hold */
};

static bool is_first(const char *peer, const char *reason, unsigned window, unsigned *unsaid)
{
    *unsaid = 4711;
    return dg_repeats_first(peer, reason, window, unsaid);
}

static void assert_first(const char *peer, const char *reason)
{
    unsigned unsaid;

    if (!is_first(peer, reason, LONG, &unsaid) || unsaid != 0) {
        fail_msg("%s, %s: left out, or %u unsaid; wanted it said, none unsaid", peer, reason,
                 unsaid);
    }
}

static void assert_left_out(const char *peer, const char *reason)
{
    unsigned unsaid;

    if (is_first(peer, reason, LONG, &unsaid) || unsaid != 0) {
        fail_msg("%s, %s: said, or %u unsaid; wanted it left out", peer, reason, unsaid);
    }
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static void test_a_peer_is_told_of_once_for_each_reason(void **state)
{
    (void)state;
    assert_first("10.0.0.1", "no certificate");
    assert_first("10.0.0.2", "no certificate");
    assert_first("10.0.0.1", "expired");
    for (int i = 0; i < 3; i++) {
        assert_left_out("10.0.0.1", "no certificate");
        assert_left_out("10.0.0.2", "no certificate");
        assert_left_out("10.0.0.1", "expired");
    }
    assert_first("10.0.0.1", "no certificat");
    assert_first("10.0.0.11", "no certificate");
    assert_first("10.0.0.", "no certificate");
}

static void test_without_a_window_it_is_said_each_time(void **state)
{
    unsigned unsaid;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(is_first("10.1.0.1", "denied", 0, &unsaid));
        assert_int_equal(unsaid, 0);
    }
}

static void test_after_its_window_it_is_said_again_with_the_count(void **state)
{
    time_t until = now() + PATIENCE;
    unsigned left_out = 0;
    unsigned unsaid;

    (void)state;
    assert_true(is_first("10.2.0.1", "again", SHORT, &unsaid));
    while (!is_first("10.2.0.1", "again", SHORT, &unsaid)) {
        left_out++;
        assert_true(now() < until);
        nap();
    }
    assert_int_equal(unsaid, left_out);
    assert_true(left_out > 0);
    assert_left_out("10.2.0.1", "again"); /* a window of its own began */
}

static void test_who_does_not_come_again_is_told_of_when_the_window_is_over(void **state)
{
    time_t until = now() + PATIENCE;
    struct dg_repeats_rest rest;
    unsigned unsaid;

    (void)state;
    assert_true(is_first("10.3.0.1", "once", SHORT, &unsaid)); /* nothing left out: not told of */
    assert_true(is_first("10.3.0.2", "thrice", SHORT, &unsaid));
    (void)is_first("10.3.0.2", "thrice", LONG, &unsaid); /* the window is the first one's */
    (void)is_first("10.3.0.2", "thrice", LONG, &unsaid);
    while (!dg_repeats_overdue(&rest) || strncmp(rest.peer, "10.3.", 5) != 0) {
        assert_true(now() < until);
        nap();
    }
    assert_string_equal(rest.peer, "10.3.0.2");
    assert_string_equal(rest.reason, "thrice");
    assert_int_equal(rest.count, 2);
    assert_false(dg_repeats_overdue(&rest));
    assert_first("10.3.0.2", "thrice");
}

static void test_long_texts_are_known_by_their_beginning(void **state)
{
    char peer[2 * DG_REPEATS_PEER];
    char reason[2 * DG_REPEATS_REASON];

    (void)state;
    memset(peer, 'p', sizeof peer);
    memset(reason, 'r', sizeof reason);
    peer[sizeof peer - 1] = reason[sizeof reason - 1] = '\0';
    assert_first(peer, reason);
    assert_left_out(peer, reason);
    peer[DG_REPEATS_PEER] = reason[DG_REPEATS_REASON] = 'x';
    assert_left_out(peer, reason);
    reason[DG_REPEATS_REASON - 2] = 'x';
    assert_first(peer, reason);
}

/* Whoever makes up kinds without end pushes others out, and has each of his own told of; memory is
 * what it is. */
static void test_a_crowd_is_told_of_within_limits(void **state)
{
    unsigned firsts = 0;
    unsigned unsaid;
    char peer[32];

    (void)state;
    assert_first("10.4.0.1", "kept for longer than a minute");
    for (int i = 0; i < 3 * KINDS; i++) {
        (void)snprintf(peer, sizeof peer, "10.5.%d.%d", i / 256, i % 256);
        firsts += is_first(peer, "flood", DG_REPEATS_MINUTE, &unsaid) ? 1 : 0;
    }
    assert_in_range(firsts, KINDS - SOME, KINDS);
    /* It has given way, and there is no place for it now. */
    assert_left_out("10.4.0.1", "kept for longer than a minute");
}

static void *repeat(void *firsts)
{
    unsigned unsaid;

    for (int i = 0; i < 2000; i++) {
        *(unsigned *)firsts += is_first("10.6.0.1", "threads", LONG, &unsaid) ? 1 : 0;
    }
    return NULL;
}

static void test_threads(void **state)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    unsigned firsts[THREADS] = {0};
    unsigned all = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, repeat, &firsts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        all += firsts[i];
    }
    assert_int_equal(all, 1);
}

static void test_the_child_of_a_fork_knows_what_was_said(void **state)
{
    int status;
    pid_t child;

    (void)state;
    assert_first("10.7.0.1", "fork");
    child = fork();
    if (child == 0) {
        unsigned unsaid;

        dg_repeats_forked();
        _exit(is_first("10.7.0.1", "fork", LONG, &unsaid) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_is_told_of_once_for_each_reason),
        cmocka_unit_test(test_without_a_window_it_is_said_each_time),
        cmocka_unit_test(test_after_its_window_it_is_said_again_with_the_count),
        cmocka_unit_test(test_who_does_not_come_again_is_told_of_when_the_window_is_over),
        cmocka_unit_test(test_long_texts_are_known_by_their_beginning),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_the_child_of_a_fork_knows_what_was_said),
        cmocka_unit_test(test_a_crowd_is_told_of_within_limits),
    };

    return cmocka_run_group_tests_name("report/repeats", tests, NULL, NULL);
}
