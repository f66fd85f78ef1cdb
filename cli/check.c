/* distguard check: what a policy comes to, and whether a node could start with it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/forecast.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/wording.h"
#include "policy/policy.h"
#include "shim/core/tls/credentials.h"
#include "shim/core/tls/describe.h"

#define DAY_SECONDS 86400
#define WARNING_DAYS 14

static void print_strings(const char *key, const struct dg_string_list *strings)
{
    char *list = dg_word("%s", "");

    for (size_t i = 0; i < strings->count; i++)
        list = dg_word_join(list, ",", dg_word("%s", strings->strings[i]));
    dg_print_fact(key, "%s", list);
    free(list);
}

static void print_ports(const struct dg_port_list *ports)
{
    char *list = dg_word("%s", "");

    for (size_t i = 0; i < ports->count; i++) {
        const struct dg_port_range *range = &ports->ranges[i];

        list = dg_word_join(
            list, ",",
            dg_word(range->first == range->last ? "%u" : "%u-%u", range->first, range->last));
    }
    dg_print_fact("distribution.ports", "%s", ports->count > 0 ? list : "none");
    free(list);
}

static void print_end(const char *key, time_t ends)
{
    char date[DG_DATE_SIZE];
    char name[64];

    dg_print_date(date, ends);
    (void)snprintf(name, sizeof name, "%s.expires", key);
    if (dg_print_for_people())
        dg_print_fact(name, "%s (%ld days)", date, (long)((ends - time(NULL)) / DAY_SECONDS));
    else
        dg_print_fact(name, "%s", date);
}

/* The certificates say for themselves what they are; whether they can be used is asked elsewhere.
 */
static void print_certificates(const char *key, const char *path)
{
    struct dg_certificate_description description;
    struct dg_error error;
    char name[64];
    long days;

    if (path == NULL)
        return;
    dg_print_fact(key, "%s", path);
    if (dg_certificate_describe(path, &description, &error) != 0)
        return;
    if (description.names[0] != '\0') {
        (void)snprintf(name, sizeof name, "%s.names", key);
        dg_print_fact(name, "%s", description.names);
    }
    print_end(key, description.expires);
    days = (long)((description.expires - time(NULL)) / DAY_SECONDS);
    if (description.expires > time(NULL) && days < WARNING_DAYS)
        dg_complain("%s expires in %ld days: issue a new one", path, days);
}

static void print_tls(const struct dg_tls_policy *tls)
{
    print_certificates("tls.certificate", tls->certificate);
    if (tls->private_key != NULL)
        dg_print_fact("tls.private_key", "%s%s", tls->private_key,
                      tls->private_key_group_readable ? " (its group may read it)" : "");
    print_certificates("tls.ca", tls->ca);
    dg_print_fact("tls.crl", "%s", tls->crl != NULL ? tls->crl : "none");
    dg_print_fact("tls.min_version", "%s", dg_tls_version_name(tls->min_version));
    dg_print_fact("tls.handshake_timeout", "%g", tls->handshake_timeout);
    dg_print_fact("tls.max_handshakes", "%u", tls->max_handshakes);
    dg_print_fact("tls.rekey_bytes", "%lld", (long long)tls->rekey_bytes);
    dg_print_fact("tls.keyupdate_limit", "%u", tls->keyupdate_limit);
}

static void print_peers(const struct dg_policy *policy)
{
    const struct dg_peer_list *peers = &policy->peers;
    char *place = dg_word_place(&policy->node_names_place);

    if (!peers->given)
        dg_print_fact("peers", "%s", "any certificate of the CA (default)");
    for (size_t i = 0; i < peers->count; i++) {
        char *key = dg_word("peers.%zu", i);
        char *rule = dg_word_peer_rule(&peers->rules[i]);

        dg_print_fact(key, "%s", rule);
        free(rule);
        free(key);
    }
    dg_print_fact("node_names", "%s (%s)", dg_node_names_name(policy->node_names), place);
    free(place);
}

static const char *requests(unsigned remote)
{
    switch (remote) {
    case DG_REMOTE_PORT_PLEASE | DG_REMOTE_NAMES:
        return "port_please, names";
    case DG_REMOTE_PORT_PLEASE:
        return "port_please";
    case DG_REMOTE_NAMES:
        return "names";
    default:
        return "none";
    }
}

static void print_log(const struct dg_log_policy *log)
{
    static const char *const targets[] = {
        [DG_LOG_TO_SYSLOG] = "syslog", [DG_LOG_TO_STDERR] = "stderr", [DG_LOG_TO_FILE] = "file"};

    dg_print_fact("log.target", "%s", log->file != NULL ? log->file : targets[log->target]);
    dg_print_fact("log.level", "%s", dg_log_level_name(log->level));
}

