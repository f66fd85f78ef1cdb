/* Who may join, as shim.conf says it: what the loader makes of it, and the exact words with which
 * it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "policy/policy.h"
#include "tests/unit/support/policy_file.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TEXT_SIZE 4096

#define HEAD "version = 1;\nprofiles: { p: {\n" /* what follows is on line 3 */
#define TAIL "\n}; };\n"

#define HEX "sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_UPPER "sha256:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
#define BASE64 "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

#define SPKI(pin) ("spki = \"" pin "\";")

/* What is accepted. */

static void test_entries(void **state)
{
    struct dg_policy *policy =
        policy_of(HEAD "peers = (\n"
                       "{ dns = \"*.Web.example.org\"; nodes = \"web@*\"; },\n"
                       "{ ip = \"10.0.0.0/8\"; uri = \"spiffe://example.org/web/*\";\n"
                       "  nodes = [ \"a@*\", \"b@?.example.org\" ]; },\n\n"
                       "{ spki = \"" HEX "\"; nodes = ( \"@*\" ); } );" TAIL);
    const struct dg_peer_list *peers = &policy->peers;
    char text[DG_NETWORK_TEXT];

    (void)state;
    assert_true(peers->given);
    assert_int_equal(peers->count, 3);
    assert_int_equal(peers->place.line, 3);
    assert_string_equal(peers->place.file, policy_file_path());

    assert_string_equal(peers->rules[0].dns, "*.Web.example.org");
    assert_int_equal(peers->rules[0].ip.host.family, DG_FAMILY_NONE);
    assert_null(peers->rules[0].uri);
    assert_false(peers->rules[0].pinned);
    assert_int_equal(peers->rules[0].nodes.count, 1);
    assert_string_equal(peers->rules[0].nodes.strings[0], "web@*");
    assert_int_equal(peers->rules[0].place.line, 4);
    assert_string_equal(peers->rules[0].place.file, policy_file_path());

    assert_null(peers->rules[1].dns);
    dg_network_print(&peers->rules[1].ip, text);
    assert_string_equal(text, "10.0.0.0/8");
    assert_string_equal(peers->rules[1].uri, "spiffe://example.org/web/*");
    assert_int_equal(peers->rules[1].nodes.count, 2);
    assert_string_equal(peers->rules[1].nodes.strings[1], "b@?.example.org");
    assert_int_equal(peers->rules[1].place.line, 5);

    assert_true(peers->rules[2].pinned);
    assert_int_equal(peers->rules[2].spki[31], 31);
    assert_int_equal(peers->rules[2].place.line, 8);
    assert_string_equal(peers->rules[2].nodes.strings[0], "@*");
    dg_policy_free(policy);
}

static void assert_entries(size_t count, const char *before, const char *entries, const char *after)
{
    char text[TEXT_SIZE];
    struct dg_policy *policy;

    (void)snprintf(text, sizeof text, HEAD "peers = ( %s%s%s );" TAIL, before, entries, after);
    policy = policy_of(text);
    assert_int_equal(policy->peers.count, count);
    dg_policy_free(policy);
}

static void test_good_entries(void **state)
{
    static const char *const entries[] = {
        "dns = \"web1\";",
        "dns = \"WEB-1.example.org\";",
        "dns = \"xn--bcher-kva.example\";",
        "dns = \"*.lan\";",
        "ip = \"10.0.0.5\";",
        "ip = \"fd00::/8\";",
        "uri = \"erlang:web@web1.example.org\";",
        "uri = \"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6\";",
        "uri = \"spiffe://example.org/a/B-1_2.3\";",
        "uri = \"spiffe://td_1-2.example/*\";",
        SPKI(HEX_UPPER),
        SPKI(BASE64),
        "dns = \"a\"; ip = \"::1\"; uri = \"u:v\"; nodes = \"*@*\";",
        "dns = \"a\"; nodes = \"a?-*@web?.example.org\";",
        "dns = \"a\"; nodes = \"j\xc3\xb8rn@*\";",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(entries); i++)
        assert_entries(1, "{ ", entries[i], " }");
}

