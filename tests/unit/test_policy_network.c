/* What the policy says of addresses: which are meant, where that is said, and what is no rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"

#define PATH_SIZE 256
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char folder[PATH_SIZE];

static const char *in_folder(const char *name)
{
    static char path[2 * PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_folder(name), 0600), 0);
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/test_policy_network.XXXXXX",
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

static struct dg_policy *load_profile(const char *text, const char *profile)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};

    write_file("shim.conf", text);
    if (dg_policy_load(in_folder("shim.conf"), profile, &policy, &error) != 0)
        fail_msg("cannot load: %s", error.text);
    return policy;
}

/* The one profile of a file, whose distribution holds `settings`. */
static struct dg_policy *load_distribution(const char *settings)
{
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "version = 1;\nprofiles: { p: { distribution: {\n%s\n}; }; };", settings);
    return load_profile(text, NULL);
}

/* --- printed, so that a test can say what it wants --- */

struct output {
    char text[1024];
    size_t used;
};

static void print(struct output *output, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print(struct output *output, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(output->text + output->used, sizeof output->text - output->used, format,
                     arguments);
    va_end(arguments);
    assert_true(size >= 0 && (size_t)size < sizeof output->text - output->used);
    output->used += (size_t)size;
}

/* " @4" for line 4 of shim.conf, " @more.conf:1" for another file, nothing for a default. */
static void print_place(struct output *output, const struct dg_place *place)
{
    if (place->file == NULL)
        return;
    if (strcmp(place->file, in_folder("shim.conf")) == 0)
        print(output, "@%u", place->line);
    else
        print(output, "@%s:%u", strrchr(place->file, '/') + 1, place->line);
}

static void print_binds(struct output *output, const struct dg_bind_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct dg_bind_rule *rule = &list->rules[i];
        char network[DG_NETWORK_TEXT];

        dg_network_print(&rule->network, network);
        if (i > 0)
            print(output, " ");
        switch (rule->kind) {
        case DG_BIND_LOOPBACK:
            print(output, "loopback");
            break;
        case DG_BIND_ANY:
            print(output, "any");
            break;
        case DG_BIND_INTERFACE:
            print(output, "interface:%s", rule->interface);
            break;
        case DG_BIND_NETWORK:
            print(output, "%s", network);
            break;
        }
        print_place(output, &rule->place);
    }
}

static void print_networks(struct output *output, const struct dg_network_list *list)
{
    if (!list->given)
        print(output, "everyone");
    else
        print(output, "[");
    print_place(output, &list->place);
    for (size_t i = 0; i < list->count; i++) {
        char network[DG_NETWORK_TEXT];

        dg_network_print(&list->rules[i].network, network);
        print(output, " %s", network);
        print_place(output, &list->rules[i].place);
    }
    if (list->given)
        print(output, " ]");
}

static void assert_binds(const char *what, const struct dg_bind_list *list, const char *wanted)
{
    struct output output = {.used = 0};

    print_binds(&output, list);
    if (strcmp(output.text, wanted) != 0)
        fail_msg("%s: got \"%s\", wanted \"%s\"", what, output.text, wanted);
}

static void assert_networks(const char *what, const struct dg_network_list *list,
                            const char *wanted)
{
    struct output output = {.used = 0};

    print_networks(&output, list);
    if (strcmp(output.text, wanted) != 0)
        fail_msg("%s: got \"%s\", wanted \"%s\"", what, output.text, wanted);
}

/* --- what is accepted --- */

static void test_defaults(void **state)
{
    struct dg_policy *policy = load_distribution("");

    (void)state;
    assert_true(policy->distribution.enabled);
    assert_null(policy->distribution.enabled_place.file);
    assert_null(policy->mode_place.file);
    assert_null(policy->local_place.file);
    assert_null(policy->programs_place.file);
    assert_null(policy->inherit);
    assert_binds("bind", &policy->distribution.bind, "loopback");
    assert_binds("connect_from", &policy->distribution.connect_from, "");
    assert_networks("allow_from", &policy->distribution.allow_from, "everyone");
    assert_networks("allow_to", &policy->distribution.allow_to, "everyone");
    assert_binds("epmd.bind", &policy->epmd.bind, "loopback");
    assert_networks("epmd.allow_from", &policy->epmd.allow_from, "everyone");
    assert_networks("epmd.allow_to", &policy->epmd.allow_to, "everyone");
    dg_policy_free(policy);
}

