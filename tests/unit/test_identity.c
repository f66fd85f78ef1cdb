/* Whom a certificate stands for: host names, addresses, URIs, keys, and as which node it may join.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "policy/glob.h"
#include "policy/hostname.h"
#include "policy/identity.h"
#include "policy/lists.h"
#include "policy/pin.h"
#include "policy/uri.h"
#include "tests/unit/support/policy_file.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT_SIZE 4096

static void add_address(struct dg_identity *identity, const char *text)
{
    struct dg_network network;
    const char *problem;

    if (!dg_network_parse(text, &network, &problem))
        fail_msg("\"%s\" %s", text, problem);
    identity->addresses =
        realloc(identity->addresses, (identity->address_count + 1) * sizeof *identity->addresses);
    assert_non_null(identity->addresses);
    identity->addresses[identity->address_count++] = network.host;
}

/* Names with blanks between them: "DNS:a.example.org IP:10.0.0.1 URI:spiffe://example.org/a". A key
 * is 32 times the byte after "KEY:". */
static struct dg_identity identity_of(const char *names)
{
    struct dg_identity identity = {.address_count = 0};
    char *text = strdup(names), *rest = NULL;

    assert_non_null(text);
    for (char *name = strtok_r(text, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(name, ':') + 1;

        if (strncmp(name, "DNS:", 4) == 0)
            assert_int_equal(dg_string_list_append(&identity.dns, value), 0);
        else if (strncmp(name, "URI:", 4) == 0)
            assert_int_equal(dg_string_list_append(&identity.uris, value), 0);
        else if (strncmp(name, "IP:", 3) == 0)
            add_address(&identity, value);
        else if (strncmp(name, "KEY:", 4) == 0)
            memset(identity.spki, *value, sizeof identity.spki);
        else
            fail_msg("what is %s?", name);
    }
    free(text);
    return identity;
}

/* Host names. */

static void assert_host(const char *names, const char *host, size_t size, bool wanted)
{
    struct dg_identity identity = identity_of(names);
    bool found = dg_identity_has_host(&identity, host, size);

    dg_identity_clear(&identity);
    if (found != wanted)
        fail_msg("\"%s\" as \"%.*s\": %s, wanted: %s", names, (int)size, host,
                 found ? "believed" : "refused", wanted ? "believed" : "refused");
}

static const struct {
    const char *names, *host;
    bool wanted;
} hosts_of_names[] = {
    {"DNS:web1.example.org", "web1.example.org", true},
    {"DNS:web1.example.org", "WEB1.Example.ORG", true},
    {"DNS:WEB1.EXAMPLE.ORG", "web1.example.org", true},
    {"DNS:web1.example.org", "web2.example.org", false},
    {"DNS:web1.example.org", "web1.example.or", false},
    {"DNS:web1.example.org", "web1.example.orgs", false},
    {"DNS:web1.example.org", "eb1.example.org", false},
    {"DNS:web1.example.org", "a.web1.example.org", false},
    {"DNS:web1.example.org", "web1", false},
    {"DNS:web1.example.org", "example.org", false},
    {"DNS:web1.example.org", "", false},
    {"", "web1.example.org", false},
    {"", "", false},
    {"DNS:a DNS:b DNS:web1.example.org", "web1.example.org", true},
    {"DNS:web1", "web1", true},
    {"DNS:web1", "web1.example.org", false},
    {"DNS:xn--bcher-kva.example", "xn--bcher-kva.example", true},
    {"DNS:xn--bcher-kva.example", "XN--BCHER-KVA.example", true},
    {"DNS:web_1.example.org", "web_1.example.org", true},

    /* A final dot is in no certificate (RFC 5280, 4.2.1.6), and no node has one. */
    {"DNS:web1.example.org", "web1.example.org.", false},
    {"DNS:web1.example.org.", "web1.example.org", false},
    {"DNS:web1.example.org.", "web1.example.org.", false},
    {"DNS:web1.example.org", ".web1.example.org", false},
    {"DNS:web1.example.org", ".example.org", false},
    {"DNS:a..b", "a..b", false},
    {"DNS:.", ".", false},

    /* Wildcards. */
    {"DNS:*.example.org", "web1.example.org", true},
    {"DNS:*.EXAMPLE.org", "Web1.Example.Org", true},
    {"DNS:*.example.org", "xn--bcher-kva.example.org", true},
    {"DNS:*.a.example.org", "web1.a.example.org", true},
    {"DNS:*.example.org", "a.web1.example.org", false},
    {"DNS:*.example.org", "example.org", false},
    {"DNS:*.example.org", ".example.org", false},
    {"DNS:*.example.org", "web1.example.com", false},
    {"DNS:*.example.org", "web1.example.org.", false},
    {"DNS:*.example.org", "web1xexample.org", false},
    {"DNS:*.example.org", "*.example.org", false},
    {"DNS:*.example.org", "web*.example.org", false},
    {"DNS:*.example.org", "-.example.org", false},
    {"DNS:*.example.org", "-a.example.org", false},
    {"DNS:*.example.org", "a-.example.org", false},
    {"DNS:*.example.org", "web_1.example.org", false},
    {"DNS:*.example.org", "web1", false},
    {"DNS:*.org", "example.org", false},
    {"DNS:*.org.", "example.org", false},
    {"DNS:*.", "org", false},
    {"DNS:*", "org", false},
    {"DNS:*", "example.org", false},
    {"DNS:*", "*", false},
    {"DNS:*.*", "example.org", false},
    {"DNS:*.*.org", "web1.example.org", false},
    {"DNS:web1.*.org", "web1.example.org", false},
    {"DNS:*web1.example.org", "web1.example.org", false},
    {"DNS:w*.example.org", "web1.example.org", false},
    {"DNS:*1.example.org", "web1.example.org", false},
    {"DNS:w*1.example.org", "web1.example.org", false},
    {"DNS:**.example.org", "web1.example.org", false},
    {"DNS:*.a_b.org", "web1.a_b.org", false},
    {"DNS:*..example.org", "web1..example.org", false},
    {"DNS:xn--*.example.org", "xn--a.example.org", false},

    /* Addresses. */
    {"IP:10.0.0.1", "10.0.0.1", true},
    {"IP:10.0.0.2 IP:10.0.0.1", "10.0.0.1", true},
    {"IP:10.0.0.1", "10.0.0.2", false},
    {"IP:10.0.0.1", "010.0.0.1", false},
    {"IP:10.0.0.1", "10.0.1", false},
    {"IP:10.0.0.1", "10.0.0.1.", false},
    {"IP:10.0.0.1", "10.0.0.1/32", false},
    {"IP:10.0.0.1", "::ffff:10.0.0.1", false},
    {"IP:10.0.0.1", " 10.0.0.1", false},
    {"IP:10.0.0.1", "web1.example.org", false},
    {"DNS:10.0.0.1", "10.0.0.1", false},
    {"DNS:*.0.0.1", "10.0.0.1", false},
    {"IP:fd00::1", "fd00::1", true},
    {"IP:fd00::1", "FD00::1", true},
    {"IP:fd00::1", "fd00:0:0:0:0:0:0:1", true},
    {"IP:fd00::1", "[fd00::1]", false},
    {"IP:fd00::1", "fd00::1%eth0", false},
    {"IP:fd00::1", "fd00::2", false},
    {"DNS:fd00::1", "fd00::1", false},

    /* Other bytes. */
    {"DNS:a@b", "a@b", false},
    {"DNS:a/b", "a/b", false},
    {"DNS:a:b", "a:b", false},
    {"DNS:b\xc3\xbc"
     "cher.example",
     "b\xc3\xbc"
     "cher.example",
     false},
    {"DNS:a\x01", "a\x01", false},
    {"DNS:a\x7f", "a\x7f", false},
    {"URI:web1.example.org", "web1.example.org", false},
    {"URI:https://web1.example.org", "web1.example.org", false},
};

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hosts_of_names); i++)
        assert_host(hosts_of_names[i].names, hosts_of_names[i].host, strlen(hosts_of_names[i].host),
                    hosts_of_names[i].wanted);
}