/* The first entry that matches counts, so a wider one may follow. */
static void test_good_orders(void **state)
{
    static const char *const lists[] = {
        "{ dns = \"a.b.c\"; }, { dns = \"*.b.c\"; }",
        "{ dns = \"*.b.c\"; }, { dns = \"*.a.b.c\"; }",
        "{ ip = \"10.0.0.0/16\"; }, { ip = \"10.0.0.0/8\"; }",
        "{ ip = \"10.0.0.0/8\"; }, { ip = \"fd00::/8\"; }",
        "{ ip = \"10.0.0.0/8\"; }, { dns = \"a\"; }",
        "{ uri = \"spiffe://a/b/c\"; }, { uri = \"spiffe://a/b/*\"; }",
        "{ uri = \"spiffe://a/*\"; }, { uri = \"spiffe://a/b/c\"; }",
        "{ dns = \"a\"; spki = \"" HEX "\"; }, { dns = \"a\"; }",
        "{ spki = \"" HEX "\"; }, { dns = \"a\"; }",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++)
        assert_entries(2, "", lists[i], "");
}

static void test_words(void **state)
{
    static const struct {
        const char *text;
        enum dg_mode mode;
        enum dg_node_names node_names;
        enum dg_tls_version version;
    } cases[] = {
        {"mode = \"off\"; node_names = \"host\"; tls: { min_version = \"1.3\"; };", DG_MODE_OFF,
         DG_NODE_NAMES_HOST, DG_TLS_1_3},
        {"mode = \"allow\"; node_names = \"exact\"; tls: { min_version = \"1.2\"; };",
         DG_MODE_ALLOW, DG_NODE_NAMES_EXACT, DG_TLS_1_2},
        {"mode = \"prefer\"; node_names = \"off\";", DG_MODE_PREFER, DG_NODE_NAMES_OFF, DG_TLS_1_3},
        {"mode = \"require\";", DG_MODE_REQUIRE, DG_NODE_NAMES_HOST, DG_TLS_1_3},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[TEXT_SIZE];
        struct dg_policy *policy;

        (void)snprintf(text, sizeof text, HEAD "%s" TAIL, cases[i].text);
        policy = policy_of(text);
        assert_int_equal(policy->mode, cases[i].mode);
        assert_int_equal(policy->node_names, cases[i].node_names);
        assert_int_equal(policy->tls.min_version, cases[i].version);
        dg_policy_free(policy);
    }
    assert_string_equal(dg_mode_name(DG_MODE_ALLOW), "allow");
    assert_string_equal(dg_mode_name(DG_MODE_PREFER), "prefer");
    assert_string_equal(dg_node_names_name(DG_NODE_NAMES_EXACT), "exact");
    assert_string_equal(dg_tls_version_name(DG_TLS_1_2), "1.2");
}

static void test_tls(void **state)
{
    struct dg_policy *policy =
        policy_of(HEAD "\nnode_names = \"exact\"; tls: { crl = \"/etc/crl.pem\"; rekey_bytes = "
                       "274877906944L; keyupdate_limit = 1000; };" TAIL);

    (void)state;
    assert_int_equal(policy->node_names_place.line, 4);
    assert_string_equal(policy->tls.crl, "/etc/crl.pem");
    assert_int_equal(policy->tls.rekey_bytes, 274877906944);
    assert_int_equal(policy->tls.keyupdate_limit, 1000);
    dg_policy_free(policy);
    policy = policy_of(HEAD "tls: { rekey_bytes = 65536; keyupdate_limit = 1; };" TAIL);
    assert_int_equal(policy->tls.rekey_bytes, 65536);
    assert_int_equal(policy->tls.keyupdate_limit, 1);
    dg_policy_free(policy);
}

/* A list of one's own replaces the inherited one, whole. */
static void test_inherit(void **state)
{
    static const char base[] =
        "base: { node_names = \"off\"; peers = ( { dns = \"a\"; nodes = \"a@*\"; },\n"
        "{ dns = \"b\"; } ); };";
    char text[TEXT_SIZE];
    struct dg_policy *policy;

    (void)state;
    (void)snprintf(text, sizeof text,
                   "version = 1; default_profile = \"p\"; profiles: {\np: { inherit = \"base\"; "
                   "};\n%s };",
                   base);
    policy = policy_of(text);
    assert_int_equal(policy->peers.count, 2);
    assert_string_equal(policy->peers.rules[0].dns, "a");
    assert_int_equal(policy->peers.rules[1].place.line, 4);
    assert_int_equal(policy->node_names, DG_NODE_NAMES_OFF);
    dg_policy_free(policy);
    (void)snprintf(text, sizeof text,
                   "version = 1; default_profile = \"p\"; profiles: {\np: { inherit = \"base\"; "
                   "peers = ( { ip = \"::1\"; } ); };\n%s };",
                   base);
    policy = policy_of(text);
    assert_int_equal(policy->peers.count, 1);
    assert_null(policy->peers.rules[0].dns);
    assert_int_equal(policy->peers.rules[0].nodes.count, 0);
    dg_policy_free(policy);
}