/* bind, and what connect_from becomes by it. */
static void test_bind(void **state)
{
    static const char *const settings[][3] = {
        {"bind = \"loopback\";", "loopback@3", ""},
        {"bind = [ \"loopback\" ];", "loopback@3", ""},
        {"bind = \"any\";", "any@3", ""},
        {"\nbind = \"interface:eth1\";", "interface:eth1@4", "interface:eth1@4"},
        {"bind = \"interface:br-0123456789a\";", "interface:br-0123456789a@3",
         "interface:br-0123456789a@3"},
        {"bind = \"10.0.0.5\";", "10.0.0.5@3", "10.0.0.5@3"},
        {"bind = \"10.0.0.0/8\";", "10.0.0.0/8@3", "10.0.0.0/8@3"},
        {"bind = \"fd00::/8\";", "fd00::/8@3", "fd00::/8@3"},
        {"bind = [ \"10.0.0.0/8\",\n\"fd00::/8\" ];", "10.0.0.0/8@3 fd00::/8@4",
         "10.0.0.0/8@3 fd00::/8@4"},
        {"bind = ( \"fd00::5\", \"10.0.0.5\" );", "fd00::5@3 10.0.0.5@3", "fd00::5@3 10.0.0.5@3"},
        {"bind = \"127.0.0.1\";", "127.0.0.1@3", ""},
        {"bind = [ \"127.0.0.0/8\", \"::1\" ];", "127.0.0.0/8@3 ::1@3", ""},
        {"bind = [ \"10.0.0.5\", \"::1\" ];", "10.0.0.5@3 ::1@3", "10.0.0.5@3"},
        {"bind = \"any\"; connect_from = \"10.0.0.0/8\";", "any@3", "10.0.0.0/8@3"},
        {"bind = \"interface:eth1\";\nconnect_from = [ \"10.0.0.0/8\", \"fd00::/8\" ];",
         "interface:eth1@3", "10.0.0.0/8@4 fd00::/8@4"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct dg_policy *policy = load_distribution(settings[i][0]);

        assert_binds(settings[i][0], &policy->distribution.bind, settings[i][1]);
        assert_binds(settings[i][0], &policy->distribution.connect_from, settings[i][2]);
        assert_binds(settings[i][0], &policy->epmd.bind, settings[i][1]);
        dg_policy_free(policy);
    }
}

static void test_lists(void **state)
{
    struct dg_policy *policy = load_distribution("allow_from = [ \"10.0.0.0/8\",\n\"fd00::1\" ];\n"
                                                 "allow_to = ( \"0.0.0.0/0\" );");

    (void)state;
    assert_networks("allow_from", &policy->distribution.allow_from, "[@3 10.0.0.0/8@3 fd00::1@4 ]");
    assert_networks("allow_to", &policy->distribution.allow_to, "[@5 0.0.0.0/0@5 ]");
    assert_networks("epmd.allow_from", &policy->epmd.allow_from, "[@3 10.0.0.0/8@3 fd00::1@4 ]");
    assert_networks("epmd.allow_to", &policy->epmd.allow_to, "[@5 0.0.0.0/0@5 ]");
    dg_policy_free(policy);
}

static void test_epmd_of_its_own(void **state)
{
    struct dg_policy *policy =
        load_profile("version = 1; profiles: { p: {\n"
                     "distribution: { bind = \"10.0.0.0/8\"; allow_from = [ \"10.0.0.0/8\" ]; };\n"
                     "epmd: { bind = \"any\";\nallow_from = [ \"10.1.0.0/16\" ];\nallow_to = [ "
                     "\"::/0\" ]; }; }; };",
                     NULL);

    (void)state;
    assert_binds("bind", &policy->distribution.bind, "10.0.0.0/8@2");
    assert_binds("epmd.bind", &policy->epmd.bind, "any@3");
    assert_networks("epmd.allow_from", &policy->epmd.allow_from, "[@4 10.1.0.0/16@4 ]");
    assert_networks("epmd.allow_to", &policy->epmd.allow_to, "[@5 ::/0@5 ]");
    assert_networks("allow_to", &policy->distribution.allow_to, "everyone");
    dg_policy_free(policy);
}

static void test_disabled(void **state)
{
    struct dg_policy *policy = load_distribution("\nenabled = false;");

    (void)state;
    assert_false(policy->distribution.enabled);
    assert_string_equal(policy->distribution.enabled_place.file, in_folder("shim.conf"));
    assert_int_equal(policy->distribution.enabled_place.line, 4);
    dg_policy_free(policy);
}

/* Places outlive the loading, in whichever file they are. */
static void test_places_in_includes(void **state)
{
    struct dg_policy *policy;

    (void)state;
    write_file("rules.conf", "\nallow_from = [\n\"10.0.0.0/8\" ];");
    write_file(
        "p.conf",
        "p: { mode = \"off\"; distribution: {\n@include \"rules.conf\"\nbind = \"any\"; }; };");
    policy = load_profile("version = 1;\nprofiles: {\n@include \"p.conf\"\nq: { inherit = \"p\";\n"
                          "local = \"deny\"; }; };",
                          "q");
    assert_networks("allow_from", &policy->distribution.allow_from,
                    "[@rules.conf:2 10.0.0.0/8@rules.conf:3 ]");
    assert_binds("bind", &policy->distribution.bind, "any@p.conf:3");
    assert_string_equal(policy->mode_place.file, in_folder("p.conf"));
    assert_string_equal(policy->local_place.file, in_folder("shim.conf"));
    assert_int_equal(policy->local_place.line, 5);
    assert_int_equal(policy->files.count, 3);
    dg_policy_free(policy);
}

/* --- inherit --- */

static const char family[] =
    "version = 1; default_profile = \"child\";\nprofiles: {\n"
    "child: { inherit = \"parent\"; distribution: { bind = \"10.0.0.5\"; }; tls: { ca = \"/ca\"; "
    "}; };\n"
    "grandparent: { mode = \"off\"; local = \"deny\"; tls: { certificate = \"/g\"; ca = \"/g\"; }; "
    "};\n"
    "parent: { inherit = \"grandparent\"; local = \"allow\"; distribution: { bind = \"any\";\n"
    "allow_from = [ \"10.0.0.0/8\" ]; ports = [ \"9100\" ]; }; log: { level = \"debug\"; }; };\n"
    "none: { inherit = \"parent\"; distribution: { enabled = false; }; };\n"
    "back: { inherit = \"none\"; distribution: { enabled = true; bind = \"::1\"; }; };\n};";

static void test_inherit(void **state)
{
    struct dg_policy *policy = load_profile(family, NULL);

    (void)state;
    assert_string_equal(policy->profile, "child");
    assert_string_equal(policy->inherit, "parent");
    assert_int_equal(policy->mode, DG_MODE_OFF);
    assert_int_equal(policy->mode_place.line, 4);
    assert_int_equal(policy->local, DG_LOCAL_ALLOW);
    assert_int_equal(policy->local_place.line, 5);
    assert_binds("bind", &policy->distribution.bind, "10.0.0.5@3");
    assert_networks("allow_from", &policy->distribution.allow_from, "[@6 10.0.0.0/8@6 ]");
    assert_int_equal(policy->distribution.ports.count, 1);
    assert_string_equal(policy->tls.ca, "/ca");
    assert_string_equal(policy->tls.certificate, "/g");
    assert_string_equal(policy->tls.private_key, "/etc/distguard/node.key");
    assert_int_equal(policy->log.level, DG_LOG_DEBUG);
    dg_policy_free(policy);
    policy = load_profile(family, "grandparent");
    assert_null(policy->inherit);
    assert_int_equal(policy->local, DG_LOCAL_DENY);
    assert_string_equal(policy->tls.ca, "/g");
    dg_policy_free(policy);
}

static void test_inherit_and_switch_off(void **state)
{
    struct dg_policy *policy = load_profile(family, "none");

    (void)state;
    assert_false(policy->distribution.enabled);
    assert_int_equal(policy->distribution.enabled_place.line, 7);
    dg_policy_free(policy);
    policy = load_profile(family, "back");
    assert_true(policy->distribution.enabled);
    assert_binds("bind", &policy->distribution.bind, "::1@8");
    dg_policy_free(policy);
}

static void test_all_profiles_are_named(void **state)
{
    static const char *const names[] = {"child", "grandparent", "parent", "none", "back"};
    struct dg_policy *policy = load_profile(family, "none");

    (void)state;
    assert_int_equal(policy->profiles.count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++)
        assert_string_equal(policy->profiles.strings[i], names[i]);
    dg_policy_free(policy);
}

/* --- what is refused --- */

/* The message must be `wanted`, behind the path of shim.conf and with it in place of each "~". */
static void assert_refused(const char *text, const char *wanted)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};
    struct output message = {.used = 0};

    print(&message, "%s:", in_folder("shim.conf"));
    for (; *wanted != '\0'; wanted++) {
        if (*wanted == '~')
            print(&message, "%s", in_folder("shim.conf"));
        else
            print(&message, "%c", *wanted);
    }
    write_file("shim.conf", text);
    if (dg_policy_load(in_folder("shim.conf"), "p", &policy, &error) == 0)
        fail_msg("accepted, wanted \"%s\"", message.text);
    assert_string_equal(error.text, message.text);
}