static void test_hosts_are_not_terminated(void **state)
{
    char host[512] = "";

    (void)state;
    assert_host("DNS:web1", "web1.example.org", strlen("web1"), true);
    assert_host("DNS:web1", "web1\0", strlen("web1") + 1, false);
    assert_host("DNS:web1", "web1\0.example.org", sizeof "web1\0.example.org" - 1, false);
    assert_host("DNS:web1", "\0web1", sizeof "\0web1" - 1, false);
    assert_host("IP:10.0.0.1", "10.0.0.1\0.example.org", sizeof "10.0.0.1\0.example.org" - 1,
                false);
    assert_host("IP:10.0.0.1", "10.0.0.1\n", strlen("10.0.0.1\n"), false);
    for (size_t i = 0; i < sizeof host - 1; i++)
        host[i] = i % 2 == 0 ? 'a' : '.';
    assert_host("DNS:a", host, sizeof host - 1, false);
    assert_host("DNS:a", host, 253, false);
    memcpy(host + 253, " DNS:", 5);
    memmove(host + 4, host, 253);
    memcpy(host, "DNS:", 4);
    host[4 + 253] = '\0';
    assert_host(host, host + 4, 253, true);
}

/* OpenSSL's own answer to the same questions. */

static X509 *certificate_of(const char *dns)
{
    X509 *certificate = X509_new();
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    assert_true(certificate != NULL && names != NULL && name != NULL && text != NULL);
    assert_int_equal(ASN1_STRING_set(text, dns, -1), 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    assert_true(sk_GENERAL_NAME_push(names, name) > 0);
    assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0), 1);
    GENERAL_NAMES_free(names);
    return certificate;
}

