/* The policy loader: what it accepts, what it makes of it, and the exact words with which it
 * refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"

#define PATH_SIZE 256
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define HEAD "version = 1;\nprofiles: { p: {\n" /* what follows is on line 3 */
#define TAIL "\n}; };\n"

/*
 * libconfig 1.5 loses the text that it has just read when a syntax error comes next: a few bytes,
 * once, of a program that then does not start. Nothing else may leak.
 */
const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append";
}

const char *__lsan_default_options(void) __attribute__((visibility("default")));
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

/* One folder for each test; its files are removed with it. */
static char folder[PATH_SIZE];

static const char *in_folder(const char *name)
{
    static char path[2 * PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(in_folder(name), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_folder(name), 0600), 0);
}

static void write_file(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/test_policy.XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    unsetenv("DISTGUARD_CONF");
    unsetenv("DISTGUARD_PROFILE");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    char command[2 * PATH_SIZE];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct dg_policy *load(const char *file, const char *profile)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};

    if (dg_policy_load(file, profile, &policy, &error) != 0)
        fail_msg("cannot load: %s", error.text);
    assert_non_null(policy);
    return policy;
}

static struct dg_policy *load_text(const char *text)
{
    write_file("shim.conf", text);
    return load(in_folder("shim.conf"), NULL);
}

/* Replaces every "~" of `pattern` by the folder, so that messages can be written as they are. */
static void expand(char *text, size_t size, const char *pattern)
{
    size_t used = 0;

    for (; *pattern != '\0' && used + 1 < size; pattern++) {
        if (*pattern != '~') {
            text[used++] = *pattern;
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, "%s", folder);
    }
    text[used] = '\0';
}

/* The message must be `wanted`, where "~" stands for the folder. */
static void assert_refused(const char *file, const char *profile, const char *wanted)
{
    struct dg_policy *policy = (struct dg_policy *)folder;
    struct dg_error error = {.text = ""};
    char text[DG_ERROR_SIZE];

    expand(text, sizeof text, wanted);
    assert_int_equal(dg_policy_load(file, profile, &policy, &error), -1);
    assert_string_equal(error.text, text);
    assert_null(policy);
}

static void assert_text_refused(const char *text, const char *wanted)
{
    write_file("shim.conf", text);
    assert_refused(in_folder("shim.conf"), NULL, wanted);
}

/* What is accepted. */

static void test_defaults(void **state)
{
    struct dg_policy *policy = load_text("version = 1; profiles: { p: { }; };");

    (void)state;
    assert_string_equal(policy->file, in_folder("shim.conf"));
    assert_string_equal(policy->profile, "p");
    assert_int_equal(policy->mode, DG_MODE_REQUIRE);
    assert_int_equal(policy->local, DG_LOCAL_SAME_USER);
    assert_int_equal(policy->distribution.ports.count, 0);
    assert_int_equal(policy->epmd.port, 0);
    assert_int_equal(policy->epmd.remote_requests, DG_REMOTE_PORT_PLEASE | DG_REMOTE_NAMES);
    assert_string_equal(policy->tls.certificate, "/etc/distguard/node.pem");
    assert_string_equal(policy->tls.private_key, "/etc/distguard/node.key");
    assert_string_equal(policy->tls.ca, "/etc/distguard/ca.pem");
    assert_null(policy->tls.crl);
    assert_int_equal(policy->tls.min_version, DG_TLS_1_3);
    assert_int_equal(policy->tls.rekey_bytes, 68719476736);
    assert_int_equal(policy->tls.keyupdate_limit, 10);
    assert_true(policy->tls.handshake_timeout == 5.0);
    assert_int_equal(policy->tls.max_handshakes, 64);
    assert_false(policy->peers.given);
    assert_int_equal(policy->peers.count, 0);
    assert_int_equal(policy->node_names, DG_NODE_NAMES_HOST);
    assert_null(policy->node_names_place.file);
    assert_int_equal(policy->log.target, DG_LOG_TO_SYSLOG);
    assert_null(policy->log.file);
    assert_int_equal(policy->log.level, DG_LOG_INFO);
    assert_int_equal(policy->programs.count, 3);
    assert_string_equal(policy->programs.strings[0], "beam.smp");
    assert_string_equal(policy->programs.strings[1], "epmd");
    assert_string_equal(policy->programs.strings[2], "erl_call");
    dg_policy_free(policy);
}

