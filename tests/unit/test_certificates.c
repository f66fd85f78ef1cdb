/*
 * The suite of certificates: each entry of tests/certificates/list against a channel, as client and
 * as server, and as a node's own. Run with a folder as its argument it makes them there instead,
 * for tests/certificates/make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/cases.h"
#include "tests/unit/support/checked.h"
#include "tests/unit/support/counterfeit.h"
#include "tests/unit/support/folder.h"
#include "tests/unit/support/peer.h"

#define LIST "tests/certificates/list"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20, PATH_SIZE = 512 };

static struct cases cases;
static char folder[] = "/tmp/distguard-certificates-XXXXXX";

static const char *const sides[] = {"client", "server"};
static const char *const roles[][2] = {
    [DG_TLS_1_2] = {"client of TLS 1.2", "server of TLS 1.2"},
    [DG_TLS_1_3] = {"client of TLS 1.3", "server of TLS 1.3"},
};

/* --- one meeting */

/* The node that meets the certificate under test: its policy lets peers choose the version. */
static struct {
    struct dg_policy *policy;
    struct dg_credentials *credentials;
} host;

struct meeting {
    struct ends ends;
    struct peer *peer;
    int node;       /* the node's end; the peer's is the other */
    const char *as; /* what the peer is, for messages */
};

static void path_of(char path[PATH_SIZE], const char *name, const char *ending)
{
    (void)snprintf(path, PATH_SIZE, "%s/%s.%s", folder, name, ending);
}

static struct dg_policy *policy_of(const struct case_entry *entry)
{
    struct dg_policy *policy = NULL;
    struct dg_error error;
    char path[PATH_SIZE];

    path_of(path, entry->name, "conf");
    if (dg_policy_load(path, NULL, &policy, &error) != 0) {
        fail_msg("%s: %s", entry->name, error.text);
    }
    return policy;
}

static void talk(struct meeting *meeting)
{
    char byte;

    for (int i = 0; i < 6; i++) {
        peer_step(meeting->peer);
        if (dg_channel_get_state(meeting->ends.channel[meeting->node]) <= DG_CHANNEL_OPEN) {
            (void)receive_bytes(&meeting->ends, meeting->node, &byte, 1);
        }
    }
    peer_step(meeting->peer);
}

static void start_node(const struct case_entry *entry)
{
    struct dg_error error;

    host.policy = policy_of(entry);
    host.policy->tls.min_version = DG_TLS_1_2;
    if (dg_credentials_load(host.policy, &host.credentials, &error) != 0) {
        fail_msg("%s: the node itself does not start: %s", entry->name, error.text);
    }
}

static void stop_node(void)
{
    dg_credentials_free(host.credentials);
    dg_policy_free(host.policy);
}

/* The node at one end, and a peer with the entry's certificate at the other, which speaks this
 * version alone. */
static struct meeting meet(const struct case_entry *entry, int node, enum dg_tls_version version)
{
    struct meeting meeting = {.node = node, .as = roles[version][1 - node]};
    int number = version == DG_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    char certificate[PATH_SIZE];
    char key[PATH_SIZE];

    kernel_reset(PLENTY, 1);
    meeting.ends.channel[node] =
        dg_channel_new(host.credentials, node == CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER,
                       &kernel_transport, 60);
    assert_non_null(meeting.ends.channel[node]);
    path_of(certificate, entry->name, "pem");
    path_of(key, entry->name, "key");
    meeting.peer = peer_of_files(1 - node, certificate, key);
    assert_int_equal(SSL_set_min_proto_version(meeting.peer->ssl, number), 1);
    assert_int_equal(SSL_set_max_proto_version(meeting.peer->ssl, number), 1);
    talk(&meeting);
    return meeting;
}

static void part(struct meeting *meeting)
{
    ends_free(&meeting->ends);
    peer_free(meeting->peer);
    kernel_free();
}

/* --- refused */

