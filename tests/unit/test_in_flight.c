/* Handshakes in flight: how many, of whom and for how long; on descriptors that are numbers only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/in_flight.h"
#include "tests/unit/support/policy_file.h"

enum { FIRST = 1000, LAST = 2200, ROOM = 16, SHARE = ROOM / 4, HERE = 200, NO_TIME_LIMIT = 60 };

static int ended[LAST]; /* how often a descriptor was shut down */

static int count_shutdown(int fd, int how)
{
    assert_int_equal(how, SHUT_RDWR);
    ended[fd]++;
    return 0;
}

static void use_policy(unsigned max_handshakes, double timeout)
{
    char text[512];
    struct dg_error error = {""};

    (void)snprintf(text, sizeof text,
                   "version = 1;\nprofiles: { p: { tls: { certificate = \"/c\"; private_key = "
                   "\"/k\"; ca = \"/a\"; max_handshakes = %u; handshake_timeout = %.2f; }; }; };\n",
                   max_handshakes, timeout);
    dg_policy_free(policy_of(text));
    assert_int_equal(setenv("DISTGUARD_CONF", policy_file_path(), 1), 0);
    if (dg_rules_read(&error) != 0) {
        fail_msg("%s", error.text);
    }
}

static struct sockaddr_storage address_of(int host)
{
    struct sockaddr_storage from = {0};

    *(struct sockaddr_in *)&from = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(40000 + host)),
        .sin_addr.s_addr = htonl(0x0A000000U + (unsigned)host),
    };
    return from;
}

/* A connection of a host's is accepted. */
static void arrive(int fd, int host)
{
    struct sockaddr_storage from = address_of(host);
    struct dg_socket *socket = dg_table_watch(fd, DG_ROLE_DISTRIBUTION_INCOMING);

    assert_non_null(socket);
    socket->incoming = true;
    socket->peer = from;
    dg_table_unlock(socket);
    dg_in_flight_enter(fd, &from, host == HERE);
}

static void hang_up(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);

    if (socket != NULL) {
        dg_table_forget(fd, socket);
    }
    dg_in_flight_leave(fd);
}

static int begin(void **state)
{
    (void)state;
    for (int fd = 0; fd < LAST; fd++) {
        ended[fd] = 0;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int fd = FIRST; fd < LAST; fd++) {
        hang_up(fd);
    }
    dg_rules_drop();
    return 0;
}

/* Of the descriptors from `first` to `last` those before `alive` were ended, once each, and no
 * others. */
static void assert_ended_before(int first, int last, int alive)
{
    for (int fd = first; fd <= last; fd++) {
        int wanted = fd < alive ? 1 : 0;

        if (ended[fd] != wanted) {
            fail_msg("connection %d of %d: ended %d times, wanted %d", fd - first + 1,
                     last - first + 1, ended[fd], wanted);
        }
    }
}

static enum dg_role role_of(int fd)
{
    return dg_table_role(fd);
}

static void test_a_host_has_a_quarter_of_the_room(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    for (int i = 0; i < 10; i++) {
        arrive(FIRST + i, 1);
        assert_ended_before(FIRST, FIRST + i, FIRST + i - SHARE + 1);
    }
    assert_int_equal(role_of(FIRST), DG_ROLE_REFUSED);
    assert_int_equal(role_of(FIRST + 9), DG_ROLE_DISTRIBUTION_INCOMING);
    arrive(FIRST + 10, 2);
    assert_ended_before(FIRST, FIRST + 10, FIRST + 10 - SHARE);
}

static void test_all_have_the_whole_of_it(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    for (int i = 0; i < 3 * ROOM; i++) {
        arrive(FIRST + i, i + 1);
        assert_ended_before(FIRST, FIRST + i, FIRST + i - ROOM + 1);
    }
}

/* Its own nodes all come from one address. */
static void test_this_host_has_all_of_it(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    for (int i = 0; i < 2 * ROOM; i++) {
        arrive(FIRST + i, HERE);
        assert_ended_before(FIRST, FIRST + i, FIRST + i - ROOM + 1);
    }
}

static void test_who_is_through_makes_room(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    for (int i = 0; i < 10 * ROOM; i++) {
        arrive(FIRST + i, i % 2);
        dg_in_flight_leave(FIRST + i);
        dg_in_flight_leave(FIRST + i); /* twice is once */
    }
    assert_ended_before(FIRST, FIRST + 10 * ROOM, 0);
    for (int i = 0; i < SHARE; i++) { /* all of the share is there */
        arrive(FIRST + 500 + i, 1);
    }
    assert_ended_before(FIRST, FIRST + 600, 0);
}

