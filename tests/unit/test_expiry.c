/* When an expiry is spoken of, and what credentials say of their own files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "shim/core/tls/credentials.h"
#include "tests/unit/support/pki.h"

#define DAY ((time_t)24 * 60 * 60)
#define BEGIN ((time_t)1700000000)

/* A lifetime of `days`, and what is said `left` days and `seconds` before its end, having last
 * asked `asked` days before it. */
static int step(long days, long asked, long left, long seconds)
{
    const struct dg_expiry expiry = {.begins = BEGIN, .ends = BEGIN + days * DAY};

    return dg_expiry_step(&expiry, expiry.ends - asked * DAY, expiry.ends - left * DAY - seconds);
}

static void test_it_is_said_once_at_each_threshold(void **state)
{
    (void)state;
    assert_int_equal(step(365, 100, 31, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 31, 30, 1), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 31, 30, 0), 30);
    assert_int_equal(step(365, 30, 29, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 8, 7, 0), 7);
    assert_int_equal(step(365, 7, 2, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 2, 1, 0), 1);
    assert_int_equal(step(365, 1, 0, 1), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 1, 0, 0), 0);
    assert_int_equal(step(365, 1, -5, 0), 0);
    assert_int_equal(step(365, -1, -5, 0), DG_EXPIRY_SILENT);
}

static void test_of_several_thresholds_at_once_the_last_counts(void **state)
{
    (void)state;
    assert_int_equal(step(365, 100, 3, 0), 7);
    assert_int_equal(step(365, 20, -1, 0), 0);
}

static void test_who_never_asked_is_told_where_it_stands(void **state)
{
    const struct dg_expiry expiry = {.begins = BEGIN, .ends = BEGIN + 365 * DAY};

    (void)state;
    assert_int_equal(dg_expiry_step(&expiry, 0, BEGIN), DG_EXPIRY_SILENT);
    assert_int_equal(dg_expiry_step(&expiry, 0, expiry.ends - 10 * DAY), 30);
    assert_int_equal(dg_expiry_step(&expiry, 0, expiry.ends - DAY / 2), 1);
    assert_int_equal(dg_expiry_step(&expiry, 0, expiry.ends), 0);
}

static void test_a_clock_that_is_set_back_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(step(365, 5, 40, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 5, 20, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, -1, 5, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(365, 40, 5, 0), 7);
}

static void test_a_short_life_passes_over_thresholds_that_it_never_reaches(void **state)
{
    (void)state;
    assert_int_equal(step(30, 30, 29, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(7, 7, 6, 0), DG_EXPIRY_SILENT);
    assert_int_equal(step(7, 2, 1, 0), 1);
    assert_int_equal(step(1, 1, 0, 60), DG_EXPIRY_SILENT);
    assert_int_equal(step(1, 1, 0, 0), 0);
}

static void test_credentials_say_what_ends_when(void **state)
{
    struct dg_credentials *credentials = pki_credentials("ours", "node", "both");
    size_t count;
    const struct dg_expiry *expiries = dg_credentials_expiries(credentials, &count);
    struct dg_tls_policy policy = pki_policy("ours", "node", "both");
    time_t now = time(NULL);

    (void)state;
    assert_int_equal(count, 3);
    assert_int_equal(expiries[0].kind, DG_EXPIRY_CERTIFICATE);
    assert_string_equal(expiries[0].name, "DNS:node.example.org");
    assert_string_equal(expiries[0].file, policy.certificate);
    for (size_t i = 0; i < count; i++) {
        assert_true(expiries[i].begins < now);
        assert_true(expiries[i].ends > now && expiries[i].ends <= now + 2 * DAY);
    }
    for (size_t i = 1; i < count; i++) {
        assert_int_equal(expiries[i].kind, DG_EXPIRY_ANCHOR);
        assert_string_equal(expiries[i].file, policy.ca);
        assert_non_null(strstr(expiries[i].name, "/CN="));
    }
    dg_credentials_free(credentials);
}

static void test_kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(dg_expiry_kind_name(DG_EXPIRY_CERTIFICATE), "certificate");
    assert_string_equal(dg_expiry_kind_name(DG_EXPIRY_ANCHOR), "anchor");
    assert_string_equal(dg_expiry_kind_name(DG_EXPIRY_CRL), "crl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_said_once_at_each_threshold),
        cmocka_unit_test(test_of_several_thresholds_at_once_the_last_counts),
        cmocka_unit_test(test_who_never_asked_is_told_where_it_stands),
        cmocka_unit_test(test_a_clock_that_is_set_back_says_nothing),
        cmocka_unit_test(test_a_short_life_passes_over_thresholds_that_it_never_reaches),
        cmocka_unit_test(test_credentials_say_what_ends_when),
        cmocka_unit_test(test_kinds_have_names),
    };

    return cmocka_run_group_tests_name("tls/expiry", tests, pki_make, pki_remove);
}
