/* Socket addresses: what is the same, what is this host's, and how they read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "shim/core/socket/address.h"
#include "tests/unit/support/address.h"

static void assert_prints(const struct sockaddr_storage *address, const char *wanted)
{
    char text[DG_ADDRESS_TEXT];

    dg_address_print(address, text);
    assert_string_equal(text, wanted);
}

static void test_addresses_print_as_people_write_them(void **state)
{
    struct sockaddr_storage address = address_of("10.0.0.1", 4369);

    (void)state;
    assert_prints(&address, "10.0.0.1:4369");
    address = address_of("255.255.255.255", 65535);
    assert_prints(&address, "255.255.255.255:65535");
    address = address_of("fd00::1", 4369);
    assert_prints(&address, "[fd00::1]:4369");
    address = (struct sockaddr_storage){.ss_family = AF_UNIX};
    assert_prints(&address, "unknown");
}

static void test_ports_are_read_and_set_in_host_order(void **state)
{
    struct sockaddr_storage ipv4 = address_of("10.0.0.1", 9100);
    struct sockaddr_storage ipv6 = address_of("fd00::1", 9100);
    struct sockaddr_storage other = {.ss_family = AF_UNIX};

    (void)state;
    assert_int_equal(dg_address_port(&ipv4), 9100);
    assert_int_equal(dg_address_port(&ipv6), 9100);
    assert_int_equal(dg_address_port(&other), 0);
    dg_address_set_port(&ipv4, 4369);
    dg_address_set_port(&ipv6, 4369);
    dg_address_set_port(&other, 4369);
    assert_prints(&ipv4, "10.0.0.1:4369");
    assert_prints(&ipv6, "[fd00::1]:4369");
    assert_int_equal(dg_address_port(&other), 0);
}

static struct sockaddr_storage copied(const struct sockaddr_storage *address, size_t size)
{
    return dg_address_from((const struct sockaddr *)address, (socklen_t)size);
}

static void test_ipv4_mapped_addresses_are_the_ipv4_ones(void **state)
{
    struct sockaddr_storage plain = address_of("192.0.2.7", 9100);
    struct sockaddr_storage mapped = address_of("::ffff:192.0.2.7", 9100);
    struct sockaddr_storage copy = copied(&mapped, sizeof(struct sockaddr_in6));

    (void)state;
    assert_prints(&copy, "192.0.2.7:9100");
    assert_true(dg_address_equal(&copy, &plain));
}

static void test_copies_take_what_there_is_and_no_more(void **state)
{
    struct sockaddr_storage address = address_of("fd00::1", 9100);
    struct sockaddr_storage copy = copied(&address, sizeof(struct sockaddr_in6));

    (void)state;
    assert_true(dg_address_equal(&copy, &address));
    copy = copied(&address, sizeof address + 100); /* the kernel may report more than it gave */
    assert_true(dg_address_equal(&copy, &address));
    copy = copied(&address, 0);
    assert_int_equal(copy.ss_family, AF_UNSPEC);
    copy = dg_address_from(NULL, 0);
    assert_int_equal(copy.ss_family, AF_UNSPEC);
}

static void test_equal_is_family_host_and_port(void **state)
{
    struct sockaddr_storage a = address_of("10.0.0.1", 1);
    struct sockaddr_storage other_port = address_of("10.0.0.1", 2);
    struct sockaddr_storage other_host = address_of("10.0.0.2", 1);
    struct sockaddr_storage other_family = address_of("::10.0.0.1", 1);
    struct sockaddr_storage unix_domain = {.ss_family = AF_UNIX};

    (void)state;
    assert_true(dg_address_equal(&a, &a));
    assert_false(dg_address_equal(&a, &other_port));
    assert_false(dg_address_equal(&a, &other_host));
    assert_false(dg_address_equal(&a, &other_family));
    assert_false(dg_address_equal(&unix_domain, &unix_domain));
}

static void assert_local(const char *peer, const char *own, bool wanted)
{
    struct sockaddr_storage peer_address = address_of(peer, 40000);
    struct sockaddr_storage own_address = address_of(own, 9100);

    if (dg_address_is_local(&peer_address, &own_address) != wanted) {
        fail_msg("%s, seen from %s, should%s be local", peer, own, wanted ? "" : " not");
    }
}

static void test_this_host_is_loopback_and_the_address_one_was_reached_at(void **state)
{
    (void)state;
    assert_local("127.0.0.1", "127.0.0.1", true);
    assert_local("127.255.0.9", "127.0.0.1", true);
    assert_local("::1", "::1", true);
    assert_local("10.0.0.5", "10.0.0.5", true);
    assert_local("fd00::5", "fd00::5", true);
    assert_local("10.0.0.6", "10.0.0.5", false);
    assert_local("fd00::6", "fd00::5", false);
    assert_local("128.0.0.1", "10.0.0.5", false);
    assert_local("126.255.255.255", "10.0.0.5", false);
    assert_local("::2", "::1", false);
}

static void test_internet_families_are_ipv4_and_ipv6(void **state)
{
    (void)state;
    assert_true(dg_address_is_internet(AF_INET));
    assert_true(dg_address_is_internet(AF_INET6));
    assert_false(dg_address_is_internet(AF_UNIX));
    assert_false(dg_address_is_internet(AF_UNSPEC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_print_as_people_write_them),
        cmocka_unit_test(test_ports_are_read_and_set_in_host_order),
        cmocka_unit_test(test_ipv4_mapped_addresses_are_the_ipv4_ones),
        cmocka_unit_test(test_copies_take_what_there_is_and_no_more),
        cmocka_unit_test(test_equal_is_family_host_and_port),
        cmocka_unit_test(test_this_host_is_loopback_and_the_address_one_was_reached_at),
        cmocka_unit_test(test_internet_families_are_ipv4_and_ipv6),
    };

    return cmocka_run_group_tests_name("socket/address", tests, NULL, NULL);
}