static bool openssl_believes(const char *dns, const char *host)
{
    X509 *certificate = certificate_of(dns);
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    int result = X509_check_host(certificate, host, strlen(host), flags, NULL);

    X509_free(certificate);
    assert_true(result == 0 || result == 1);
    return result == 1;
}

/* Where we are stricter; nowhere are we more generous. */
static bool stricter(const char *dns, const char *host)
{
    struct dg_network network;
    const char *problem;

    /* It takes ".example.org" for every name below that domain, … */
    if (host[0] == '.')
        return true;
    /* … compares what is no host's name (a wildcard, a final dot, an empty label, other bytes) … */
    if (!dg_hostname_usual(host))
        return true;
    /* … and addresses with DNS names, … */
    if (dg_network_parse(host, &network, &problem))
        return true;
    /* … and lets a wildcard stand for labels that begin or end with a hyphen. */
    return strncmp(dns, "*.", 2) == 0 && (host[0] == '-' || strstr(host, "-.") != NULL);
}

static const char *const any_names[] = {
    "web1.example.org",
    "WEB1.example.org",
    "web1",
    "example.org",
    "*.example.org",
    "*.EXAMPLE.ORG",
    "*.org",
    "*",
    "*.",
    "*.*.org",
    "web1.*.org",
    "w*.example.org",
    "*1.example.org",
    "w*1.example.org",
    "**.example.org",
    "*.a.example.org",
    "web1.example.org.",
    "*.example.org.",
    "10.0.0.1",
    "*.0.0.1",
    "a..b",
    "*.xn--bcher-kva.test",
    "xn--*.test.org",
    "xn--a.test.org",
    "*.a_b.org",
    "a_b.example.org",
    "-a.example.org",
    "fd00::1",
    ".example.org",
    "a@b",
    "*.-a.org",
    "*.a-.org",
};

static const char *const any_hosts[] = {
    "web1.example.org",
    "Web1.Example.Org",
    "web1",
    "example.org",
    "org",
    "a.web1.example.org",
    "web1.a.example.org",
    "*.example.org",
    "web1.example.org.",
    ".example.org",
    ".web1.example.org",
    "web1.example.com",
    "10.0.0.1",
    "010.0.0.1",
    "fd00::1",
    "a..b",
    "b.xn--bcher-kva.test",
    "xn--a.example.org",
    "xn--a.test.org",
    "xn--b.test.org",
    "web1.a_b.org",
    "a_b.example.org",
    "-a.example.org",
    "a-.example.org",
    "-.example.org",
    "a@b",
    "*",
    "web1.-a.org",
    "web1.a-.org",
};

static void test_against_openssl(void **state)
{
    unsigned believed = 0, differing = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(any_names); i++) {
        for (size_t j = 0; j < COUNT(any_hosts); j++) {
            struct dg_identity identity = {.dns = {(char *[]){(char *)any_names[i]}, 1}};
            bool ours = dg_identity_has_host(&identity, any_hosts[j], strlen(any_hosts[j]));
            bool theirs = openssl_believes(any_names[i], any_hosts[j]);

            if (ours != theirs && (ours || !stricter(any_names[i], any_hosts[j])))
                fail_msg("DNS:%s as %s: %s, by OpenSSL %s", any_names[i], any_hosts[j],
                         ours ? "believed" : "refused", theirs ? "believed" : "refused");
            believed += ours;
            differing += ours != theirs;
        }
    }
    /* The comparison is one: some are believed, and the differences that are listed exist. */
    assert_in_range(believed, 15, 60);
    assert_in_range(differing, 5, 60);
}

/* A policy's patterns against the names of a certificate. */