static void test_who_leaves_is_not_the_oldest_any_more(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    for (int i = 0; i < SHARE; i++) {
        arrive(FIRST + i, 1);
    }
    dg_in_flight_leave(FIRST + 1);
    arrive(FIRST + 10, 1);
    arrive(FIRST + 11, 1);
    arrive(FIRST + 12, 1);
    assert_int_equal(ended[FIRST], 1);
    assert_int_equal(ended[FIRST + 1], 0);
    assert_int_equal(ended[FIRST + 2], 1);
    assert_int_equal(ended[FIRST + 3], 0);
}

static void test_room_for_one(void **state)
{
    (void)state;
    use_policy(1, NO_TIME_LIMIT);
    for (int i = 0; i < 5; i++) {
        arrive(FIRST + i, i);
        assert_ended_before(FIRST, FIRST + i, FIRST + i);
    }
}

static void test_the_largest_room(void **state)
{
    (void)state;
    use_policy(1000, NO_TIME_LIMIT);
    for (int i = 0; i < 1100; i++) {
        arrive(FIRST + i, 1 + i % 100);
    }
    /* One place is kept free for who comes. */
    assert_ended_before(FIRST, FIRST + 1099, FIRST + 1100 - 999);
}

static void test_who_takes_too_long_is_ended_when_another_comes(void **state)
{
    (void)state;
    use_policy(ROOM, 0.1);
    arrive(FIRST, 1);
    arrive(FIRST + 1, 2);
    assert_ended_before(FIRST, FIRST + 1, 0);
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    arrive(FIRST + 2, 3);
    assert_ended_before(FIRST, FIRST + 2, FIRST + 2);
}

/* Numbers are used again: what stands there now may be somebody else's. */
static void test_a_number_that_stands_for_something_else_is_left_alone(void **state)
{
    struct dg_socket *socket;

    (void)state;
    use_policy(1, NO_TIME_LIMIT);
    arrive(FIRST, 1);
    dg_table_evict(FIRST);
    arrive(FIRST + 1, 1); /* it stands for nothing */
    dg_table_evict(FIRST + 1);
    socket = dg_table_watch(FIRST + 1, DG_ROLE_LISTENER);
    assert_non_null(socket);
    dg_table_unlock(socket);
    arrive(FIRST + 2, 1);
    assert_int_equal(role_of(FIRST + 1), DG_ROLE_LISTENER);
    socket = dg_table_lock(FIRST + 2);
    socket->role = DG_ROLE_PLAIN; /* let in, and not struck out yet */
    dg_table_unlock(socket);
    arrive(FIRST + 3, 1);
    assert_int_equal(role_of(FIRST + 2), DG_ROLE_PLAIN);
    assert_ended_before(FIRST, FIRST + 3, 0);
}

static void test_who_was_never_in_flight_may_leave(void **state)
{
    (void)state;
    use_policy(ROOM, NO_TIME_LIMIT);
    dg_in_flight_leave(FIRST);
    arrive(FIRST, 1);
    dg_in_flight_leave(FIRST + 1);
    dg_in_flight_leave(-1);
    assert_ended_before(FIRST, FIRST + 1, 0);
}

static void test_the_child_of_a_fork_begins_with_none(void **state)
{
    (void)state;
    use_policy(1, NO_TIME_LIMIT);
    arrive(FIRST, 1);
    dg_in_flight_forked();
    arrive(FIRST + 1, 1);
    assert_ended_before(FIRST, FIRST + 1, 0);
}

static int set_up(void **state)
{
    dg_core.real.shutdown = count_shutdown;
    return policy_file_make(state) == 0 && dg_table_start() == 0 ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_host_has_a_quarter_of_the_room),
        TEST(test_all_have_the_whole_of_it),
        TEST(test_this_host_has_all_of_it),
        TEST(test_who_is_through_makes_room),
        TEST(test_who_leaves_is_not_the_oldest_any_more),
        TEST(test_room_for_one),
        TEST(test_the_largest_room),
        TEST(test_who_takes_too_long_is_ended_when_another_comes),
        TEST(test_a_number_that_stands_for_something_else_is_left_alone),
        TEST(test_who_was_never_in_flight_may_leave),
        TEST(test_the_child_of_a_fork_begins_with_none),
    };

    return cmocka_run_group_tests_name("socket/in_flight", tests, set_up, policy_file_remove);
}
