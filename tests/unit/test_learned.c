/* What EPMD's messages have told, and for how long it counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/socket/learned.h"
#include "tests/unit/support/address.h"

/* The module's clock, put forward: this definition comes before libc's. */
static time_t ahead;

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);

    time->tv_sec += ahead;
    return result;
}

static void test_a_listener_counts_until_it_closes(void **state)
{
    (void)state;
    assert_false(dg_is_learned_listener(9100));
    dg_learn_listener(9100);
    dg_learn_listener(65535);
    assert_true(dg_is_learned_listener(9100));
    assert_true(dg_is_learned_listener(65535));
    assert_false(dg_is_learned_listener(9101));
    dg_forget_listener(9100);
    assert_false(dg_is_learned_listener(9100));
    assert_true(dg_is_learned_listener(65535));
}

static void test_a_destination_is_its_address_and_its_port(void **state)
{
    struct sockaddr_storage told = address_of("10.0.0.1", 9100);
    struct sockaddr_storage other_port = address_of("10.0.0.1", 9101);
    struct sockaddr_storage other_host = address_of("10.0.0.2", 9100);

    (void)state;
    assert_false(dg_is_learned_destination(&told));
    dg_learn_destination(&told);
    assert_true(dg_is_learned_destination(&told));
    assert_true(dg_is_learned_destination(&told));
    assert_false(dg_is_learned_destination(&other_port));
    assert_false(dg_is_learned_destination(&other_host));
}

static void test_a_destination_counts_for_half_a_minute(void **state)
{
    struct sockaddr_storage told = address_of("fd00::1", 9100);

    (void)state;
    dg_learn_destination(&told);
    ahead += 29;
    assert_true(dg_is_learned_destination(&told));
    ahead += 3;
    assert_false(dg_is_learned_destination(&told));
    dg_learn_destination(&told);
    assert_true(dg_is_learned_destination(&told));
}

static void test_the_last_256_destinations_count(void **state)
{
    struct sockaddr_storage first = address_of("10.0.1.1", 1000);
    struct sockaddr_storage second = address_of("10.0.1.1", 1001);

    (void)state;
    for (uint16_t i = 0; i < 257; i++) {
        struct sockaddr_storage told = address_of("10.0.1.1", (uint16_t)(1000 + i));

        dg_learn_destination(&told);
    }
    assert_false(dg_is_learned_destination(&first));
    assert_true(dg_is_learned_destination(&second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_listener_counts_until_it_closes),
        cmocka_unit_test(test_a_destination_is_its_address_and_its_port),
        cmocka_unit_test(test_a_destination_counts_for_half_a_minute),
        cmocka_unit_test(test_the_last_256_destinations_count),
    };

    return cmocka_run_group_tests_name("socket/learned", tests, NULL, NULL);
}