static void test_every_key(void **state)
{
    struct dg_policy *policy = load_text(
        HEAD "mode = \"off\"; local = \"deny\"; programs = [ \"epmd\" ];\ndistribution: { ports = "
             "( \"9100-9110\", 4370, \"1\" ); }; epmd: { port = 4400; remote_requests = [ "
             "\"names\" ]; };\ntls: { certificate = "
             "\"/c\"; private_key = \"/k\"; ca = \"/a\";\nhandshake_timeout = 0.5; max_handshakes "
             "= 7; };\nlog: { "
             "target = \"/var/log/d\"; level = \"debug\"; };" TAIL);

    (void)state;
    assert_int_equal(policy->mode, DG_MODE_OFF);
    assert_int_equal(policy->local, DG_LOCAL_DENY);
    assert_int_equal(policy->programs.count, 1);
    assert_string_equal(policy->programs.strings[0], "epmd");
    assert_int_equal(policy->distribution.ports.count, 3);
    assert_int_equal(policy->distribution.ports.ranges[0].first, 9100);
    assert_int_equal(policy->distribution.ports.ranges[0].last, 9110);
    assert_int_equal(policy->distribution.ports.ranges[1].first, 4370);
    assert_int_equal(policy->distribution.ports.ranges[1].last, 4370);
    assert_int_equal(policy->distribution.ports.ranges[2].last, 1);
    assert_int_equal(policy->epmd.port, 4400);
    assert_int_equal(policy->epmd.remote_requests, DG_REMOTE_NAMES);
    assert_string_equal(policy->tls.certificate, "/c");
    assert_string_equal(policy->tls.private_key, "/k");
    assert_string_equal(policy->tls.ca, "/a");
    assert_true(policy->tls.handshake_timeout == 0.5);
    assert_int_equal(policy->tls.max_handshakes, 7);
    assert_int_equal(policy->log.target, DG_LOG_TO_FILE);
    assert_string_equal(policy->log.file, "/var/log/d");
    assert_int_equal(policy->log.level, DG_LOG_DEBUG);
    dg_policy_free(policy);
}

/* Forms of one and the same setting. */
static void test_forms(void **state)
{
    static const char *const texts[] = {
        "version = 1; profiles: { p: { tls: { handshake_timeout = 60; }; }; };",
        "version = 1L; profiles: { p: { tls: { handshake_timeout = 60.0; }; }; };",
        "version=1 profiles={p={tls={handshake_timeout=6e1}}}",
        "\tversion = 1;\r\nprofiles: {\r\n p: { tls: { handshake_timeout = 60L; }; };\r\n};\r\n",
        "# c\nversion = 1; // c\n/* c\n */profiles: { p: { tls: { handshake_timeout = 60 } } };",
        "version=1; profiles: { p: { tls: { handshake_timeout = 60; }; log: { }; epmd: { }; }; };",
        "version=1; profiles={p={tls={handshake_timeout=60}; distribution={ports=[]}; log={}}};",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct dg_policy *policy = load_text(texts[i]);

        if (policy->tls.handshake_timeout != 60)
            fail_msg("%s: got %g", texts[i], policy->tls.handshake_timeout);
        dg_policy_free(policy);
    }
}

static void test_the_reference_file(void **state)
{
    struct dg_policy *policy = load("shim.conf", NULL);

    (void)state;
    assert_string_equal(policy->profile, "production");
    assert_int_equal(policy->mode, DG_MODE_REQUIRE);
    dg_policy_free(policy);
    policy = load("shim.conf", "single-host");
    assert_int_equal(policy->mode, DG_MODE_REQUIRE);
    assert_int_equal(policy->epmd.bind.rules[0].kind, DG_BIND_LOOPBACK);
    dg_policy_free(policy);
    policy = load("shim.conf", "no-distribution");
    assert_false(policy->distribution.enabled);
    dg_policy_free(policy);
    policy = load("shim.conf", "development");
    assert_int_equal(policy->mode, DG_MODE_OFF);
    dg_policy_free(policy);
}

static void test_remote_requests(void **state)
{
    static const struct {
        const char *value;
        unsigned wanted;
    } cases[] = {
        {"[ ]", 0},
        {"( )", 0},
        {"[ \"port_please\" ]", DG_REMOTE_PORT_PLEASE},
        {"[ \"names\", \"names\" ]", DG_REMOTE_NAMES},
        {"( \"names\", \"port_please\" )", DG_REMOTE_PORT_PLEASE | DG_REMOTE_NAMES},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[PATH_SIZE];
        struct dg_policy *policy;

        (void)snprintf(text, sizeof text, HEAD "epmd: { remote_requests = %s; };" TAIL,
                       cases[i].value);
        policy = load_text(text);
        if (policy->epmd.remote_requests != cases[i].wanted)
            fail_msg("%s: got %#x, wanted %#x", cases[i].value, policy->epmd.remote_requests,
                     cases[i].wanted);
        dg_policy_free(policy);
    }
}

static int make_comma_locale(char *path, size_t size)
{
    char command[8 * PATH_SIZE];

    (void)snprintf(path, size, "%s/locale", folder);
    (void)snprintf(command, sizeof command,
                   "mkdir '%s' && localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1",
                   path, path);
    if (system(command) != 0 || setenv("LOCPATH", path, 1) != 0)
        return -1;
    return setlocale(LC_ALL, "de_DE.UTF-8") == NULL ? -1 : 0;
}

static void test_comma_decimal_locale(void **state)
{
    struct dg_policy *policy;
    char path[2 * PATH_SIZE], number[8];

    (void)state;
    if (make_comma_locale(path, sizeof path) != 0)
        skip();
    (void)snprintf(number, sizeof number, "%g", 0.5);
    policy = load_text(HEAD "tls: { handshake_timeout = 2.5; };" TAIL);
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    assert_string_equal(number, "0,5");
    assert_true(policy->tls.handshake_timeout == 2.5);
    dg_policy_free(policy);
}

/* What is refused. */

struct refusal {
    const char *text;
    const char *message; /* what follows the file's name */
};