static void print_policy(const struct dg_policy *policy)
{
    dg_print_fact("mode", "%s", dg_mode_name(policy->mode));
    if (policy->inherit != NULL)
        dg_print_fact("inherit", "%s", policy->inherit);
    dg_print_fact("local", "%s", dg_local_name(policy->local));
    print_peers(policy);
    print_strings("programs", &policy->programs);
    dg_forecast_print(policy);
    print_ports(&policy->distribution.ports);
    if (policy->epmd.port != 0)
        dg_print_fact("epmd.port", "%u", policy->epmd.port);
    else
        dg_print_fact("epmd.port", "%s", "as the program's");
    dg_print_fact("epmd.remote_requests", "%s", requests(policy->epmd.remote_requests));
    print_tls(&policy->tls);
    print_log(&policy->log);
}

/* Of a profile that is not the chosen one: what it would do with addresses. */
static int print_other(const char *file, const char *profile, struct dg_error *error)
{
    struct dg_policy *policy = NULL;
    char *prefix, *title;

    if (dg_policy_load(file, profile, &policy, error) != 0)
        return -1;
    prefix = dg_word("profiles.%s.", profile);
    title = dg_word("profile %s, not chosen", profile);
    dg_print_section(prefix, title);
    dg_print_fact("mode", "%s", dg_mode_name(policy->mode));
    if (policy->inherit != NULL)
        dg_print_fact("inherit", "%s", policy->inherit);
    dg_forecast_print(policy);
    free(title);
    free(prefix);
    dg_policy_free(policy);
    return 0;
}

/* The chosen one last, with all that it holds: it is what the verdict is about. */
static int print_profiles(const struct dg_policy *policy, struct dg_error *error)
{
    const struct dg_string_list *names = &policy->profiles;
    char *title;

    dg_print_fact("file", "%s", policy->file);
    print_strings("profiles", names);
    dg_print_fact("profile", "%s", policy->profile);
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->strings[i], policy->profile) != 0 &&
            print_other(policy->file, names->strings[i], error) != 0)
            return -1;
    title = dg_word("profile %s, chosen", policy->profile);
    dg_print_section("", title);
    free(title);
    print_policy(policy);
    return 0;
}

/* A CRL that ends shuts out all that its CA has issued. Many live for some days only, and are late
 * only where a node would say so, too. */
static void tell_of_crls(const struct dg_credentials *credentials)
{
    size_t count;
    const struct dg_expiry *expiries = dg_credentials_expiries(credentials, &count);
    const struct dg_expiry *first = NULL;
    time_t now = time(NULL);

    for (size_t i = 0; i < count; i++) {
        const struct dg_expiry *expiry = &expiries[i];

        if (expiry->kind != DG_EXPIRY_CRL)
            continue;
        if (first == NULL || expiry->ends < first->ends)
            first = expiry;
        if (expiry->ends > now && dg_expiry_step(expiry, 0, now) != DG_EXPIRY_SILENT)
            dg_complain("%s: the CRL of %s ends in %ld days: install the next one", expiry->file,
                        expiry->name, (long)((expiry->ends - now) / DAY_SECONDS));
    }
    if (first != NULL)
        print_end("tls.crl", first->ends);
}

/* As a node would, with this user's rights. */
static int try_credentials(const struct dg_policy *policy, struct dg_error *error)
{
    struct dg_credentials *credentials = NULL;
    int result = dg_credentials_load(policy, &credentials, error);

    if (result == 0)
        tell_of_crls(credentials);
    dg_credentials_free(credentials);
    return result;
}

static int judge(const struct dg_policy *policy)
{
    struct dg_error error;

    if (policy->mode == DG_MODE_OFF) {
        dg_print_fact("verdict", "%s", "off: nothing is guarded");
        return DG_EXIT_OK;
    }
    if (dg_forecast_check(policy, &error) != 0 || try_credentials(policy, &error) != 0) {
        dg_print_fact("verdict", "%s", "refused: nodes do not start");
        dg_complain("%s", error.text);
        return DG_EXIT_FAILURE;
    }
    if (policy->mode == DG_MODE_REQUIRE)
        dg_print_fact("verdict", "%s", "good");
    else
        dg_print_fact("verdict", "good, but %s: mode is %s",
                      policy->mode == DG_MODE_ALLOW ? "plaintext is spoken, and let in"
                                                    : "plaintext is let in",
                      dg_mode_name(policy->mode));
    return DG_EXIT_OK;
}

static int check(const char *file, const char *profile)
{
    struct dg_policy *policy = NULL;
    struct dg_error error;
    const char *word = getenv("DISTGUARD");
    int status;

    if (dg_tls_start(&error) != 0 || dg_policy_load(file, profile, &policy, &error) != 0) {
        dg_complain("%s", error.text);
        return DG_EXIT_FAILURE;
    }
    if (word != NULL && strcmp(word, "off") == 0)
        dg_complain("DISTGUARD=off is set here: what is started with it runs without protection");
    if (print_profiles(policy, &error) == 0) {
        status = judge(policy);
    } else {
        dg_complain("%s", error.text);
        status = DG_EXIT_FAILURE;
    }
    dg_policy_free(policy);
    return status;
}

int dg_command_check(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, 'p'},
        DG_OPTION_HELP,
        {0},
    };
    const char *profile = NULL;

    while (dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options) != -1)
        profile = optarg;
    if (argc - optind > 1)
        return dg_usage_error(command, "one FILE, not several");
    return check(optind < argc ? argv[optind] : NULL, profile);
}