#define BIND_ALLOWED                                                                               \
    "; allowed: \"loopback\", \"any\", \"interface:NAME\", an address, a network such as "         \
    "\"10.0.0.0/8\", or a list with one address or network for each family"
#define SOURCE_ALLOWED                                                                             \
    "; allowed: \"interface:NAME\", an address, a network such as \"10.0.0.0/8\", or a list with " \
    "one address or network for each family"
#define NETWORKS_ALLOWED                                                                           \
    "; allowed: an array of addresses and networks, such as [ \"10.0.0.0/8\", \"fd00::/8\" ]"

static void assert_value_refused(const char *key, const char *value, const char *what,
                                 const char *allowed)
{
    char text[512], wanted[1024];
    const char *dot = strchr(key, '.');

    (void)snprintf(text, sizeof text, "version = 1;\nprofiles: { p: { %.*s: { %s = %s; }; }; };",
                   (int)(dot - key), key, dot + 1, value);
    (void)snprintf(wanted, sizeof wanted, "2: profiles.p.%s: %s%s", key, what, allowed);
    assert_refused(text, wanted);
}

static void test_wrong_binds(void **state)
{
    static const char *const values[][2] = {
        {"\"\"", "unknown word \"\""},
        {"\"loopbak\"", "unknown word \"loopbak\" (did you mean \"loopback\"?)"},
        {"\"Any\"", "unknown word \"Any\" (did you mean \"any\"?)"},
        {"\"eth1\"", "unknown word \"eth1\""},
        {"true", "wrong type: a truth value"},
        {"4369", "wrong type: a whole number"},
        {"{ }", "wrong type: a group { }"},
        {"[ ]", "empty, which is no place; for no distribution at all, say enabled = false in "
                "distribution"},
        {"( \"10.0.0.1\", 1 )", "wrong type: a whole number"},
        {"( [ \"10.0.0.1\" ] )", "wrong type: an array [ ]"},
        {"\"interface:\"", "\"\" is no name that an interface can have (1 to 15 characters, no "
                           "blank, / or :)"},
        {"\"interface:abcdefghijklmnop\"",
         "\"abcdefghijklmnop\" is no name that an interface can have (1 to 15 characters, no "
         "blank, / or :)"},
        {"\"interface:eth1:0\"", "\"eth1:0\" is no name that an interface can have (1 to 15 "
                                 "characters, no blank, / or :)"},
        {"\"interface: eth1\"", "\" eth1\" is no name that an interface can have (1 to 15 "
                                "characters, no blank, / or :)"},
        {"\"interface:..\"", "\"..\" is no name that an interface can have (1 to 15 characters, "
                             "no blank, / or :)"},
        {"\"iface:eth1\"", "\"iface:eth1\" is no address and no network"},
        {"\"host.example.org\"", "\"host.example.org\" is no address and no network"},
        {"\"10.0.0\"", "\"10.0.0\" is no address and no network"},
        {"\"10.0.0.1:4369\"", "\"10.0.0.1:4369\" is no address and no network"},
        {"\"010.0.0.1\"", "\"010.0.0.1\" has a number with a leading zero, which some programs "
                          "read as octal"},
        {"\"10.0.0.0/33\"", "\"10.0.0.0/33\" has a prefix that is no number from 0 to 32"},
        {"\"fd00::/129\"", "\"fd00::/129\" has a prefix that is no number from 0 to 128"},
        {"\"10.1.2.3/8\"", "\"10.1.2.3/8\" has bits set beyond its prefix, write \"10.0.0.0/8\""},
        {"\"fd00::5/64\"", "\"fd00::5/64\" has bits set beyond its prefix, write \"fd00::/64\""},
        {"\"::ffff:10.0.0.1\"", "\"::ffff:10.0.0.1\" is IPv4, written as IPv6, write \"10.0.0.1\""},
        {"\"fe80::1%eth0\"",
         "\"fe80::1%eth0\" has a zone, which only one host's kernel understands"},
        {"\"0.0.0.0\"", "\"0.0.0.0\" is every address, for which the word is \"any\""},
        {"\"::\"", "\"::\" is every address, for which the word is \"any\""},
        {"\"0.0.0.0/0\"", "\"0.0.0.0/0\" is every address, for which the word is \"any\""},
        {"\"::/0\"", "\"::/0\" is every address, for which the word is \"any\""},
        {"\"224.0.0.1\"", "\"224.0.0.1\" holds no address that a host can have"},
        {"\"255.255.255.255\"", "\"255.255.255.255\" holds no address that a host can have"},
        {"\"ff02::1\"", "\"ff02::1\" holds no address that a host can have"},
        {"\"fe80::/10\"", "\"fe80::/10\" is link-local, where an address needs an interface to "
                          "mean anything; name a global or unique local one"},
        {"[ \"loopback\", \"loopback\" ]",
         "\"loopback\" and \"loopback\" both speak for IPv4 and IPv6, keep one of them"},
        {"[ \"loopback\", \"any\" ]",
         "\"loopback\" and \"any\" both speak for IPv4 and IPv6, keep one of them"},
        {"[ \"interface:a\", \"interface:b\" ]",
         "\"interface:a\" and \"interface:b\" both speak for IPv4 and IPv6, keep one of them"},
        {"[ \"10.0.0.0/8\", \"loopback\" ]",
         "\"10.0.0.0/8\" and \"loopback\" both speak for IPv4, keep one of them"},
        {"[ \"interface:a\", \"::1\" ]",
         "\"interface:a\" and \"::1\" both speak for IPv6, keep one of them"},
        {"[ \"10.0.0.0/8\", \"fd00::/8\", \"192.168.0.0/16\" ]",
         "\"10.0.0.0/8\" and \"192.168.0.0/16\" both speak for IPv4, keep one of them"},
        {"[ \"fd00::1\", \"fd00::2\" ]",
         "\"fd00::1\" and \"fd00::2\" both speak for IPv6, keep one of them"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        assert_value_refused("distribution.bind", values[i][0], values[i][1], BIND_ALLOWED);
        assert_value_refused("epmd.bind", values[i][0], values[i][1], BIND_ALLOWED);
        assert_value_refused("distribution.connect_from", values[i][0], values[i][1],
                             SOURCE_ALLOWED);
    }
}

static void test_wrong_sources(void **state)
{
    static const char *const values[][2] = {
        {"\"any\"",
         "\"any\" leaves the choice to the kernel, as it has it where bind is \"any\" or "
         "\"loopback\"; leave the key out"},
        {"\"loopback\"", "\"loopback\" reaches no other host; leave the key out"},
        {"\"127.0.0.1\"", "\"127.0.0.1\" reaches no other host; leave the key out"},
        {"[ \"10.0.0.5\", \"::1\" ]", "\"::1\" reaches no other host; leave the key out"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++)
        assert_value_refused("distribution.connect_from", values[i][0], values[i][1],
                             SOURCE_ALLOWED);
}

static void test_wrong_networks(void **state)
{
    static const char *const keys[] = {"distribution.allow_from", "distribution.allow_to",
                                       "epmd.allow_from", "epmd.allow_to"};
    static const char *const values[][2] = {
        {"[ ]", "empty, so nobody would be allowed; for that, say enabled = false in distribution"},
        {"\"10.0.0.0/8\"", "wrong type: text"},
        {"[ 10 ]", "wrong type: a whole number"},
        {"[ \"any\" ]", "\"any\" is no address and no network"},
        {"[ \"interface:eth1\" ]", "\"interface:eth1\" is no address and no network"},
        {"[ \"10.0.0.0/8\", \"10.0.0.1/8\" ]",
         "\"10.0.0.1/8\" has bits set beyond its prefix, write \"10.0.0.0/8\""},
        {"[ \"::ffff:0.0.0.0/96\" ]",
         "\"::ffff:0.0.0.0/96\" is IPv4, written as IPv6, write \"0.0.0.0/0\""},
        {"[ \"0.0.0.0\" ]",
         "\"0.0.0.0\" is no host's address; for all of them write \"0.0.0.0/0\""},
        {"[ \"::\" ]", "\"::\" is no host's address; for all of them write \"::/0\""},
    };

    (void)state;
    for (size_t key = 0; key < COUNT(keys); key++)
        for (size_t i = 0; i < COUNT(values); i++)
            assert_value_refused(keys[key], values[i][0], values[i][1], NETWORKS_ALLOWED);
}

#define DISABLED(line)                                                                             \
    "distribution is switched off by enabled = false (~:" line "); remove one of the two"

static void test_contradictions(void **state)
{
    static const char *const texts[][2] = {
        {"version = 1; profiles: { p: { distribution: {\nenabled = 0; }; }; };",
         "2: profiles.p.distribution.enabled: wrong type: a whole number; allowed: true, false"},
        {"version = 1; profiles: { p: { distribution: {\nenabled = \"no\"; }; }; };",
         "2: profiles.p.distribution.enabled: wrong type: text; allowed: true, false"},
        {"version = 1; profiles: { p: { distribution: {\nenabled = false;\nbind = \"any\"; }; }; "
         "};",
         "3: profiles.p.distribution.bind: " DISABLED("2")},
        {"version = 1; profiles: { p: { distribution: {\nconnect_from = \"10.0.0.1\";\n\nenabled = "
         "false; }; }; };",
         "2: profiles.p.distribution.connect_from: " DISABLED("4")},
        {"version = 1; profiles: { p: { distribution: { enabled = false;\nallow_from = [ \"::/0\" "
         "]; "
         "}; }; };",
         "2: profiles.p.distribution.allow_from: " DISABLED("1")},
        {"version = 1; profiles: { p: { distribution: { enabled = false;\nallow_to = [ \"::/0\" ]; "
         "}; }; };",
         "2: profiles.p.distribution.allow_to: " DISABLED("1")},
        {"version = 1; profiles: { p: { distribution: { enabled = false;\nports = [ \"9100\" ]; }; "
         "}; };",
         "2: profiles.p.distribution.ports: " DISABLED("1")},
        {"version = 1; profiles: { p: { inherit = \"q\";\ndistribution: { bind = \"any\"; }; "
         "};\nq: { "
         "distribution: { enabled = false; }; }; };",
         "2: profiles.p.distribution.bind: " DISABLED("3")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_refused(texts[i][0], texts[i][1]);
}

static void test_wrong_inherit(void **state)
{
    static const char *const texts[][2] = {
        {"version = 1; profiles: { p: {\ninherit = 1; }; };",
         "2: profiles.p.inherit: wrong type: a whole number; allowed: the name of another profile, "
         "in double quotes"},
        {"version = 1; profiles: { q: { inherit = \"p\"; }; p: {\ninherit = true; }; };",
         "2: profiles.p.inherit: wrong type: a truth value; allowed: the name of another profile, "
         "in double quotes"},
        {"version = 1; profiles: { p: {\ninherit = \"\"; }; };",
         "2: profiles.p.inherit: this file has no profile \"\""},
        {"version = 1; profiles: { p: {\ninherit = \"produktion\"; }; production: { }; };",
         "2: profiles.p.inherit: this file has no profile \"produktion\" (did you mean "
         "\"production\"?)"},
        {"version = 1; profiles: { p: {\ninherit = \"far away\"; }; };",
         "2: profiles.p.inherit: this file has no profile \"far away\""},
        {"version = 1; profiles: { p: {\ninherit = \"p\"; }; };",
         "2: profiles.p.inherit: \"p\" closes a circle; a profile cannot inherit from itself"},
        {"version = 1; profiles: { p: { inherit = \"q\"; };\nq: { inherit = \"r\"; };\nr: { "
         "inherit "
         "= \"q\"; }; };",
         "3: profiles.r.inherit: \"q\" closes a circle; a profile cannot inherit from itself"},
        /* A wrong value is reported where it stands, not where it is inherited. */
        {"version = 1; profiles: { p: { inherit = \"q\"; };\nq: { distribution: { bind = \"al\"; "
         "}; }; "
         "};",
         "2: profiles.q.distribution.bind: unknown word \"al\"" BIND_ALLOWED},
        {"version = 1; profiles: { p: { }; q: { };\np: { }; };",
         "2: duplicate setting name; keep one of them"},
        /* What one inherits does not make an unknown name known. */
        {"version = 1; profiles: { p: { inherit = \"q\"; };\nq: { inherits = \"p\"; }; };",
         "2: profiles.q.inherits: unknown key (did you mean inherit?); allowed here: inherit, "
         "mode, "
         "local, peers, node_names, programs, distribution, epmd, tls, log"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_refused(texts[i][0], texts[i][1]);
}

/* --- who is allowed --- */

static void assert_allows(const struct dg_network_list *list, const char *text, const char *by,
                          bool wanted_open)
{
    struct dg_network network, wanted;
    const struct dg_network_rule *rule;
    const char *problem;
    bool open = !wanted_open;
    char found[DG_NETWORK_TEXT] = "none";

    assert_true(dg_network_parse(text, &network, &problem));
    rule = dg_policy_allows(list, &network.host, &open);
    if (rule != NULL)
        dg_network_print(&rule->network, found);
    if (by != NULL)
        assert_true(dg_network_parse(by, &wanted, &problem));
    if (strcmp(found, by == NULL ? "none" : by) != 0 || open != wanted_open)
        fail_msg("%s: rule %s, open %d; wanted rule %s, open %d", text, found, open,
                 by == NULL ? "none" : by, wanted_open);
}

static void test_allows(void **state)
{
    struct dg_policy *policy = load_distribution(
        "allow_from = [ \"10.0.0.0/8\", \"10.1.0.0/16\", \"fd00::/8\", \"192.0.2.7\" ];");
    const struct dg_network_list *list = &policy->distribution.allow_from;

    (void)state;
    assert_allows(list, "10.1.2.3", "10.0.0.0/8", false);
    assert_allows(list, "192.0.2.7", "192.0.2.7", false);
    assert_allows(list, "192.0.2.8", NULL, false);
    assert_allows(list, "fd12::1", "fd00::/8", false);
    assert_allows(list, "2001:db8::1", NULL, false);
    assert_allows(list, "127.0.0.1", NULL, true);
    assert_allows(list, "::1", NULL, true);
    assert_allows(&policy->distribution.allow_to, "203.0.113.1", NULL, true);
    dg_policy_free(policy);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_defaults),
        IN_FOLDER(test_bind),
        IN_FOLDER(test_lists),
        IN_FOLDER(test_epmd_of_its_own),
        IN_FOLDER(test_disabled),
        IN_FOLDER(test_places_in_includes),
        IN_FOLDER(test_inherit),
        IN_FOLDER(test_inherit_and_switch_off),
        IN_FOLDER(test_all_profiles_are_named),
        IN_FOLDER(test_wrong_binds),
        IN_FOLDER(test_wrong_sources),
        IN_FOLDER(test_wrong_networks),
        IN_FOLDER(test_contradictions),
        IN_FOLDER(test_wrong_inherit),
        IN_FOLDER(test_allows),
    };

    return cmocka_run_group_tests_name("policy/network rules", tests, NULL, NULL);
}