/* What is refused. */

#define DNS_ALLOWED                                                                                \
    "; allowed: a host name of letters, digits and hyphens, or one whose first label is *, such "  \
    "as \"*.web.example.org\""
#define IP_ALLOWED "; allowed: an address, or a network such as \"10.0.0.0/8\""
#define URI_ALLOWED                                                                                \
    "; allowed: a URI; only that of a SPIFFE ID may end in a wildcard, such as "                   \
    "\"spiffe://example.org/web/*\""
#define SPKI_ALLOWED                                                                               \
    "; allowed: the SHA-256 of the public key, as \"sha256:\" and 64 hexadecimal digits, or "      \
    "\"sha256/\" and base64"
#define NODES_ALLOWED "; allowed: a pattern of node names, such as \"web@*\", or an array of them"
#define SEGMENT                                                                                    \
    "has a path segment that is empty, a dot, two dots, or has other bytes than letters, digits, " \
    "dots, hyphens and underscores"
#define DOMAIN_BYTES                                                                               \
    "has a trust domain of more than lower-case letters, digits, dots, hyphens and underscores "   \
    "(no user, no port)"
#define URI_BYTES                                                                                  \
    "has a blank, a control or a non-ASCII character; write it percent-encoded, as %20"

/* One value of an entry, and what is said of it. */
static const struct {
    const char *key, *value, *what, *allowed;
} wrong_values[] = {
    {"dns", "\"\"", "\"\" is no host name", DNS_ALLOWED},
    {"dns", "\".\"", "\".\" is no host name", DNS_ALLOWED},
    {"dns", "\"a.\"", "\"a.\" is no host name", DNS_ALLOWED},
    {"dns", "\".a\"", "\".a\" is no host name", DNS_ALLOWED},
    {"dns", "\"a..b\"", "\"a..b\" is no host name", DNS_ALLOWED},
    {"dns", "\"-a.b\"", "\"-a.b\" is no host name", DNS_ALLOWED},
    {"dns", "\"a-.b\"", "\"a-.b\" is no host name", DNS_ALLOWED},
    {"dns", "\"a_b.c\"", "\"a_b.c\" is no host name", DNS_ALLOWED},
    {"dns", "\"a b\"", "\"a b\" is no host name", DNS_ALLOWED},
    {"dns", "\"web@a\"", "\"web@a\" is no host name", DNS_ALLOWED},
    {"dns", "\"*\"", "\"*\" has a * that is not the whole first label of a host name", DNS_ALLOWED},
    {"dns", "\"*.\"", "\"*.\" has a * that is not the whole first label of a host name",
     DNS_ALLOWED},
    {"dns", "\"w*.a.b\"", "\"w*.a.b\" has a * that is not the whole first label of a host name",
     DNS_ALLOWED},
    {"dns", "\"*w.a.b\"", "\"*w.a.b\" has a * that is not the whole first label of a host name",
     DNS_ALLOWED},
    {"dns", "\"a.*.b\"", "\"a.*.b\" has a * that is not the whole first label of a host name",
     DNS_ALLOWED},
    {"dns", "\"*.*.b\"", "\"*.*.b\" has a * that is not the whole first label of a host name",
     DNS_ALLOWED},
    {"dns", "\"10.0.0.1\"", "\"10.0.0.1\" is an address; write ip = \"10.0.0.1\"", DNS_ALLOWED},
    {"dns", "\"fd00::/8\"", "\"fd00::/8\" is an address; write ip = \"fd00::/8\"", DNS_ALLOWED},
    {"dns",
     "\"b\xc3\xbc"
     "cher.example\"",
     "\"b\xc3\xbc"
     "cher.example\" is not ASCII; write it as certificates do, in A-labels (xn--…)",
     DNS_ALLOWED},
    {"dns", "[ \"a\" ]", "wrong type: an array [ ]", DNS_ALLOWED},
    {"dns", "1", "wrong type: a whole number", DNS_ALLOWED},
    {"ip", "\"10.0.0\"", "\"10.0.0\" is no address and no network", IP_ALLOWED},
    {"ip", "\"10.0.0.1/8\"", "\"10.0.0.1/8\" has bits set beyond its prefix, write \"10.0.0.0/8\"",
     IP_ALLOWED},
    {"ip", "\"::ffff:10.0.0.1\"",
     "\"::ffff:10.0.0.1\" is IPv4, written as IPv6, write \"10.0.0.1\"", IP_ALLOWED},
    {"ip", "\"web1\"", "\"web1\" is no address and no network", IP_ALLOWED},
    {"ip", "10", "wrong type: a whole number", IP_ALLOWED},
    {"uri", "\"\"", "\"\" is no URI: it has no scheme, as spiffe: or erlang:", URI_ALLOWED},
    {"uri", "\"example.org/a\"",
     "\"example.org/a\" is no URI: it has no scheme, as spiffe: or erlang:", URI_ALLOWED},
    {"uri", "\"erlang:\"",
     "\"erlang:\" is no URI: it has no scheme, as spiffe: or erlang:", URI_ALLOWED},
    {"uri", "\"erlang:a b\"", "\"erlang:a b\" " URI_BYTES, URI_ALLOWED},
    {"uri", "\"erlang:\xc3\xbc@a\"", "\"erlang:\xc3\xbc@a\" " URI_BYTES, URI_ALLOWED},
    {"uri", "\"erlang:*@a\"", "\"erlang:*@a\" has a wildcard, which only SPIFFE IDs can have",
     URI_ALLOWED},
    {"uri", "\"https://*.a/\"", "\"https://*.a/\" has a wildcard, which only SPIFFE IDs can have",
     URI_ALLOWED},
    {"uri", "\"SPIFFE://a/b\"", "\"SPIFFE://a/b\" does not begin with spiffe://, in lower case",
     URI_ALLOWED},
    {"uri", "\"spiffe:a/b\"", "\"spiffe:a/b\" does not begin with spiffe://, in lower case",
     URI_ALLOWED},
    {"uri", "\"spiffe://a\"", "\"spiffe://a\" names a trust domain, but nothing in it; add a path",
     URI_ALLOWED},
    {"uri", "\"spiffe:///b\"", "\"spiffe:///b\" has no trust domain", URI_ALLOWED},
    {"uri", "\"spiffe://A/b\"", "\"spiffe://A/b\" " DOMAIN_BYTES, URI_ALLOWED},
    {"uri", "\"spiffe://a:1/b\"", "\"spiffe://a:1/b\" " DOMAIN_BYTES, URI_ALLOWED},
    {"uri", "\"spiffe://u@a/b\"", "\"spiffe://u@a/b\" " DOMAIN_BYTES, URI_ALLOWED},
    {"uri", "\"spiffe://*/b\"", "\"spiffe://*/b\" " DOMAIN_BYTES, URI_ALLOWED},
    {"uri", "\"spiffe://a?q\"", "\"spiffe://a?q\" " DOMAIN_BYTES, URI_ALLOWED},
    {"uri", "\"spiffe://a/\"", "\"spiffe://a/\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/b/\"", "\"spiffe://a/b/\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a//b\"", "\"spiffe://a//b\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/./b\"", "\"spiffe://a/./b\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/b/..\"", "\"spiffe://a/b/..\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/b?q=1\"", "\"spiffe://a/b?q=1\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/b#f\"", "\"spiffe://a/b#f\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/b%2f\"", "\"spiffe://a/b%2f\" " SEGMENT, URI_ALLOWED},
    {"uri", "\"spiffe://a/*/b\"", "\"spiffe://a/*/b\" has a * that is not the whole last segment",
     URI_ALLOWED},
    {"uri", "\"spiffe://a/b*\"", "\"spiffe://a/b*\" has a * that is not the whole last segment",
     URI_ALLOWED},
    {"uri", "\"spiffe://a/**\"", "\"spiffe://a/**\" has a * that is not the whole last segment",
     URI_ALLOWED},
    {"uri", "true", "wrong type: a truth value", URI_ALLOWED},
    {"spki", "\"\"", "\"\" is no SHA-256", SPKI_ALLOWED},
    {"spki", "\"sha256:00\"", "\"sha256:00\" is no SHA-256", SPKI_ALLOWED},
    {"spki", "\"" HEX "00\"", "\"" HEX "00\" is no SHA-256", SPKI_ALLOWED},
    {"spki", "\"sha256/AAEC\"", "\"sha256/AAEC\" is no SHA-256", SPKI_ALLOWED},
    {"spki", "\"sha1/AAEC\"", "\"sha1/AAEC\" is no SHA-256", SPKI_ALLOWED},
    {"spki", "0", "wrong type: a whole number", SPKI_ALLOWED},
    {"nodes", "\"\"", "\"\" has no @; for any host write \"@*\"", NODES_ALLOWED},
    {"nodes", "\"web\"", "\"web\" has no @; for any host write \"web@*\"", NODES_ALLOWED},
    {"nodes", "\"web@\"", "\"web@\" has no host; for any host write \"web@*\"", NODES_ALLOWED},
    {"nodes", "\"a@b@c\"", "\"a@b@c\" has more than one @", NODES_ALLOWED},
    {"nodes", "\"a b@c\"", "\"a b@c\" has a blank or control character", NODES_ALLOWED},
    {"nodes", "\"a@b\\n\"", "\"a@b?\" has a blank or control character", NODES_ALLOWED},
    {"nodes", "[ ]", "empty, so it could be no node; to let it be any, leave nodes out",
     NODES_ALLOWED},
    {"nodes", "[ \"a@b\", \"c\" ]", "\"c\" has no @; for any host write \"c@*\"", NODES_ALLOWED},
    {"nodes", "( \"a@b\", 1 )", "wrong type: a whole number", NODES_ALLOWED},
    {"nodes", "{ }", "wrong type: a group { }", NODES_ALLOWED},
};