static void assert_all_refused(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char wanted[DG_ERROR_SIZE];

        (void)snprintf(wanted, sizeof wanted, "~/shim.conf:%s", refusals[i].message);
        assert_text_refused(refusals[i].text, wanted);
    }
}

static void test_wrong_values(void **state)
{
    static const struct refusal refusals[] = {
        {HEAD "mode = \"on\";" TAIL, "3: profiles.p.mode: unknown word \"on\"; allowed: \"off\", "
                                     "\"allow\", \"prefer\", \"require\""},
        {HEAD "mode = \"required\";" TAIL,
         "3: profiles.p.mode: unknown word \"required\" (did you "
         "mean \"require\"?); allowed: \"off\", \"allow\", \"prefer\", \"require\""},
        {HEAD "mode = \"prefers\";" TAIL,
         "3: profiles.p.mode: unknown word \"prefers\" (did you mean "
         "\"prefer\"?); allowed: \"off\", \"allow\", \"prefer\", \"require\""},
        {HEAD "mode = true;" TAIL, "3: profiles.p.mode: wrong type: a truth value; allowed: "
                                   "\"off\", \"allow\", \"prefer\", \"require\""},
        {HEAD "mode = { };" TAIL, "3: profiles.p.mode: wrong type: a group { }; allowed: \"off\", "
                                  "\"allow\", \"prefer\", \"require\""},
        {HEAD "\nlocal = \"user\";" TAIL,
         "4: profiles.p.local: unknown word \"user\"; allowed: \"deny\", \"same-user\", \"allow\""},
        {HEAD "programs = [ ];" TAIL,
         "3: profiles.p.programs: empty, so nothing would be guarded; allowed: an array of base "
         "names of programs, such as [ \"beam.smp\", \"epmd\" ]"},
        {HEAD "programs = \"epmd\";" TAIL,
         "3: profiles.p.programs: wrong type: text; allowed: an array of base names of programs, "
         "such as [ \"beam.smp\", \"epmd\" ]"},
        {HEAD "programs = (\n\"epmd\",\n1);" TAIL,
         "5: profiles.p.programs: wrong type: a whole number; allowed: an array of base names of "
         "programs, such as [ \"beam.smp\", \"epmd\" ]"},
        {HEAD "programs = [\n\"/usr/bin/epmd\" ];" TAIL,
         "4: profiles.p.programs: \"/usr/bin/epmd\" is not the base name of a program; allowed: an "
         "array of base names of programs, such as [ \"beam.smp\", \"epmd\" ]"},
        {HEAD "programs = [ \"epmd\", \"\" ];" TAIL,
         "3: profiles.p.programs: \"\" is not the base name of a program; allowed: an array of "
         "base names of programs, such as [ \"beam.smp\", \"epmd\" ]"},
        {HEAD "tls: { certificate = \"node.pem\"; };" TAIL,
         "3: profiles.p.tls.certificate: \"node.pem\" does not begin with /; allowed: the absolute "
         "path of a PEM file"},
        {HEAD "tls: {\nprivate_key = \"\"; };" TAIL,
         "4: profiles.p.tls.private_key: \"\" does not begin with /; allowed: the absolute path of "
         "a PEM file"},
        {HEAD "tls: {\n\nca = 1.5; };" TAIL,
         "5: profiles.p.tls.ca: wrong type: a fraction; allowed: the absolute path of a PEM file"},
        {HEAD "epmd: { remote_requests = \"names\"; };" TAIL,
         "3: profiles.p.epmd.remote_requests: wrong type: text; allowed: \"port_please\", "
         "\"names\""},
        {HEAD "epmd: { remote_requests = [\n\"names\",\n\"kill\" ]; };" TAIL,
         "5: profiles.p.epmd.remote_requests: unknown word \"kill\"; allowed: \"port_please\", "
         "\"names\""},
        {HEAD "epmd: { remote_requests = [ \"port-please\" ]; };" TAIL,
         "3: profiles.p.epmd.remote_requests: unknown word \"port-please\" (did you mean "
         "\"port_please\"?); allowed: \"port_please\", \"names\""},
        {HEAD "epmd: { remote_requests = ( 1 ); };" TAIL,
         "3: profiles.p.epmd.remote_requests: wrong type: a whole number; allowed: "
         "\"port_please\", \"names\""},
        {HEAD "log: { target = \"journal\"; };" TAIL,
         "3: profiles.p.log.target: unknown target \"journal\"; allowed: \"syslog\", \"stderr\", "
         "or the absolute path of a file"},
        {HEAD "log: { level = \"warn\"; };" TAIL,
         "3: profiles.p.log.level: unknown word \"warn\"; allowed: \"debug\", \"info\", "
         "\"warning\", \"error\""},
        {HEAD "log: { level = \"warnin\"; };" TAIL,
         "3: profiles.p.log.level: unknown word \"warnin\" (did you mean \"warning\"?); allowed: "
         "\"debug\", \"info\", \"warning\", \"error\""},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

#define TIMEOUT(value) HEAD "tls: { handshake_timeout = " value "; };" TAIL
#define TIMEOUT_REFUSED(what)                                                                      \
    "3: profiles.p.tls.handshake_timeout: " what "; allowed: seconds, above 0 and up to 60"
#define HANDSHAKES(value) HEAD "tls: { max_handshakes = " value "; };" TAIL
#define HANDSHAKES_REFUSED(what)                                                                   \
    "3: profiles.p.tls.max_handshakes: " what "; allowed: a whole number from 1 to 1000"
#define EPMD_PORT(value) HEAD "epmd: { port = " value "; };" TAIL
#define EPMD_PORT_REFUSED(what)                                                                    \
    "3: profiles.p.epmd.port: " what "; allowed: a whole number from 1 to 65535"

static void test_wrong_numbers(void **state)
{
    static const struct refusal refusals[] = {
        {TIMEOUT("0"), TIMEOUT_REFUSED("0 is not allowed")},
        {TIMEOUT("-1"), TIMEOUT_REFUSED("-1 is not allowed")},
        {TIMEOUT("60.5"), TIMEOUT_REFUSED("60.5 is not allowed")},
        {TIMEOUT("1e400"), TIMEOUT_REFUSED("inf is not allowed")},
        {TIMEOUT("\"5\""), TIMEOUT_REFUSED("wrong type: text")},
        {HANDSHAKES("0"), HANDSHAKES_REFUSED("0 is not allowed")},
        {HANDSHAKES("1001"), HANDSHAKES_REFUSED("1001 is not allowed")},
        {HANDSHAKES("-1"), HANDSHAKES_REFUSED("-1 is not allowed")},
        {HANDSHAKES("4294967297L"), HANDSHAKES_REFUSED("4294967297 is not allowed")},
        {HANDSHAKES("64.0"), HANDSHAKES_REFUSED("wrong type: a fraction")},
        {HANDSHAKES("\"64\""), HANDSHAKES_REFUSED("wrong type: text")},
        {EPMD_PORT("0"), EPMD_PORT_REFUSED("0 is not allowed")},
        {EPMD_PORT("65536"), EPMD_PORT_REFUSED("65536 is not allowed")},
        {EPMD_PORT("-1"), EPMD_PORT_REFUSED("-1 is not allowed")},
        {EPMD_PORT("99999999999L"), EPMD_PORT_REFUSED("99999999999 is not allowed")},
        {EPMD_PORT("4369.0"), EPMD_PORT_REFUSED("wrong type: a fraction")},
        {EPMD_PORT("\"4369\""), EPMD_PORT_REFUSED("wrong type: text")},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_wrong_ports(void **state)
{
    static const char *const elements[][2] = {
        {"\"\"", "\"\" is neither a port nor a range of ports"},
        {"\"0\"", "\"0\" is neither a port nor a range of ports"},
        {"\"65536\"", "\"65536\" is neither a port nor a range of ports"},
        {"\"99999999999999999999\"",
         "\"99999999999999999999\" is neither a port nor a range of ports"},
        {"\"9110-9100\"", "\"9110-9100\" is neither a port nor a range of ports"},
        {"\"9100-\"", "\"9100-\" is neither a port nor a range of ports"},
        {"\"-9100\"", "\"-9100\" is neither a port nor a range of ports"},
        {"\"9100-9110-9120\"", "\"9100-9110-9120\" is neither a port nor a range of ports"},
        {"\" 9100\"", "\" 9100\" is neither a port nor a range of ports"},
        {"\"9100x\"", "\"9100x\" is neither a port nor a range of ports"},
        {"\"0x10\"", "\"0x10\" is neither a port nor a range of ports"},
        {"0", "0 is not a port"},
        {"65536", "65536 is not a port"},
        {"-1", "-1 is not a port"},
        {"1.5", "wrong type: a fraction"},
        {"[ 1 ]", "wrong type: an array [ ]"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(elements); i++) {
        char text[PATH_SIZE], wanted[DG_ERROR_SIZE];

        (void)snprintf(text, sizeof text, HEAD "distribution: { ports = (\n1,\n%s ); };" TAIL,
                       elements[i][0]);
        (void)snprintf(wanted, sizeof wanted,
                       "~/shim.conf:5: profiles.p.distribution.ports: %s; allowed: an array of "
                       "ports and ranges within 1 to 65535, such as [ \"9100-9110\", \"4370\" ]",
                       elements[i][1]);
        assert_text_refused(text, wanted);
    }
}

#define PROFILE_KEYS                                                                               \
    "inherit, mode, local, peers, node_names, programs, distribution, epmd, tls, log"
#define TLS_KEYS                                                                                   \
    "certificate, private_key, private_key_group_readable, ca, crl, min_version, "                 \
    "handshake_timeout, max_handshakes, rekey_bytes, keyupdate_limit"

static void test_unknown_keys(void **state)
{
    static const struct refusal refusals[] = {
        {"version = 1; profiles: { p: { }; };\ndefaultprofile = \"p\";",
         "2: defaultprofile: unknown key (did you mean default_profile?); allowed here: version, "
         "default_profile, profiles"},
        {"version = 1; profiles: { p: { }; };\nmode = \"off\";",
         "2: mode: unknown key; allowed here: version, default_profile, profiles"},
        {HEAD "mod = \"off\";" TAIL,
         "3: profiles.p.mod: unknown key (did you mean mode?); allowed here: " PROFILE_KEYS},
        {HEAD "colour = \"red\";" TAIL,
         "3: profiles.p.colour: unknown key; allowed here: " PROFILE_KEYS},
        {HEAD "tsl: { };" TAIL, "3: profiles.p.tsl: unknown key; allowed here: " PROFILE_KEYS},
        {HEAD "distribtion: { };" TAIL, "3: profiles.p.distribtion: unknown key (did you mean "
                                        "distribution?); allowed here: " PROFILE_KEYS},
        {HEAD "certificate = \"/c\";" TAIL, "3: profiles.p.certificate: unknown key (did you mean "
                                            "tls.certificate?); allowed here: " PROFILE_KEYS},
        {HEAD "tls: {\nprivatekey = \"/c\"; };" TAIL,
         "4: profiles.p.tls.privatekey: unknown key (did you mean private_key?); allowed "
         "here: " TLS_KEYS},
        {HEAD "tls: {\ncrls = \"/c\"; };" TAIL,
         "4: profiles.p.tls.crls: unknown key (did you mean crl?); allowed here: " TLS_KEYS},
        {HEAD "distribution: { binds = \"any\"; };" TAIL,
         "3: profiles.p.distribution.binds: unknown key (did you mean bind?); allowed here: "
         "enabled, bind, connect_from, allow_from, allow_to, ports"},
        {HEAD "epmd: { enabled = false; };" TAIL,
         "3: profiles.p.epmd.enabled: unknown key (did you mean distribution.enabled?); allowed "
         "here: bind, allow_from, allow_to, port, remote_requests"},
        {HEAD "tls = \"/c\";" TAIL,
         "3: profiles.p.tls: not a group; write tls: { … } with any of: " TLS_KEYS},
        {HEAD "log = [ 1 ];" TAIL,
         "3: profiles.p.log: not a group; write log: { … } with any of: target, level"},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

#define VERSION_REFUSED(what) "version: " what "; allowed: 1, the version of the file's format"
#define PROFILES_REFUSED(what)                                                                     \
    "profiles: " what "; allowed: profiles: { NAME: { … }; … }; with at least one profile"

static void test_wrong_frame(void **state)
{
    static const struct refusal refusals[] = {
        {"", "1: " VERSION_REFUSED("missing")},
        {"\n\n", "1: " VERSION_REFUSED("missing")},
        {"profiles: { p: { }; };", "1: " VERSION_REFUSED("missing")},
        {"\nversion = 2;", "2: " VERSION_REFUSED("2 is not allowed")},
        {"version = 0;", "1: " VERSION_REFUSED("0 is not allowed")},
        {"version = \"1\";", "1: " VERSION_REFUSED("wrong type: text")},
        {"\nversion = 2; brandnew = 1;", "2: " VERSION_REFUSED("2 is not allowed")},
        {"version = 1;", "1: " PROFILES_REFUSED("missing")},
        {"version = 1;\nprofiles: { };", "2: " PROFILES_REFUSED("holds no profile")},
        {"version = 1;\nprofiles = 1;", "2: " PROFILES_REFUSED("holds no profile")},
        {"version = 1; profiles: {\np = 1; };", "2: " PROFILES_REFUSED("p is not a group")},
        {"version = 1; profiles: { p: { }; };\ndefault_profile = \"\";",
         "2: default_profile: empty; allowed: the name of one of the profiles, in double quotes"},
        {"version = 1; profiles: { p: { }; q: { }; };\ndefault_profile = \"r\";",
         "2: default_profile: no profile \"r\"; this file has: p, q"},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

#define SYNTAX                                                                                      \
    "syntax error; a setting is NAME = VALUE; a group is NAME: { … }; and text stands in double " \
    "quotes (look at the end of the line before, too)"

static void test_syntax_errors(void **state)
{
    static const struct refusal refusals[] = {
        {HEAD "mode = off;" TAIL, "3: " SYNTAX},
        {HEAD "mode \"off\";" TAIL, "3: " SYNTAX},
        {HEAD "mode = \"off;" TAIL, "3: a text begins here and does not end; close it with \""},
        {HEAD "mode = \"\n\\\";" TAIL, "3: a text begins here and does not end; close it with \""},
        {HEAD "/* \"\n//" TAIL, "3: a comment begins here and does not end; close it with */"},
        {HEAD "mode = \"off\";", "3: " SYNTAX},
        {HEAD "mode = \"off\";\n\n\n", "5: " SYNTAX},
        {HEAD "programs = [ \"epmd\",\n1 ];" TAIL,
         "4: mismatched element type in array; [ ] takes values of one type, ( ) of several"},
        {HEAD "mode = \"off\";\nmode = \"require\";" TAIL,
         "4: duplicate setting name; keep one of them"},
        {HEAD "tls: { };\ntls: { };" TAIL, "4: duplicate setting name; keep one of them"},
        {"\xef\xbb\xbfversion = 1;", "1: " SYNTAX},
        {"version = 1;\n\xff\xfe\x80", "2: " SYNTAX},
    };

    (void)state;
    assert_all_refused(refusals, COUNT(refusals));
}

static void test_every_profile_is_checked(void **state)
{
    (void)state;
    write_file("shim.conf", "version = 1; profiles: { p: { };\nq: { mode = 1; }; };");
    assert_refused(in_folder("shim.conf"), "p",
                   "~/shim.conf:2: profiles.q.mode: wrong type: a whole number; allowed: \"off\", "
                   "\"allow\", \"prefer\", \"require\"");
}

static void test_terminal_is_not_steered(void **state)
{
    (void)state;
    assert_text_refused(HEAD "mode = \"\x1b[2J\x07\";" TAIL,
                        "~/shim.conf:3: profiles.p.mode: unknown word \"?[2J?\"; allowed: \"off\", "
                        "\"allow\", \"prefer\", \"require\"");
}

/* Which profile, which file. */

#define TWO_PROFILES "profiles: { p: { mode = \"off\"; }; q: { }; };"

static void assert_profile(const char *asked, const char *wanted)
{
    struct dg_policy *policy = load(in_folder("shim.conf"), asked);

    assert_string_equal(policy->profile, wanted);
    dg_policy_free(policy);
}

static void test_profile_choice(void **state)
{
    (void)state;
    write_file("shim.conf", "version = 1; default_profile = \"q\";" TWO_PROFILES);
    assert_profile(NULL, "q");
    assert_profile("p", "p");
    setenv("DISTGUARD_PROFILE", "p", 1);
    assert_profile(NULL, "p");
    assert_profile("q", "q");
    setenv("DISTGUARD_PROFILE", "", 1);
    assert_profile(NULL, "q");
}

static void test_only_profile(void **state)
{
    (void)state;
    write_file("shim.conf", "version = 1; profiles: { p: { }; };");
    assert_profile(NULL, "p");
}

static void test_no_profile_chosen(void **state)
{
    (void)state;
    assert_text_refused("version = 1;" TWO_PROFILES,
                        "~/shim.conf: no profile is chosen and the file has several; set "
                        "default_profile, or DISTGUARD_PROFILE, to one of: p, q");
}

static void test_unknown_profile(void **state)
{
    (void)state;
    write_file("shim.conf", "version = 1; default_profile = \"q\";" TWO_PROFILES);
    assert_refused(in_folder("shim.conf"), "r",
                   "~/shim.conf: no profile \"r\"; this file has: p, q");
    assert_refused(in_folder("shim.conf"), "", "~/shim.conf: no profile \"\"; this file has: p, q");
    setenv("DISTGUARD_PROFILE", "stag\ning", 1);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf: no profile \"stag?ing\" (DISTGUARD_PROFILE); this file has: p, q");
}

static void test_many_profiles_are_listed_in_part(void **state)
{
    char text[8192] = "version = 1; profiles: {";
    struct dg_policy *policy;
    struct dg_error error;

    (void)state;
    for (unsigned i = 0; i < 200; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "profile-%u: { };%s", i,
                       i == 199 ? "};" : "");
    write_file("shim.conf", text);
    assert_int_equal(dg_policy_load(in_folder("shim.conf"), NULL, &policy, &error), -1);
    assert_non_null(strstr(error.text, "profile-0, profile-1, profile-2"));
}

static void test_file_from_environment(void **state)
{
    struct dg_policy *policy;

    (void)state;
    write_file("shim.conf", "version = 1; profiles: { p: { }; };");
    setenv("DISTGUARD_CONF", in_folder("shim.conf"), 1);
    policy = load(NULL, NULL);
    assert_string_equal(policy->file, in_folder("shim.conf"));
    dg_policy_free(policy);
    setenv("DISTGUARD_CONF", in_folder("other.conf"), 1);
    policy = load(in_folder("shim.conf"), NULL);
    dg_policy_free(policy);
    assert_refused(NULL, NULL,
                   "~/other.conf: cannot open the policy file: No such file or directory; write "
                   "one, or name yours (DISTGUARD_CONF, or the tool's --conf)");
    setenv("DISTGUARD_CONF", "shim.conf", 1);
    assert_refused(NULL, NULL, "DISTGUARD_CONF=shim.conf: not an absolute path; begin it with /");
}

/* Which files are believed. */

static void test_permissions(void **state)
{
    (void)state;
    write_file("shim.conf", "version = 1; profiles: { p: { }; };");
    chmod(in_folder("shim.conf"), 0664);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf: the policy file can be written by others (mode 0664); do: chmod "
                   "go-w ~/shim.conf");
    chmod(in_folder("shim.conf"), 0646);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf: the policy file can be written by others (mode 0646); do: chmod "
                   "go-w ~/shim.conf");
    chmod(in_folder("shim.conf"), 0644);
    dg_policy_free(load(in_folder("shim.conf"), NULL));
}

static void test_kinds(void **state)
{
    char link[2 * PATH_SIZE];

    (void)state;
    assert_refused(folder, NULL, "~: the policy file is a directory; it must be a regular file");
    assert_refused("/dev/null", NULL,
                   "/dev/null: the policy file is a device; it must be a regular file");
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_refused(in_folder("pipe"), NULL,
                   "~/pipe: the policy file is a pipe; it must be a regular file");
    /* A symlink is followed, and what it leads to is checked. */
    write_file("shim.conf", "version = 1; profiles: { p: { }; };");
    (void)snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink(in_folder("shim.conf"), link), 0);
    dg_policy_free(load(link, NULL));
    chmod(in_folder("shim.conf"), 0602);
    assert_refused(
        link, NULL,
        "~/link: the policy file can be written by others (mode 0602); do: chmod go-w ~/link");
}

static void test_owner(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("shim.conf", "version = 1; profiles: { p: { }; };");
    assert_int_equal(chown(in_folder("shim.conf"), 4711, 0), 0);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf: the policy file belongs to user 4711; it must belong to root or "
                   "to the user who runs this (0): chown it");
    /* The effective user's own file is as good as root's. */
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(seteuid(4711), 0);
    dg_policy_free(load(in_folder("shim.conf"), NULL));
    assert_int_equal(seteuid(0), 0);
}

static void assert_checked(const char *name, enum dg_privacy privacy, const char *wanted)
{
    struct dg_error error = {.text = ""};
    char text[DG_ERROR_SIZE];
    FILE *file = fopen(in_folder(name), "r");
    int result;

    assert_non_null(file);
    result = dg_policy_check_file(fileno(file), in_folder(name), "private key", privacy, &error);
    fclose(file);
    expand(text, sizeof text, wanted);
    assert_string_equal(error.text, text);
    assert_int_equal(result, wanted[0] == '\0' ? 0 : -1);
}

static void test_owner_of_secret(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("key", "secret");
    assert_int_equal(chmod(in_folder("key"), 0400), 0);
    assert_int_equal(chown(in_folder("key"), 4711, 0), 0);
    assert_checked("key", DG_FILE_SECRET,
                   "~/key: the private key belongs to user 4711; it must belong to root or to the "
                   "user who runs this (0): chown it");
}

static void test_secret(void **state)
{
    (void)state;
    write_file("key", "");
    assert_checked("key", DG_FILE_SECRET, "");
    chmod(in_folder("key"), 0640);
    assert_checked("key", DG_FILE_SECRET,
                   "~/key: the private key is open to others (mode 0640); do: chmod 0600 ~/key");
    chmod(in_folder("key"), 0604);
    assert_checked("key", DG_FILE_SECRET,
                   "~/key: the private key is open to others (mode 0604); do: chmod 0600 ~/key");
}

/* Where the policy says so, a group may read root's key, and no more; and nobody else's. */
static void test_secret_of_group(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("key", "");
    chmod(in_folder("key"), 0640);
    assert_checked("key", DG_FILE_SECRET,
                   "~/key: the private key is open to others (mode 0640); do: chmod 0600 ~/key");
    assert_checked("key", DG_FILE_OF_GROUP, "");
    chmod(in_folder("key"), 0660);
    assert_checked("key", DG_FILE_OF_GROUP,
                   "~/key: the private key is open to others (mode 0660); do: chmod 0600 ~/key");
    chmod(in_folder("key"), 0644);
    assert_checked("key", DG_FILE_OF_GROUP,
                   "~/key: the private key is open to others (mode 0644); do: chmod 0600 ~/key");
    chmod(in_folder("key"), 0640);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chown(in_folder("key"), 4711, 0), 0);
    assert_int_equal(seteuid(4711), 0);
    assert_checked("key", DG_FILE_OF_GROUP,
                   "~/key: the private key is open to others (mode 0640); do: chmod 0600 ~/key");
    assert_int_equal(seteuid(0), 0);
}

static void test_closed_descriptor(void **state)
{
    struct dg_error error;

    (void)state;
    assert_int_equal(dg_policy_check_file(-1, "/k", "private key", DG_FILE_SECRET, &error), -1);
    assert_string_equal(error.text, "/k: cannot look at the private key: Bad file descriptor");
}

static void test_size(void **state)
{
    static const char text[] = "\nversion = 1; profiles: { p: { }; };";
    size_t size = (1 << 20) + 1, half = size / 2;
    char *bytes = malloc(size);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, '#', size);
    write_bytes("shim.conf", bytes, size);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf: larger than 1 MiB; is this a policy file?");
    memcpy(bytes + half, text, sizeof text);
    write_bytes("shim.conf", bytes, half + sizeof text - 1);
    free(bytes);
    dg_policy_free(load(in_folder("shim.conf"), NULL));
    write_file("both.conf", "@include \"shim.conf\"\n@include \"shim.conf\"\n");
    assert_refused(
        in_folder("both.conf"), NULL,
        "~/both.conf:2: @include: ~/shim.conf:1: the policy is larger than 1 MiB; make it "
        "smaller");
}

static void test_garbage(void **state)
{
    unsigned char bytes[4096];
    unsigned seed = 1;

    (void)state;
    assert_text_refused("", "~/shim.conf:1: " VERSION_REFUSED("missing"));
    write_bytes("shim.conf", "version = 1;\n\0", 14);
    assert_refused(in_folder("shim.conf"), NULL,
                   "~/shim.conf:2: a NUL byte; a policy is plain text");
    for (unsigned round = 0; round < 100; round++) {
        struct dg_policy *policy;
        struct dg_error error = {.text = ""};

        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (unsigned char)(seed >> 16);
        }
        write_bytes("shim.conf", bytes, 1 + seed % sizeof bytes);
        assert_int_equal(dg_policy_load(in_folder("shim.conf"), NULL, &policy, &error), -1);
        assert_string_not_equal(error.text, "");
    }
}

/* Includes. */

static void test_include(void **state)
{
    char text[4 * PATH_SIZE];
    struct dg_policy *policy;

    (void)state;
    mkdir(in_folder("d"), 0700);
    write_file("top.conf", "version = 1;");
    write_file("d/tls.conf", "tls: { ca = \"/a\";\n  @include \"d/more.conf\"\n};");
    write_file("d/more.conf", "certificate = \"/c\";");
    (void)snprintf(
        text, sizeof text,
        "@include \"top.conf\" /* @include \"no\" */\n/*\n@include \"nothing\"\n*/ # @include "
        "\"nothing\"\nprofiles: { p: {\n\t@include\t\"%s/d/tls.conf\" mode = \"off\";\n}; };",
        folder);
    policy = load_text(text);
    assert_string_equal(policy->tls.ca, "/a");
    assert_string_equal(policy->tls.certificate, "/c");
    assert_int_equal(policy->mode, DG_MODE_OFF);
    dg_policy_free(policy);
}

static void test_include_in_text_is_text(void **state)
{
    (void)state;
    assert_text_refused(HEAD "mode = \"\\\"\n@include \\\"x\\\"\n\";" TAIL,
                        "~/shim.conf:3: profiles.p.mode: unknown word \"\"?@include \"x\"?\"; "
                        "allowed: \"off\", \"allow\", \"prefer\", \"require\"");
}

static void test_errors_in_includes(void **state)
{
    static const char *const texts[][2] = {
        {"\nmod = \"off\";", "~/p.conf:2: profiles.p.mod: unknown key (did you mean mode?); "
                             "allowed here: " PROFILE_KEYS},
        {"\nmode = \"off\"\n);", "~/p.conf:3: " SYNTAX},
        {"local = \"deny\"; local = \"deny\";",
         "~/p.conf:1: duplicate setting name; keep one of them"},
        {"\n@include \"none.conf\"", "~/shim.conf:3: @include: ~/p.conf:2: @include: ~/none.conf: "
                                     "cannot open the policy file: No such file or directory"},
        {"@include \".\"", "~/shim.conf:3: @include: ~/p.conf:1: @include: ~/.: the policy file is "
                           "a directory; it must be a regular file"},
        {"@include \"none.conf",
         "~/shim.conf:3: @include: ~/p.conf:1: @include: the closing quote is missing"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_file("p.conf", texts[i][0]);
        assert_text_refused(HEAD "@include \"p.conf\"" TAIL, texts[i][1]);
    }
    /* Behind an include, lines are counted on. */
    write_file("p.conf", "\n\n\n\n");
    assert_text_refused(HEAD "@include \"p.conf\"\nmod = 1;" TAIL,
                        "~/shim.conf:4: profiles.p.mod: unknown key (did you mean mode?); allowed "
                        "here: " PROFILE_KEYS);
}

static void test_included_files_are_checked(void **state)
{
    (void)state;
    write_file("p.conf", "# not even a setting");
    chmod(in_folder("p.conf"), 0620);
    assert_text_refused(HEAD "@include \"p.conf\"" TAIL,
                        "~/shim.conf:3: @include: ~/p.conf: the policy file can be written by "
                        "others (mode 0620); do: chmod go-w ~/p.conf");
}

static void test_endless_include(void **state)
{
    struct dg_policy *policy;
    struct dg_error error;

    (void)state;
    write_file("shim.conf", "@include \"shim.conf\"");
    assert_int_equal(dg_policy_load(in_folder("shim.conf"), NULL, &policy, &error), -1);
    assert_non_null(strstr(error.text, "@include"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_defaults),
        IN_FOLDER(test_every_key),
        IN_FOLDER(test_forms),
        IN_FOLDER(test_the_reference_file),
        IN_FOLDER(test_remote_requests),
        IN_FOLDER(test_comma_decimal_locale),
        IN_FOLDER(test_wrong_values),
        IN_FOLDER(test_wrong_numbers),
        IN_FOLDER(test_wrong_ports),
        IN_FOLDER(test_unknown_keys),
        IN_FOLDER(test_wrong_frame),
        IN_FOLDER(test_syntax_errors),
        IN_FOLDER(test_every_profile_is_checked),
        IN_FOLDER(test_terminal_is_not_steered),
        IN_FOLDER(test_profile_choice),
        IN_FOLDER(test_only_profile),
        IN_FOLDER(test_no_profile_chosen),
        IN_FOLDER(test_unknown_profile),
        IN_FOLDER(test_many_profiles_are_listed_in_part),
        IN_FOLDER(test_file_from_environment),
        IN_FOLDER(test_permissions),
        IN_FOLDER(test_kinds),
        IN_FOLDER(test_owner),
        IN_FOLDER(test_owner_of_secret),
        IN_FOLDER(test_secret),
        IN_FOLDER(test_secret_of_group),
        IN_FOLDER(test_closed_descriptor),
        IN_FOLDER(test_size),
        IN_FOLDER(test_garbage),
        IN_FOLDER(test_include),
        IN_FOLDER(test_include_in_text_is_text),
        IN_FOLDER(test_errors_in_includes),
        IN_FOLDER(test_included_files_are_checked),
        IN_FOLDER(test_endless_include),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
