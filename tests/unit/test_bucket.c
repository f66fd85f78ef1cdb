/* The token bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shim/core/tls/bucket.h"

static unsigned take_all(struct dg_bucket *bucket, uint64_t now)
{
    unsigned taken = 0;

    while (taken < 1000000 && dg_bucket_take(bucket, now)) {
        taken++;
    }
    return taken;
}

static void test_it_holds_one_seconds_worth_and_no_more(void **state)
{
    struct dg_bucket bucket;

    (void)state;
    dg_bucket_init(&bucket, 10, 5000);
    assert_int_equal(take_all(&bucket, 5000), 10);
    assert_int_equal(take_all(&bucket, 5000), 0);
    assert_int_equal(take_all(&bucket, 1000000), 10);
}

static void test_it_fills_evenly(void **state)
{
    struct dg_bucket bucket;

    (void)state;
    dg_bucket_init(&bucket, 10, 0);
    assert_int_equal(take_all(&bucket, 0), 10);
    assert_int_equal(take_all(&bucket, 99), 0);
    assert_int_equal(take_all(&bucket, 100), 1);
    assert_int_equal(take_all(&bucket, 450), 3);
    assert_int_equal(take_all(&bucket, 500), 1);
}

static void test_asking_often_loses_nothing(void **state)
{
    struct dg_bucket bucket;
    unsigned taken = 0;

    (void)state;
    dg_bucket_init(&bucket, 3, 0);
    assert_int_equal(take_all(&bucket, 0), 3);
    for (uint64_t now = 1; now <= 10000; now++) {
        taken += take_all(&bucket, now);
    }
    assert_int_equal(taken, 30);
}

static void test_the_largest_rate_overflows_nowhere(void **state)
{
    struct dg_bucket bucket;

    (void)state;
    dg_bucket_init(&bucket, UINT32_MAX, 0);
    assert_true(dg_bucket_take(&bucket, 0));
    assert_true(dg_bucket_take(&bucket, UINT64_MAX));
    assert_int_equal(bucket.content, ((uint64_t)UINT32_MAX - 1) * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_holds_one_seconds_worth_and_no_more),
        cmocka_unit_test(test_it_fills_evenly),
        cmocka_unit_test(test_asking_often_loses_nothing),
        cmocka_unit_test(test_the_largest_rate_overflows_nowhere),
    };

    return cmocka_run_group_tests_name("tls/bucket", tests, NULL, NULL);
}