static void test_wrong_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong_values); i++) {
        char text[TEXT_SIZE], wanted[DG_ERROR_SIZE];

        (void)snprintf(text, sizeof text,
                       HEAD "peers = ( { dns = \"z\"; },\n{ %s%s = %s; } );" TAIL,
                       strcmp(wrong_values[i].key, "nodes") == 0 ? "dns = \"y\"; " : "",
                       wrong_values[i].key, wrong_values[i].value);
        (void)snprintf(wanted, sizeof wanted, "~:4: profiles.p.peers[1].%s: %s%s",
                       wrong_values[i].key, wrong_values[i].what, wrong_values[i].allowed);
        assert_policy_refused(text, wanted);
    }
}

#define PEERS_ALLOWED                                                                              \
    "; allowed: a list of groups, such as ( { dns = \"*.web.example.org\"; nodes = \"web@*\"; } )"
#define PEERS_EMPTY                                                                                \
    "~:3: profiles.p.peers: empty, so nobody could join; to let every certificate of the CA "      \
    "join, leave peers out" PEERS_ALLOWED
#define ENTRY_ALLOWED "allowed here: dns, ip, uri, spki, nodes"
#define NOT_A_GROUP "not a group; write { … } with any of: dns, ip, uri, spki, nodes"
#define NO_CRITERION                                                                               \
    "says of no certificate that it is meant; give at least one of: dns, ip, uri, spki"