static void test_hostname_patterns(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool wanted;
    } cases[] = {
        {"web1.example.org", "WEB1.example.org", true},
        {"web1.example.org", "web2.example.org", false},
        {"web1.example.org", "*.example.org", false},
        {"*.example.org", "web1.example.org", true},
        {"*.example.org", "WEB1.EXAMPLE.ORG", true},
        {"*.example.org", "*.example.org", true},
        {"*.example.org", "*.Example.org", true},
        {"*.example.org", "*.web.example.org", false},
        {"*.web.example.org", "*.example.org", false},
        {"*.example.org", "a.web1.example.org", false},
        {"*.example.org", "example.org", false},
        {"*.example.org", ".example.org", false},
        {"*.example.org", "w*.example.org", false},
        {"*.example.org", "-a.example.org", false},
        {"*.example.org", "a b.example.org", false},
        {"*.lan", "web1.lan", true},
        {"*.lan", "lan", false},
        {"*.lan", "a.b.lan", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (dg_hostname_matches(cases[i].pattern, cases[i].name) != cases[i].wanted)
            fail_msg("%s for %s: wanted %d", cases[i].pattern, cases[i].name, cases[i].wanted);
    assert_true(dg_hostname_is_pattern("*.a", 1));
    assert_false(dg_hostname_is_pattern("*.a", 2));
    assert_true(dg_hostname_is_pattern("*.a.b", 2));
    assert_false(dg_hostname_is_pattern("*.a.b", 3));
    assert_false(dg_hostname_is_pattern("a.b", 1));
}

static void test_uris(void **state)
{
    static const struct {
        const char *pattern, *uri;
        bool wanted;
    } cases[] = {
        {"erlang:web@a", "erlang:web@a", true},
        {"erlang:web@a", "erlang:web@A", false},
        {"erlang:web@a", "erlang:web@ab", false},
        {"spiffe://a/web", "spiffe://a/web", true},
        {"spiffe://a/web", "spiffe://a/Web", false},
        {"spiffe://a/web", "SPIFFE://a/web", false},
        {"spiffe://a/web", "spiffe://a/web/", false},
        {"spiffe://a/web", "spiffe://a/web/1", false},
        {"spiffe://a/web/*", "spiffe://a/web/1", true},
        {"spiffe://a/web/*", "spiffe://a/web/a.B-1_2", true},
        {"spiffe://a/web/*", "spiffe://a/web/...", true},
        {"spiffe://a/web/*", "spiffe://a/web/", false},
        {"spiffe://a/web/*", "spiffe://a/web", false},
        {"spiffe://a/web/*", "spiffe://a/web/1/2", false},
        {"spiffe://a/web/*", "spiffe://a/web/1/", false},
        {"spiffe://a/web/*", "spiffe://a/web/.", false},
        {"spiffe://a/web/*", "spiffe://a/web/..", false},
        {"spiffe://a/web/*", "spiffe://a/web/a%2fb", false},
        {"spiffe://a/web/*", "spiffe://a/web/1?q", false},
        {"spiffe://a/web/*", "spiffe://a/web/1#f", false},
        {"spiffe://a/web/*", "spiffe://a/web/a b", false},
        {"spiffe://a/web/*", "spiffe://a/api/1", false},
        {"spiffe://a/web/*", "spiffe://b/web/1", false},
        {"spiffe://a/web/*", "spiffe://a:443/web/1", false},
        {"spiffe://a/web/*", "spiffe://A/web/1", false},
        {"spiffe://a/*", "spiffe://a/web", true},
        {"spiffe://a/*", "spiffe://a", false},
        {"spiffe://a/*", "spiffe://ab", false},
        {"spiffe://a/*", "spiffe://a/web/1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (dg_uri_matches(cases[i].pattern, cases[i].uri) != cases[i].wanted)
            fail_msg("%s for %s: wanted %d", cases[i].pattern, cases[i].uri, cases[i].wanted);
}

static void test_uri_limits(void **state)
{
    char uri[2100] = "spiffe://";
    size_t size = strlen(uri);

    (void)state;
    memset(uri + size, 'a', 256);
    memcpy(uri + size + 255, "/b", sizeof "/b");
    assert_null(dg_uri_problem(uri));
    memcpy(uri + size + 255, "a/b", sizeof "a/b");
    assert_string_equal(dg_uri_problem(uri), "has a trust domain of more than 255 bytes");
    memset(uri, 'a', 2048);
    memcpy(uri, "u:", 2);
    uri[2048] = '\0';
    assert_null(dg_uri_problem(uri));
    uri[2048] = 'a';
    uri[2049] = '\0';
    assert_string_equal(dg_uri_problem(uri), "is longer than 2048 bytes");
    memcpy(uri, "spiffe://a/", strlen("spiffe://a/"));
    assert_false(dg_uri_matches("spiffe://a/*", uri));
    uri[2048] = '\0';
    assert_true(dg_uri_matches("spiffe://a/*", uri));
}

static void test_pins(void **state)
{
    static const char hex[] =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char *const right[] = {
        "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    };
    static const char *const wrong[] = {
        "",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85g",
        "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", /* bits beyond the last byte */
        "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA",
        "sha256/47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    };
    uint8_t wanted[DG_SPKI_SIZE], pin[DG_SPKI_SIZE];
    char text[DG_PIN_TEXT];

    (void)state;
    assert_true(dg_pin_parse(hex, wanted));
    assert_int_equal(wanted[0], 0xe3);
    assert_int_equal(wanted[31], 0x55);
    dg_pin_print(wanted, text);
    assert_string_equal(text, hex);
    for (size_t i = 0; i < COUNT(right); i++) {
        memset(pin, 0, sizeof pin);
        assert_true(dg_pin_parse(right[i], pin));
        assert_memory_equal(pin, wanted, sizeof pin);
    }
    for (size_t i = 0; i < COUNT(wrong); i++)
        if (dg_pin_parse(wrong[i], pin))
            fail_msg("\"%s\" is no pin, and was taken for one", wrong[i]);
}

/* Names are not terminated: nothing behind their bytes is looked at. */
static void assert_glob(const char *pattern, const char *name, bool wanted)
{
    size_t size = strlen(name);
    char *bytes = malloc(size + (size == 0));
    bool matches;

    assert_non_null(bytes);
    memcpy(bytes, name, size);
    matches = dg_glob_matches(pattern, bytes, size);
    free(bytes);
    if (matches != wanted)
        fail_msg("%s for %s: wanted %d", pattern, name, wanted);
}

static void test_globs(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool wanted;
    } cases[] = {
        {"web@a", "web@a", true},
        {"web@a", "web@A", false},
        {"web@a", "web@ab", false},
        {"web@ab", "web@a", false},
        {"web@*", "web@a", true},
        {"web@*", "web@a.example.org", true},
        {"web@*", "web@", true},
        {"web@*", "web", false},
        {"web@*", "web1@a", false},
        {"web@*", "@a", false},
        {"web*@*", "web@a", true},
        {"web*@*", "web-12@a", true},
        {"web*@*", "aweb@a", false},
        {"*@*", "web@a", true},
        {"*@*", "@a", true},
        {"*@*", "@", true},
        {"*@*", "", false},
        {"*@*", "web", false},
        {"*@*", "a@b@c", false},
        {"a*@c", "a@b@c", false},
        {"a@*", "a@b@c", false},
        {"*@c", "a@b@c", false},
        {"*@host", "@host", true},
        {"*@host", "a@host", true},
        {"web@*", "@host", false},
        {"?@host", "@host", false},
        {"@*", "@host", true},
        {"@*", "a@host", false},
        {"w?b@a", "web@a", true},
        {"w?b@a", "wb@a", false},
        {"w?b@a", "weeb@a", false},
        {"w?@a", "w@@a", false},
        {"web?a", "web@a", false},
        {"a*b*c@d", "abc@d", true},
        {"a*b*c@d", "axbxbxc@d", true},
        {"a*b*c@d", "axcxb@d", false},
        {"*a@d", "baaa@d", true},
        {"*ab@d", "aaab@d", true},
        {"*ab@d", "aaba@d", false},
        {"*aab@*bba", "aaaab@abbba", true},
        {"**@**", "a@b", true},
        {"*?@?*", "a@b", true},
        {"*?@?*", "@b", false},
        {"web@*.a.org", "web@b.a.org", true},
        {"web@*.a.org", "web@a.org", false},
        {"web@*.a.org", "web@b.a.org.evil", false},
        {"*@b", "a\x01@b", false},
        {"?@b", "\x7f@b", false},
        {"*@b", "\xc3\xb8@b", true},
        {"?"
         "?@b",
         "\xc3\xb8@b", true},
        {"[a-z]@b", "c@b", false},
        {"\\*@b", "*@b", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_glob(cases[i].pattern, cases[i].name, cases[i].wanted);
    assert_true(dg_glob_matches("a@b", "a@bc", 3));
    assert_false(dg_glob_matches("a@b", "a@b\0", 4));
    assert_false(dg_glob_matches("a@b*", "a@b\0", 4));
}

/* Only the last star is tried again, so no pattern takes long. */
static void test_glob_of_many_stars(void **state)
{
    char pattern[512], name[1021];

    (void)state;
    for (size_t i = 0; i < 250; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    memcpy(pattern + 500, "b@c", sizeof "b@c");
    memset(name, 'a', sizeof name);
    assert_false(dg_glob_matches(pattern, name, sizeof name - 1));
}

/* Who is let in, and why not. */

#define HEAD "version = 1;\nprofiles: { p: {\n" /* what follows is on line 3 */
#define TAIL "\n}; };\n"
#define KEY_A "sha256:4141414141414141414141414141414141414141414141414141414141414141"

static void assert_admitted(const struct dg_policy *policy, const char *names, const char *reason)
{
    struct dg_identity identity = identity_of(names);
    struct dg_error error = {.text = ""};
    bool admitted = dg_policy_admits(policy, &identity, &error);

    dg_identity_clear(&identity);
    assert_message(&error, reason);
    assert_int_equal(admitted, reason[0] == '\0');
}

static void assert_admitted_as(const struct dg_policy *policy, const char *names, const char *name,
                               const char *reason)
{
    struct dg_identity identity = identity_of(names);
    struct dg_error error = {.text = ""};
    bool admitted = dg_policy_admits_node(policy, &identity, name, strlen(name), &error);

    dg_identity_clear(&identity);
    assert_message(&error, reason);
    assert_int_equal(admitted, reason[0] == '\0');
}

/* The log would show another name than the one that was judged. */
static void test_a_name_with_control_bytes_is_nobodys(void **state)
{
    static const char *const names[] = {"a\0b@web1", "a\n@web1", "\x7f@web1", "\x1b[2Ja@web1"};
    static const size_t sizes[] = {8, 7, 6, 10};
    struct dg_policy policy = {.node_names = DG_NODE_NAMES_OFF};
    struct dg_identity identity = identity_of("DNS:web1");

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        struct dg_error error = {.text = ""};

        assert_false(dg_policy_admits_node(&policy, &identity, names[i], sizes[i], &error));
        assert_string_equal(error.text, "the node name that it claims has a control byte in it");
    }
    dg_identity_clear(&identity);
}

#define STRANGER "its certificate matches no entry of peers (~:3)"

static void test_admits(void **state)
{
    static const struct {
        const char *entry, *names;
        bool wanted;
    } cases[] = {
        {"dns = \"a.b.c\";", "DNS:a.b.c", true},
        {"dns = \"a.b.c\";", "DNS:x DNS:A.B.C", true},
        {"dns = \"a.b.c\";", "DNS:*.b.c", false},
        {"dns = \"a.b.c\";", "URI:a.b.c", false},
        {"dns = \"a.b.c\";", "", false},
        {"dns = \"*.b.c\";", "DNS:a.b.c", true},
        {"dns = \"*.b.c\";", "DNS:*.b.c", true},
        {"dns = \"*.b.c\";", "DNS:a.a.b.c", false},
        {"ip = \"10.0.0.0/8\";", "IP:10.1.2.3", true},
        {"ip = \"10.0.0.0/8\";", "IP:192.0.2.1 IP:10.1.2.3", true},
        {"ip = \"10.0.0.0/8\";", "IP:192.0.2.1", false},
        {"ip = \"10.0.0.0/8\";", "DNS:10.1.2.3", false},
        {"ip = \"fd00::/8\";", "IP:fd12::1", true},
        {"ip = \"::/0\";", "IP:10.1.2.3", false},
        {"uri = \"u:v\";", "URI:w:x URI:u:v", true},
        {"uri = \"u:v\";", "URI:U:v", false},
        {"uri = \"spiffe://a/b\";", "URI:spiffe://a/b", true},
        {"uri = \"spiffe://a/b\";", "DNS:a URI:spiffe://a/b", true},
        {"uri = \"spiffe://a/b\";", "URI:spiffe://a/b URI:spiffe://a/c", false},
        {"uri = \"spiffe://a/b\";", "URI:spiffe://a/b URI:u:v", false},
        {"uri = \"spiffe://a/*\";", "URI:spiffe://a/b", true},
        {"uri = \"spiffe://a/*\";", "URI:spiffe://a/b URI:spiffe://a/c", false},
        {"uri = \"spiffe://a/*\";", "URI:spiffe://a/b/c", false},
        {"spki = \"" KEY_A "\";", "KEY:A", true},
        {"spki = \"" KEY_A "\";", "KEY:B", false},
        {"spki = \"" KEY_A "\";", "", false},
        {"dns = \"a\"; spki = \"" KEY_A "\";", "DNS:a KEY:A", true},
        {"dns = \"a\"; spki = \"" KEY_A "\";", "DNS:a KEY:B", false},
        {"dns = \"a\"; spki = \"" KEY_A "\";", "DNS:b KEY:A", false},
        {"dns = \"a\"; ip = \"::1\"; uri = \"u:v\";", "DNS:a IP:::1 URI:u:v", true},
        {"dns = \"a\"; ip = \"::1\"; uri = \"u:v\";", "DNS:a IP:::1", false},
        {"dns = \"a\"; ip = \"::1\"; uri = \"u:v\";", "DNS:a URI:u:v", false},
        {"dns = \"a\"; ip = \"::1\"; uri = \"u:v\";", "IP:::1 URI:u:v", false},
        {"dns = \"z\"; }, { dns = \"a\";", "DNS:a", true},
        {"dns = \"a\"; nodes = \"web@*\";", "DNS:a", true}, /* for it may be one of them */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[TEXT_SIZE];
        struct dg_policy *policy;

        (void)snprintf(text, sizeof text, HEAD "peers = ( { %s } );" TAIL, cases[i].entry);
        policy = policy_of(text);
        assert_admitted(policy, cases[i].names, cases[i].wanted ? "" : STRANGER);
        dg_policy_free(policy);
    }
}

static void test_without_peers(void **state)
{
    struct dg_policy *policy = policy_of(HEAD TAIL);

    (void)state;
    assert_admitted(policy, "", "");
    assert_admitted(policy, "DNS:a", "");
    dg_policy_free(policy);
}

#define NOT_HOST "its certificate is not for the host it claims (node_names = host, the default)"
#define NO_HOST "the node name that it claims has no host (node_names = host, the default)"

static void test_node_names_host(void **state)
{
    struct dg_policy *policy = policy_of(HEAD TAIL);

    (void)state;
    assert_admitted_as(policy, "DNS:web1.example.org", "web@web1.example.org", "");
    assert_admitted_as(policy, "DNS:*.example.org", "web@web1.example.org", "");
    assert_admitted_as(policy, "DNS:web1", "web@web1", "");
    assert_admitted_as(policy, "IP:10.0.0.1", "web@10.0.0.1", "");
    assert_admitted_as(policy, "IP:fd00::1", "web@fd00::1", "");
    assert_admitted_as(policy, "DNS:web1", "@web1", "");
    assert_admitted_as(policy, "DNS:web1", "web@web2", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1.example.org", "web@web1", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1", "@web2", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1", "web@", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1", "evil@web1@web2", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1", "evil@web2@web1", NOT_HOST);
    assert_admitted_as(policy, "URI:erlang:web@web1", "web@web1", NOT_HOST);
    assert_admitted_as(policy, "", "web@web1", NOT_HOST);
    assert_admitted_as(policy, "DNS:web1", "web1", NO_HOST);
    assert_admitted_as(policy, "DNS:web1", "", NO_HOST);
    dg_policy_free(policy);
    policy = policy_of(HEAD "\nnode_names = \"host\";" TAIL);
    assert_admitted_as(policy, "DNS:web1", "web@web2",
                       "its certificate is not for the host it claims (node_names = host, ~:4)");
    dg_policy_free(policy);
}

#define NOT_EXACT "its certificate does not have the node name it claims (node_names = exact, ~:3)"
#define DYNAMIC                                                                                    \
    "it has no node name of its own, which a certificate could have (node_names = exact, ~:3)"

static void test_node_names_exact(void **state)
{
    struct dg_policy *policy = policy_of(HEAD "node_names = \"exact\";" TAIL);

    (void)state;
    assert_admitted_as(policy, "URI:erlang:web@web1", "web@web1", "");
    assert_admitted_as(policy, "URI:u:v URI:erlang:api@web1 URI:erlang:web@web1", "web@web1", "");
    assert_admitted_as(policy, "URI:erlang:web@web1", "web@web2", NOT_EXACT);
    assert_admitted_as(policy, "URI:erlang:web@web1", "web@web", NOT_EXACT);
    assert_admitted_as(policy, "URI:erlang:web@web1", "web@web11", NOT_EXACT);
    assert_admitted_as(policy, "URI:erlang:web@web1", "Web@web1", NOT_EXACT);
    assert_admitted_as(policy, "URI:erlang:web@web1", "", NOT_EXACT);
    assert_admitted_as(policy, "URI:Erlang:web@web1", "web@web1", NOT_EXACT);
    assert_admitted_as(policy, "URI:web@web1", "web@web1", NOT_EXACT);
    assert_admitted_as(policy, "DNS:web1", "web@web1", NOT_EXACT);
    assert_admitted_as(policy, "URI:erlang:@web1", "@web1", DYNAMIC);
    dg_policy_free(policy);
}

static void test_node_names_off(void **state)
{
    struct dg_policy *policy = policy_of(HEAD "node_names = \"off\";" TAIL);

    (void)state;
    assert_admitted_as(policy, "DNS:web1", "web@elsewhere", "");
    assert_admitted_as(policy, "", "@elsewhere", "");
    dg_policy_free(policy);
}

/* The first entry that matches decides, also where a later one would let it in. */
static void test_nodes(void **state)
{
    struct dg_policy *policy =
        policy_of(HEAD "peers = ( { dns = \"*.web.org\"; nodes = \"web@*\"; },\n"
                       "{ dns = \"*.api.org\"; nodes = [ \"api@*\", \"*@b.api.org\" ]; },\n"
                       "{ dns = \"a.all.org\"; },\n"
                       "{ ip = \"0.0.0.0/0\"; nodes = \"*@*\"; } );\nnode_names = \"off\";" TAIL);
    static const char web_only[] = "entry of peers at ~:3 lets it be web@* only";
    static const char api_only[] = "entry of peers at ~:4 lets it be api@*, *@b.api.org only";

    (void)state;
    assert_admitted_as(policy, "DNS:a.web.org", "web@anywhere", "");
    assert_admitted_as(policy, "DNS:a.web.org", "api@a.web.org", web_only);
    assert_admitted_as(policy, "DNS:a.web.org", "@a.web.org", web_only);
    assert_admitted_as(policy, "DNS:a.web.org IP:10.0.0.1", "api@a.web.org", web_only);
    assert_admitted_as(policy, "DNS:a.web.org DNS:a.api.org", "api@a.api.org", web_only);
    assert_admitted_as(policy, "DNS:a.api.org", "api@a", "");
    assert_admitted_as(policy, "DNS:a.api.org", "@b.api.org", "");
    assert_admitted_as(policy, "DNS:a.api.org", "web@a.api.org", api_only);
    assert_admitted_as(policy, "DNS:a.all.org", "anything", "");
    assert_admitted_as(policy, "IP:10.0.0.1", "@a", "");
    assert_admitted_as(policy, "IP:10.0.0.1", "a", "entry of peers at ~:6 lets it be *@* only");
    assert_admitted_as(policy, "DNS:a.db.org", "db@a.db.org", STRANGER);
    dg_policy_free(policy);
}

/* Both must hold: the entry's nodes, and then node_names. */
static void test_nodes_and_node_names(void **state)
{
    struct dg_policy *policy =
        policy_of(HEAD "peers = ( { dns = \"*.web.org\"; nodes = \"web@*\"; } );" TAIL);

    (void)state;
    assert_admitted_as(policy, "DNS:a.web.org", "web@a.web.org", "");
    assert_admitted_as(policy, "DNS:a.web.org", "web@b.web.org", NOT_HOST);
    assert_admitted_as(policy, "DNS:a.web.org", "api@a.web.org",
                       "entry of peers at ~:3 lets it be web@* only");
    dg_policy_free(policy);
}

static void test_reason_of_many_nodes(void **state)
{
    char text[TEXT_SIZE];
    int used = snprintf(text, sizeof text, HEAD "peers = ( { dns = \"a\"; nodes = [ \"n@a\"");
    struct dg_identity identity = identity_of("DNS:a");
    struct dg_policy *policy;
    struct dg_error error;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, ", \"node-of-a-tier@*\"");
    (void)snprintf(text + used, sizeof text - (size_t)used, " ]; } );" TAIL);
    policy = policy_of(text);
    assert_false(dg_policy_admits_node(policy, &identity, "x@a", 3, &error));
    assert_non_null(strstr(error.text, "lets it be n@a, node-of-a-tier@*, "));
    dg_identity_clear(&identity);
    dg_policy_free(policy);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, policy_file_make, policy_file_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_are_not_terminated),
        cmocka_unit_test(test_against_openssl),
        cmocka_unit_test(test_hostname_patterns),
        cmocka_unit_test(test_uris),
        cmocka_unit_test(test_uri_limits),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_globs),
        cmocka_unit_test(test_glob_of_many_stars),
        cmocka_unit_test(test_a_name_with_control_bytes_is_nobodys),
        IN_FOLDER(test_admits),
        IN_FOLDER(test_without_peers),
        IN_FOLDER(test_node_names_host),
        IN_FOLDER(test_node_names_exact),
        IN_FOLDER(test_node_names_off),
        IN_FOLDER(test_nodes),
        IN_FOLDER(test_nodes_and_node_names),
        IN_FOLDER(test_reason_of_many_nodes),
    };

    return cmocka_run_group_tests_name("policy/identity", tests, NULL, NULL);
}
