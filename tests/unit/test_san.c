/* What may stand in a certificate's names. The tool's tests have more; these are the limits, to the
 * byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "cli/tls/san.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

typedef int check_function(const char *text, struct dg_error *error);

static void assert_accepted(check_function *check, const char *text)
{
    struct dg_error error = {""};

    if (check(text, &error) != 0)
        fail_msg("\"%s\" is right, and was refused: %s", text, error.text);
}

static void assert_refused(check_function *check, const char *text)
{
    struct dg_error error = {""};

    if (check(text, &error) == 0)
        fail_msg("\"%s\" is wrong, and was accepted", text);
    if (error.text[0] == '\0')
        fail_msg("\"%s\" was refused without a reason", text);
}

/* `count` labels of `size` letters. */
static const char *labels(size_t count, size_t size)
{
    static char name[512];
    char *end = name;

    assert_true(count * (size + 1) <= sizeof name);
    for (size_t i = 0; i < count; i++) {
        memset(end, 'a', size);
        end += size;
        *end++ = '.';
    }
    end[-1] = '\0';
    return name;
}

static void test_dns_limits(void **state)
{
    (void)state;
    assert_accepted(dg_san_check_dns, labels(1, 63));
    assert_refused(dg_san_check_dns, labels(1, 64));
    assert_accepted(dg_san_check_dns, labels(127, 1)); /* 253 bytes */
    assert_refused(dg_san_check_dns, labels(128, 1));
}

static void test_dns(void **state)
{
    static const char *const right[] = {
        "a", "A", "a-b", "a--b", "xn--bcher-kva.example", "1a.2b", "10.in-addr.arpa", "*.a.b",
    };
    static const char *const wrong[] = {
        "",  ".",  "a.",  ".a",   "a..b",    "-a",    "a-",       "a-.b", "a b",     "a_b", "a\tb",
        "*", "*.", "*.a", "*a.b", "*.*.a.b", "a.*.b", "\xc3\xbc", "a/b",  "1.2.3.4", "::1",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(right); i++)
        assert_accepted(dg_san_check_dns, right[i]);
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_refused(dg_san_check_dns, wrong[i]);
}

static void test_ip(void **state)
{
    static const unsigned char v4[] = {192, 0, 2, 1};
    static const unsigned char v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const char *const wrong[] = {"",          "1.2.3", "1.2.3.4.5", "256.1.1.1",
                                        "1.2.3.4/8", ":::",   "a"};
    struct dg_san_address address;
    struct dg_error error;

    (void)state;
    assert_int_equal(dg_san_parse_ip("192.0.2.1", &address, &error), 0);
    assert_int_equal(address.size, sizeof v4);
    assert_memory_equal(address.bytes, v4, sizeof v4);
    assert_int_equal(dg_san_parse_ip("2001:db8::1", &address, &error), 0);
    assert_int_equal(address.size, sizeof v6);
    assert_memory_equal(address.bytes, v6, sizeof v6);
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (dg_san_parse_ip(wrong[i], &address, &error) == 0)
            fail_msg("\"%s\" is no address, and was accepted", wrong[i]);
}

static void test_uri(void **state)
{
    static const char *const right[] = {"spiffe://example.org/a", "urn:x", "a+b-c.1:x", "a:%20"};
    static const char *const wrong[] = {
        "", ":", "a", "a:", ":a", "1a:b", "/a:b", "a b:c", "a:b c", "a:b\n", "a:\x7f", "a:\xc3\xbc",
    };
    char long_one[2048 + 2];

    (void)state;
    for (size_t i = 0; i < COUNT(right); i++)
        assert_accepted(dg_san_check_uri, right[i]);
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_refused(dg_san_check_uri, wrong[i]);
    memset(long_one, 'a', sizeof long_one);
    long_one[1] = ':';
    long_one[2048] = '\0';
    assert_accepted(dg_san_check_uri, long_one);
    long_one[2048] = 'a';
    long_one[2049] = '\0';
    assert_refused(dg_san_check_uri, long_one);
}

static void test_days(void **state)
{
    struct dg_error error;

    (void)state;
    assert_int_equal(dg_san_check_days(1, &error), 0);
    assert_int_equal(dg_san_check_days(36500, &error), 0);
    assert_int_equal(dg_san_check_days(0, &error), -1);
    assert_int_equal(dg_san_check_days(-1, &error), -1);
    assert_int_equal(dg_san_check_days(36501, &error), -1);
}

/* Two URIs are right, two SPIFFE IDs are not, and neither is one beside another URI. */
static void test_spiffe_stands_alone(void **state)
{
    const char *uris[] = {"urn:a", "urn:b"};
    struct dg_certificate_request request = {.name = "a", .uri = uris, .uri_count = 2, .days = 1};
    struct dg_error error;

    (void)state;
    assert_int_equal(dg_san_check_request(&request, &error), 0);
    uris[1] = "spiffe://a/b";
    assert_int_equal(dg_san_check_request(&request, &error), -1);
    request.uri = &uris[1];
    request.uri_count = 1;
    assert_int_equal(dg_san_check_request(&request, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dns_limits), cmocka_unit_test(test_dns),
        cmocka_unit_test(test_ip),         cmocka_unit_test(test_uri),
        cmocka_unit_test(test_days),       cmocka_unit_test(test_spiffe_stands_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