struct refusal {
    const char *text, *message;
};

static void assert_all_refused(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[TEXT_SIZE];

        (void)snprintf(text, sizeof text, HEAD "%s" TAIL, refusals[i].text);
        assert_policy_refused(text, refusals[i].message);
    }
}

static void test_wrong_lists(void **state)
{
    static const struct refusal refusals[] = {
        {"peers = ();", PEERS_EMPTY},
        {"peers = [ ];", PEERS_EMPTY},
        {"peers = \"a\";", "~:3: profiles.p.peers: wrong type: text" PEERS_ALLOWED},
        {"peers = true;", "~:3: profiles.p.peers: wrong type: a truth value" PEERS_ALLOWED},
        {"peers = { dns = \"a\"; };",
         "~:3: profiles.p.peers: wrong type: a group { }" PEERS_ALLOWED},
        {"peers = [ \"a\" ];", "~:3: profiles.p.peers: wrong type: an array [ ]" PEERS_ALLOWED},
        {"peers = ( \"a\" );", "~:3: profiles.p.peers[0]: " NOT_A_GROUP},
        {"peers = ( { dns = \"a\"; },\n( ) );", "~:4: profiles.p.peers[1]: " NOT_A_GROUP},
        {"peers = ( { } );", "~:3: profiles.p.peers[0]: " NO_CRITERION},
        {"peers = (\n{ dns = \"a\"; },\n{ nodes = \"a@*\"; } );",
         "~:5: profiles.p.peers[1]: " NO_CRITERION},
        {"peers = ( { dns = \"a\";\ndsn = \"b\"; } );",
         "~:4: profiles.p.peers[0].dsn: unknown key; " ENTRY_ALLOWED},
        {"peers = ( { dns = \"a\";\nnode = \"b@*\"; } );",
         "~:4: profiles.p.peers[0].node: unknown key (did you mean nodes?); " ENTRY_ALLOWED},
        {"peers = ( { dns = \"a\"; mode = \"off\"; } );",
         "~:3: profiles.p.peers[0].mode: unknown key (did you mean nodes?); " ENTRY_ALLOWED},
        {"peers = ( { colour = \"red\"; } );",
         "~:3: profiles.p.peers[0].colour: unknown key; " ENTRY_ALLOWED},
        {"peers = ( { dns = \"a\"; dns = \"b\"; } );",
         "~:3: duplicate setting name; keep one of them"},
        {"peer = ( );",
         "~:3: profiles.p.peer: unknown key (did you mean peers?); allowed here: inherit, mode, "
         "local, peers, node_names, programs, distribution, epmd, tls, log"},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

#define NEVER(line)                                                                                \
    "never counts, because all its certificates match the entry at ~:" line " first; put the "     \
    "narrower one first, or make them one"

static void test_entries_that_never_count(void **state)
{
    static const char *const lists[][2] = {
        {"{ dns = \"a\"; }", "{ dns = \"A\"; nodes = \"a@*\"; }"},
        {"{ dns = \"*.a.b\"; }", "{ dns = \"c.a.b\"; }"},
        {"{ dns = \"*.a.b\"; }", "{ dns = \"*.A.b\"; ip = \"10.0.0.1\"; }"},
        {"{ ip = \"10.0.0.0/8\"; }", "{ ip = \"10.1.0.0/16\"; }"},
        {"{ ip = \"0.0.0.0/0\"; }", "{ ip = \"10.1.0.1\"; }"},
        {"{ uri = \"u:v\"; }", "{ uri = \"u:v\"; }"},
        {"{ uri = \"spiffe://a/b/*\"; }", "{ uri = \"spiffe://a/b/c\"; }"},
        {"{ uri = \"spiffe://a/b/*\"; }", "{ uri = \"spiffe://a/b/*\"; spki = \"" HEX "\"; }"},
        {"{ spki = \"" HEX "\"; }", "{ spki = \"" BASE64 "\"; dns = \"a\"; }"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        char text[TEXT_SIZE];

        (void)snprintf(text, sizeof text, HEAD "peers = ( { dns = \"z\"; },\n%s,\n%s );" TAIL,
                       lists[i][0], lists[i][1]);
        assert_policy_refused(text, "~:5: profiles.p.peers[2]: " NEVER("4"));
    }
}

#define NODE_NAMES_ALLOWED "; allowed: \"host\", \"exact\", \"off\""
#define VERSION_ALLOWED "; allowed: \"1.3\", \"1.2\""
#define REKEY_ALLOWED "; allowed: a whole number from 65536 to 274877906944L"
#define KEYUPDATES_ALLOWED "; allowed: a whole number from 1 to 1000"

static void test_wrong_settings(void **state)
{
    static const struct refusal refusals[] = {
        {"node_names = \"hosts\";", "~:3: profiles.p.node_names: unknown word \"hosts\" (did you "
                                    "mean \"host\"?)" NODE_NAMES_ALLOWED},
        {"node_names = false;",
         "~:3: profiles.p.node_names: wrong type: a truth value" NODE_NAMES_ALLOWED},
        {"\nnodenames = \"off\";",
         "~:4: profiles.p.nodenames: unknown key (did you mean node_names?); allowed here: "
         "inherit, mode, local, peers, node_names, programs, distribution, epmd, tls, log"},
        {"tls: { crl = \"crl.pem\"; };",
         "~:3: profiles.p.tls.crl: \"crl.pem\" does not begin with /; allowed: the absolute path "
         "of a PEM file"},
        {"tls: { crl = [ \"/crl.pem\" ]; };",
         "~:3: profiles.p.tls.crl: wrong type: an array [ ]; allowed: the absolute path of a PEM "
         "file"},
        {"tls: { min_version = \"1.1\"; };",
         "~:3: profiles.p.tls.min_version: unknown word \"1.1\" (did you mean "
         "\"1.3\"?)" VERSION_ALLOWED},
        {"tls: { min_version = \"TLSv1.2\"; };",
         "~:3: profiles.p.tls.min_version: unknown word \"TLSv1.2\"" VERSION_ALLOWED},
        {"tls: { min_version = 1.2; };",
         "~:3: profiles.p.tls.min_version: wrong type: a fraction" VERSION_ALLOWED},
        {"tls: { rekey_bytes = 65535; };",
         "~:3: profiles.p.tls.rekey_bytes: 65535 is not allowed" REKEY_ALLOWED},
        {"tls: { rekey_bytes = -1; };",
         "~:3: profiles.p.tls.rekey_bytes: -1 is not allowed" REKEY_ALLOWED},
        {"tls: { rekey_bytes = 274877906945L; };",
         "~:3: profiles.p.tls.rekey_bytes: 274877906945 is not allowed" REKEY_ALLOWED},
        {"tls: {\nrekey_bytes = 5000000000; };",
         "~:4: 5000000000 is more than 32 bits hold; write an L behind it"},
        {"tls: { rekey_bytes=0x100000000; };",
         "~:3: 0x100000000 is more than 32 bits hold; write an L behind it"},
        {"tls: { rekey_bytes = -2147483649; };",
         "~:3: -2147483649 is more than 32 bits hold; write an L behind it"},
        {"tls: { rekey_bytes = 99999999999999999999L; };",
         "~:3: 99999999999999999999L is more than 64 bits hold; write a smaller number"},
        {"tls: { rekey_bytes = 2147483647; keyupdate_limit = 0; }; # 5000000000\n",
         "~:3: profiles.p.tls.keyupdate_limit: 0 is not allowed" KEYUPDATES_ALLOWED},
        {"tls: { rekey_bytes = 0x10000; crl = \"5000000000\"; }; /* 5000000000 */\n",
         "~:3: profiles.p.tls.crl: \"5000000000\" does not begin with /; allowed: the absolute "
         "path of a PEM file"},
        {"tls: { rekey_bytes = 1e9; };",
         "~:3: profiles.p.tls.rekey_bytes: wrong type: a fraction" REKEY_ALLOWED},
        {"tls: { keyupdate_limit = 0; };",
         "~:3: profiles.p.tls.keyupdate_limit: 0 is not allowed" KEYUPDATES_ALLOWED},
        {"tls: { keyupdate_limit = 1001; };",
         "~:3: profiles.p.tls.keyupdate_limit: 1001 is not allowed" KEYUPDATES_ALLOWED},
        {"tls: { keyupdate_limit = \"10\"; };",
         "~:3: profiles.p.tls.keyupdate_limit: wrong type: text" KEYUPDATES_ALLOWED},
        {"tls: { keyupdates_limit = 10; };",
         "~:3: profiles.p.tls.keyupdates_limit: unknown key (did you mean keyupdate_limit?); "
         "allowed here: certificate, private_key, private_key_group_readable, ca, crl, "
         "min_version, handshake_timeout, max_handshakes, rekey_bytes, keyupdate_limit"},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

/* An entry's mistake is named where it stands, whoever inherits it. */
static void test_wrong_inherited_entry(void **state)
{
    (void)state;
    assert_policy_refused("version = 1; default_profile = \"p\"; profiles: { p: { inherit = "
                          "\"q\"; };\nq: { peers = ( { dns = \"a.\"; } ); }; };",
                          "~:2: profiles.q.peers[0].dns: \"a.\" is no host name" DNS_ALLOWED);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, policy_file_make, policy_file_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_entries),
        IN_FOLDER(test_good_entries),
        IN_FOLDER(test_good_orders),
        IN_FOLDER(test_words),
        IN_FOLDER(test_tls),
        IN_FOLDER(test_inherit),
        IN_FOLDER(test_wrong_values),
        IN_FOLDER(test_wrong_lists),
        IN_FOLDER(test_entries_that_never_count),
        IN_FOLDER(test_wrong_settings),
        IN_FOLDER(test_wrong_inherited_entry),
    };

    return cmocka_run_group_tests_name("policy/peers", tests, NULL, NULL);
}
