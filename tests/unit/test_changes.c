/* What of a new policy waits for a restart, in the words of shim.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "policy/changes.h"
#include "tests/unit/support/policy_file.h"

/* A profile with these settings; "" for none. */
static struct dg_policy *policy_with(const char *settings)
{
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "version = 1; profiles: { p: { mode = \"require\";\n"
                   "tls: { certificate = \"/a\"; private_key = \"/b\"; ca = \"/c\"; };\n%s } };",
                   settings);
    return policy_of(text);
}

/* Which keys have to wait, going from one to the other; the same for the way back. */
static void assert_later(const char *before, const char *after, const char *wanted)
{
    struct dg_policy *old = policy_with(before);
    struct dg_policy *new = policy_with(after);
    char keys[DG_CHANGES_SIZE];

    dg_policy_changes_for_later(old, new, keys);
    assert_string_equal(keys, wanted);
    dg_policy_changes_for_later(new, old, keys);
    assert_string_equal(keys, wanted);
    dg_policy_changes_for_later(new, new, keys);
    assert_string_equal(keys, "");
    dg_policy_free(old);
    dg_policy_free(new);
}

static void test_where_to_listen(void **state)
{
    (void)state;
    assert_later("distribution: { bind = \"10.0.0.0/8\"; };",
                 "distribution: { bind = \"10.1.0.0/16\"; };", "distribution.bind, epmd.bind");
    assert_later("distribution: { bind = \"interface:eth0\"; }; epmd: { bind = \"loopback\"; };",
                 "distribution: { bind = \"interface:eth1\"; }; epmd: { bind = \"loopback\"; };",
                 "distribution.bind");
    assert_later("distribution: { bind = [ \"10.0.0.0/8\", \"fd00::/8\" ]; };",
                 "distribution: { bind = [ \"10.0.0.0/8\" ]; };", "distribution.bind, epmd.bind");
    assert_later("", "epmd: { bind = \"any\"; };", "epmd.bind");
    assert_later("", "epmd: { port = 4370; };", "epmd.port");
    assert_later("distribution: { ports = [ \"9100-9110\" ]; };",
                 "distribution: { ports = [ \"9100-9111\" ]; };", "distribution.ports");
}

static void test_the_programs_and_the_log(void **state)
{
    (void)state;
    assert_later("", "programs = [ \"beam.smp\", \"erl_call\" ];", "programs");
    assert_later("log: { target = \"stderr\"; };", "log: { target = \"/var/log/dg\"; };", "log");
    assert_later("log: { target = \"/a\"; };", "log: { target = \"/b\"; };", "log");
    assert_later("", "log: { level = \"debug\"; };", "log");
}

static void test_all_of_them_have_room(void **state)
{
    (void)state;
    assert_later("",
                 "programs = [ \"epmd\" ]; epmd: { bind = \"any\"; port = 1; };\n"
                 "distribution: { bind = \"any\"; ports = [ \"1-2\" ]; };\n"
                 "log: { level = \"debug\"; };",
                 "programs, distribution.bind, distribution.ports, epmd.bind, epmd.port, log");
}

static void test_what_counts_at_once_is_not_named(void **state)
{
    (void)state;
    assert_later("", "local = \"deny\";", "");
    assert_later("", "peers = ( { dns = \"a.example.org\"; } ); node_names = \"off\";", "");
    assert_later("", "distribution: { allow_from = [ \"10.0.0.0/8\" ]; };", "");
    assert_later("", "distribution: { enabled = false; };", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_to_listen),
        cmocka_unit_test(test_the_programs_and_the_log),
        cmocka_unit_test(test_all_of_them_have_room),
        cmocka_unit_test(test_what_counts_at_once_is_not_named),
    };

    return cmocka_run_group_tests_name("policy/changes", tests, policy_file_make,
                                       policy_file_remove);
}