static void check_reason(const struct case_entry *entry, const struct meeting *meeting)
{
    const char *reason = dg_channel_reason(meeting->ends.channel[meeting->node]);
    const char *alert = SSL_alert_desc_string_long(meeting->peer->alert);
    char wanted[PATH_SIZE];

    (void)snprintf(wanted, sizeof wanted, "certificate of the peer refused: %s",
                   case_get(entry, "reason", "?"));
    if (strncmp(reason, wanted, strlen(wanted)) != 0) {
        fail_msg("%s as %s: the reason is '%s', it should begin with '%s'", entry->name,
                 meeting->as, reason, wanted);
    }
    if (reason[strlen(reason) - 1] != ')') {
        fail_msg("%s as %s: '%s' does not end with whose it is", entry->name, meeting->as, reason);
    }
    if (strcmp(alert, case_get(entry, "alert", "?")) != 0) {
        fail_msg("%s as %s: the peer got the alert '%s' (%d), wanted '%s'", entry->name,
                 meeting->as, alert, meeting->peer->alert, case_get(entry, "alert", "?"));
    }
}

static void check_log_safe(const struct case_entry *entry, const char *text)
{
    for (const char *byte = text; *byte != '\0'; byte++) {
        if (*byte < ' ' || *byte > '~') {
            fail_msg("%s: '%s' holds the byte %02x", entry->name, text, (unsigned char)*byte);
        }
    }
}

static void check_refused(const struct case_entry *entry, int node, enum dg_tls_version version)
{
    struct meeting meeting = meet(entry, node, version);
    struct dg_channel *channel = meeting.ends.channel[node];

    if (dg_channel_get_state(channel) != DG_CHANNEL_FAILED || dg_channel_was_open(channel)) {
        fail_msg("%s was admitted as %s", entry->name, meeting.as);
    }
    check_reason(entry, &meeting);
    check_log_safe(entry, dg_channel_reason(channel));
    assert_null(dg_channel_identity(channel));
    part(&meeting);
}

/* --- admitted */

static void check_claims(const struct case_entry *entry, const struct meeting *meeting,
                         const char *claims, bool wanted)
{
    const struct dg_identity *identity = dg_channel_identity(meeting->ends.channel[meeting->node]);
    char claim[128];

    while (case_word(&claims, claim, sizeof claim) != NULL) {
        struct dg_error error = {""};

        if (dg_policy_admits_node(host.policy, identity, claim, strlen(claim), &error) != wanted) {
            fail_msg("%s is %s %s: %s", entry->name, wanted ? "not let be" : "let be", claim,
                     error.text);
        }
    }
}

static void check_admitted(const struct case_entry *entry, int node, enum dg_tls_version version)
{
    struct meeting meeting = meet(entry, node, version);
    struct dg_channel *channel = meeting.ends.channel[node];

    if (dg_channel_get_state(channel) != DG_CHANNEL_OPEN) {
        fail_msg("%s as %s was refused: %s", entry->name, meeting.as, dg_channel_reason(channel));
    }
    assert_int_equal(meeting.peer->alert, -1);
    assert_non_null(dg_channel_identity(channel));
    check_claims(entry, &meeting, case_get(entry, "is", ""), true);
    check_claims(entry, &meeting, case_get(entry, "is-not", ""), false);
    part(&meeting);
}

/* --- as a node's own */

static struct dg_tls_policy own_policy(const struct case_entry *entry,
                                       const struct dg_policy *policy)
{
    static char paths[2][PATH_SIZE];
    struct dg_tls_policy tls = policy->tls;

    path_of(paths[0], entry->name, "pem");
    path_of(paths[1], entry->name, "key");
    tls.certificate = paths[0];
    tls.private_key = paths[1];
    return tls;
}

/* Whether a node with this certificate starts. */
static bool starts(const struct case_entry *entry, struct dg_error *error)
{
    struct dg_policy *policy = policy_of(entry);
    struct dg_policy own = {.tls = own_policy(entry, policy)};
    struct dg_credentials *credentials = NULL;
    bool result = dg_credentials_load(&own, &credentials, error) == 0;

    dg_credentials_free(credentials);
    dg_policy_free(policy);
    return result;
}

