/* Addresses and networks as text and as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "policy/network.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct dg_network network_of(const char *text)
{
    struct dg_network network;
    const char *problem;

    if (!dg_network_parse(text, &network, &problem))
        fail_msg("%s: %s", text, problem);
    return network;
}

static struct dg_host host_of(const char *text)
{
    return network_of(text).host;
}

/* What is written is printed again, in the one form that it has. */
static void test_print(void **state)
{
    static const char *const texts[][2] = {
        {"10.0.0.5", "10.0.0.5"},
        {"10.0.0.5/32", "10.0.0.5"},
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.168.4.0/22", "192.168.4.0/22"},
        {"::", "::"},
        {"::/0", "::/0"},
        {"::1", "::1"},
        {"FD00:0:0::0/8", "fd00::/8"},
        {"fd00::1/128", "fd00::1"},
        {"2001:0db8:0001::/48", "2001:db8:1::/48"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127",
         "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe/127"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct dg_network network = network_of(texts[i][0]);
        char text[DG_NETWORK_TEXT];

        dg_network_print(&network, text);
        assert_string_equal(text, texts[i][1]);
    }
}

static void test_print_nothing(void **state)
{
    struct dg_host host = {.family = DG_FAMILY_NONE};
    char text[DG_NETWORK_TEXT];

    (void)state;
    dg_host_print(&host, text);
    assert_string_equal(text, "unknown");
}

#define NONE "is no address and no network"
#define IPV4_PREFIX "has a prefix that is no number from 0 to 32"
#define IPV6_PREFIX "has a prefix that is no number from 0 to 128"
#define OCTAL "has a number with a leading zero, which some programs read as octal"
#define BEYOND "has bits set beyond its prefix"
#define MAPPED "is IPv4, written as IPv6"
#define ZONE "has a zone, which only one host's kernel understands"

static void test_refused(void **state)
{
    /* Text, what is wrong with it, and what was probably meant ("unknown": who knows). */
    static const char *const texts[][3] = {
        {"", NONE, "unknown"},
        {"/", NONE, "unknown"},
        {"/8", NONE, "unknown"},
        {"host", NONE, "unknown"},
        {"10", NONE, "unknown"},
        {"10.0.0", NONE, "unknown"},
        {"10.0.0.0.0", NONE, "unknown"},
        {"10.0.0.256", NONE, "unknown"},
        {" 10.0.0.1", NONE, "unknown"},
        {"10.0.0.1 ", NONE, "unknown"},
        {"0x0a.0.0.1", NONE, "unknown"},
        {"10.0.0.1:80", NONE, "unknown"},
        {"[::1]", NONE, "unknown"},
        {":::", NONE, "unknown"},
        {"1::2::3", NONE, "unknown"},
        {"12345::", NONE, "unknown"},
        {"1:2:3:4:5:6:7:8:9", NONE, "unknown"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NONE, "unknown"},
        {"010.0.0.1", OCTAL, "unknown"},
        {"10.00.0.0/8", OCTAL, "unknown"},
        {"10.0.0.0/", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/33", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/08", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/-1", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/+8", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/8/8", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/255.0.0.0", IPV4_PREFIX, "unknown"},
        {"10.0.0.0/99999999999999999999", IPV4_PREFIX, "unknown"},
        {"fd00::/129", IPV6_PREFIX, "unknown"},
        {"fd00::/x", IPV6_PREFIX, "unknown"},
        {"10.1.2.3/8", BEYOND, "10.0.0.0/8"},
        {"192.168.5.0/22", BEYOND, "192.168.4.0/22"},
        {"0.0.0.1/0", BEYOND, "0.0.0.0/0"},
        {"fd00::1/64", BEYOND, "fd00::/64"},
        {"2001:db8::ff/121", BEYOND, "2001:db8::80/121"},
        {"::ffff:10.0.0.1", MAPPED, "10.0.0.1"},
        {"::ffff:10.1.2.3/104", MAPPED, "10.0.0.0/8"},
        {"::ffff:0:0/96", MAPPED, "0.0.0.0/0"},
        {"fe80::1%eth0", ZONE, "unknown"},
        {"10.0.0.1%lo", ZONE, "unknown"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct dg_network network;
        const char *problem = NULL;
        char meant[DG_NETWORK_TEXT];

        if (dg_network_parse(texts[i][0], &network, &problem))
            fail_msg("\"%s\" is accepted", texts[i][0]);
        dg_network_print(&network, meant);
        if (strcmp(problem, texts[i][1]) != 0 || strcmp(meant, texts[i][2]) != 0)
            fail_msg("\"%s\": got \"%s\", meant %s; wanted \"%s\", meant %s", texts[i][0], problem,
                     meant, texts[i][1], texts[i][2]);
    }
}

static void assert_contains(const char *network_text, const char *host_text, bool wanted)
{
    struct dg_network network = network_of(network_text);
    struct dg_host host = host_of(host_text);

    if (dg_network_contains(&network, &host) != wanted)
        fail_msg("%s %s %s", network_text, wanted ? "does not contain" : "contains", host_text);
}

static void test_contains(void **state)
{
    (void)state;
    assert_contains("10.0.0.0/8", "10.255.255.255", true);
    assert_contains("10.0.0.0/8", "11.0.0.0", false);
    assert_contains("10.0.0.0/8", "9.255.255.255", false);
    assert_contains("192.168.4.0/22", "192.168.7.255", true);
    assert_contains("192.168.4.0/22", "192.168.8.0", false);
    assert_contains("10.0.0.5", "10.0.0.5", true);
    assert_contains("10.0.0.5", "10.0.0.4", false);
    assert_contains("0.0.0.0/0", "203.0.113.9", true);
    assert_contains("0.0.0.0/0", "::1", false);
    assert_contains("::/0", "2001:db8::1", true);
    assert_contains("::/0", "10.0.0.1", false);
    assert_contains("fd00::/8", "fdff:1::", true);
    assert_contains("fd00::/8", "fe00::", false);
    assert_contains("2001:db8::80/121", "2001:db8::ff", true);
    assert_contains("2001:db8::80/121", "2001:db8::7f", false);
    assert_contains("128.0.0.0/1", "255.0.0.1", true);
    assert_contains("128.0.0.0/1", "127.0.0.1", false);
}

static void test_kinds(void **state)
{
    static const struct {
        const char *text;
        bool loopback, wildcard;
    } hosts[] = {
        {"127.0.0.1", true, false},  {"127.255.0.9", true, false}, {"::1", true, false},
        {"0.0.0.0", false, true},    {"::", false, true},          {"126.0.0.1", false, false},
        {"128.0.0.1", false, false}, {"::2", false, false},        {"1::1", false, false},
        {"0.0.0.1", false, false},   {"10.0.0.0", false, false},
    };
    const struct dg_host none = {.family = DG_FAMILY_NONE};

    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct dg_host host = host_of(hosts[i].text);

        if (dg_host_is_loopback(&host) != hosts[i].loopback ||
            dg_host_is_wildcard(&host) != hosts[i].wildcard)
            fail_msg("%s: loopback %d, wildcard %d; wanted %d, %d", hosts[i].text,
                     dg_host_is_loopback(&host), dg_host_is_wildcard(&host), hosts[i].loopback,
                     hosts[i].wildcard);
    }
    assert_false(dg_host_is_loopback(&none));
    assert_false(dg_host_is_wildcard(&none));
}

static void test_equal(void **state)
{
    struct dg_host a = host_of("10.0.0.1"), b = host_of("10.0.0.1"), c = host_of("10.0.0.2"),
                   d = host_of("a00:1::"), e = host_of("a00:1:0::"), f = host_of("a00:1::1");

    (void)state;
    assert_true(dg_host_equal(&a, &b));
    assert_false(dg_host_equal(&a, &c));
    assert_false(dg_host_equal(&a, &d));
    assert_true(dg_host_equal(&d, &e));
    assert_false(dg_host_equal(&d, &f));
    /* What follows the address of an IPv4 host is not part of it. */
    b.bytes[5] = 9;
    assert_true(dg_host_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),   cmocka_unit_test(test_print_nothing),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_contains),
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_equal),
    };

    return cmocka_run_group_tests_name("policy/network", tests, NULL, NULL);
}
