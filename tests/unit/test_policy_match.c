/* The questions that a policy answers: ports, programs, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "policy/policy.h"

static void test_ports(void **state)
{
    struct dg_port_range ranges[] = {{9100, 9110}, {4370, 4370}, {65535, 65535}};
    struct dg_port_list ports = {.ranges = ranges, .count = 3};
    const uint16_t listed[] = {9100, 9105, 9110, 4370, 65535};
    const uint16_t others[] = {0, 1, 4369, 4371, 9099, 9111, 65534};

    (void)state;
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++)
        if (!dg_policy_port_listed(&ports, listed[i]))
            fail_msg("port %u is listed, and was not found", listed[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (dg_policy_port_listed(&ports, others[i]))
            fail_msg("port %u is not listed, and was found", others[i]);
}

static void test_no_ports(void **state)
{
    struct dg_port_list ports = {.ranges = NULL, .count = 0};

    (void)state;
    assert_false(dg_policy_port_listed(&ports, 0));
    assert_false(dg_policy_port_listed(&ports, 9100));
}

static void assert_guards(const struct dg_policy *policy, const char *program, bool wanted)
{
    if (dg_policy_guards(policy, program) != wanted)
        fail_msg("%s: %s guarded", program, wanted ? "is not" : "is");
}

static void test_emulator_flavours(void **state)
{
    char *names[] = {(char[]){"beam.smp"}, (char[]){"epmd"}};
    struct dg_policy policy = {.programs = {.strings = names, .count = 2}};

    (void)state;
    assert_guards(&policy, "beam.smp", true);
    assert_guards(&policy, "beam", true);
    assert_guards(&policy, "beam.debug.smp", true);
    assert_guards(&policy, "beam.lcnt.smp", true);
    assert_guards(&policy, "epmd", true);
    assert_guards(&policy, "epm", false);
    assert_guards(&policy, "epmd2", false);
    assert_guards(&policy, "erl_call", false);
    assert_guards(&policy, "beamer", false);
    assert_guards(&policy, "sh", false);
    assert_guards(&policy, "", false);
}

static void test_one_flavour_is_one(void **state)
{
    char *names[] = {(char[]){"beam.debug.smp"}};
    struct dg_policy policy = {.programs = {.strings = names, .count = 1}};

    (void)state;
    assert_guards(&policy, "beam.debug.smp", true);
    assert_guards(&policy, "beam.smp", false);
    assert_guards(&policy, "beam", false);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(dg_mode_name(DG_MODE_OFF), "off");
    assert_string_equal(dg_mode_name(DG_MODE_REQUIRE), "require");
    assert_string_equal(dg_local_name(DG_LOCAL_DENY), "deny");
    assert_string_equal(dg_local_name(DG_LOCAL_SAME_USER), "same-user");
    assert_string_equal(dg_local_name(DG_LOCAL_ALLOW), "allow");
    assert_string_equal(dg_log_level_name(DG_LOG_DEBUG), "debug");
    assert_string_equal(dg_log_level_name(DG_LOG_INFO), "info");
    assert_string_equal(dg_log_level_name(DG_LOG_WARNING), "warning");
    assert_string_equal(dg_log_level_name(DG_LOG_ERROR), "error");
    assert_string_equal(dg_mode_name((enum dg_mode)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_no_ports),
        cmocka_unit_test(test_emulator_flavours),
        cmocka_unit_test(test_one_flavour_is_one),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("policy/match", tests, NULL, NULL);
}