static void check_start(const struct case_entry *entry)
{
    bool wanted = strcmp(entry->kind, "admitted") == 0 ||
                  strcmp(case_get(entry, "start", "refused"), "good") == 0;
    struct dg_error error = {""};

    if (starts(entry, &error) != wanted) {
        fail_msg("%s as the node's own: it should %s: %s", entry->name,
                 wanted ? "start" : "not start", error.text);
    }
    if (!wanted && strstr(error.text, case_get(entry, "reason", "?")) == NULL) {
        fail_msg("%s as the node's own: '%s' does not say '%s'", entry->name, error.text,
                 case_get(entry, "reason", "?"));
    }
    if (!wanted && strstr(error.text, "; ") == NULL) {
        fail_msg("%s as the node's own: '%s' does not say what to do", entry->name, error.text);
    }
}

static void check_unstartable(const struct case_entry *entry)
{
    struct dg_policy *policy = policy_of(entry);
    struct dg_credentials *credentials = NULL;
    struct dg_error error = {""};

    if (dg_credentials_load(policy, &credentials, &error) == 0) {
        fail_msg("%s: the node starts", entry->name);
    }
    if (strstr(error.text, case_get(entry, "reason", "?")) == NULL) {
        fail_msg("%s: '%s' does not say '%s'", entry->name, error.text,
                 case_get(entry, "reason", "?"));
    }
    dg_policy_free(policy);
}

/* --- the tests */

static void check_side(const struct case_entry *entry, int node, enum dg_tls_version version)
{
    const char *as = case_get(entry, "as", "both");

    if (strcmp(entry->kind, "refused") == 0 &&
        (strcmp(as, "both") == 0 || strcmp(as, sides[1 - node]) == 0)) {
        check_refused(entry, node, version);
    } else {
        check_admitted(entry, node, version);
    }
}

/* Some that an OpenSSL of TLS 1.2 does not show, say so. */
static void check_both_sides(const struct case_entry *entry)
{
    bool both_versions = strcmp(case_get(entry, "least", "1.2"), "1.2") == 0;

    start_node(entry);
    for (int node = 0; node < 2; node++) {
        check_side(entry, node, DG_TLS_1_3);
        if (both_versions) {
            check_side(entry, node, DG_TLS_1_2);
        }
    }
    stop_node();
    check_start(entry);
}

static void test_an_entry(void **state)
{
    const struct case_entry *entry = *state;

    if (strcmp(entry->kind, "unstartable") == 0) {
        check_unstartable(entry);
    } else {
        check_both_sides(entry);
    }
}

static void test_there_are_more_bad_ones_than_good_ones(void **state)
{
    size_t good = 0;
    size_t bad = 0;

    (void)state;
    for (size_t i = 0; i < cases.count; i++) {
        good += strcmp(cases.entries[i].kind, "admitted") == 0;
        bad += strcmp(cases.entries[i].kind, "refused") == 0;
    }
    assert_true(bad > 60);
    assert_true(bad > good);
}

static int set_up(void **state)
{
    struct dg_error error;

    (void)state;
    if (mkdtemp(folder) == NULL || dg_tls_start(&error) != 0) {
        return -1;
    }
    counterfeit_all(&cases, folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static bool is_tested(const struct case_entry *entry)
{
    static const char *const tested[] = {"admitted", "refused", "unstartable"};

    for (size_t i = 0; i < sizeof tested / sizeof tested[0]; i++) {
        if (strcmp(entry->kind, tested[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int run(void)
{
    struct CMUnitTest *tests = calloc(cases.count + 1, sizeof *tests);
    size_t count = 0;
    int failed;

    if (tests == NULL) {
        return EXIT_FAILURE;
    }
    tests[count++] =
        (struct CMUnitTest)cmocka_unit_test(test_there_are_more_bad_ones_than_good_ones);
    for (size_t i = 0; i < cases.count; i++) {
        if (is_tested(&cases.entries[i])) {
            tests[count++] = (struct CMUnitTest){.name = cases.entries[i].name,
                                                 .test_func = test_an_entry,
                                                 .initial_state = &cases.entries[i]};
        }
    }
    failed = _cmocka_run_group_tests("tls/identity, certificates", tests, count, set_up, tear_down);
    free(tests);
    return failed;
}

int main(int argc, char **argv)
{
    int status = EXIT_SUCCESS;

    cases = cases_read(LIST);
    if (argc > 1) {
        counterfeit_all(&cases, argv[1]);
    } else {
        status = run();
    }
    cases_free(&cases);
    return status;
}
