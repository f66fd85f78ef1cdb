#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/lists.h"
#include "policy/profile.h"
#include "policy/schema.h"
#include "policy/source.h"

#define PROFILE_NAMES_SIZE 256

/* An empty variable is what an `Environment=NAME=` of a service unit leaves: it says nothing. */
static const char *environment(const char *name)
{
    const char *value = secure_getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *choose_file(const char *file, struct dg_error *error)
{
    if (file != NULL)
        return file;
    file = environment("DISTGUARD_CONF");
    if (file == NULL)
        return DG_POLICY_DEFAULT_FILE;
    if (file[0] == '/')
        return file;
    dg_fail(error, "DISTGUARD_CONF=%s: not an absolute path; begin it with /", file);
    return NULL;
}

/* libconfig's own words for what is wrong, with ours for what to do. */
static const char *remedy(const char *text)
{
    if (strcmp(text, "duplicate setting name") == 0)
        return "keep one of them";
    if (strcmp(text, "mismatched element type in array") == 0)
        return "[ ] takes values of one type, ( ) of several";
    return "a setting is NAME = VALUE; a group is NAME: { … }; and text stands in double quotes "
           "(look at the end of the line before, too)";
}

static int parse(struct dg_document *document, struct dg_error *error)
{
    const char *text;
    unsigned line;

    if (config_read_string(&document->config, document->source->text))
        return 0;
    text = config_error_text(&document->config);
    line = (unsigned)config_error_line(&document->config);
    return dg_fail(error, "%s:%u: %s; %s", dg_source_file(document->source, line),
                   dg_source_line(document->source, line), text, remedy(text));
}

static void list_profiles(const struct dg_schema_top *top, char names[PROFILE_NAMES_SIZE])
{
    size_t used = 0;

    names[0] = '\0';
    for (int i = 0; i < config_setting_length(top->profiles) && used < PROFILE_NAMES_SIZE; i++)
        used += (size_t)snprintf(
            names + used, PROFILE_NAMES_SIZE - used, "%s%s", i == 0 ? "" : ", ",
            config_setting_name(config_setting_get_elem(top->profiles, (unsigned)i)));
}

static bool has_profile(const struct dg_schema_top *top, const char *name)
{
    return config_setting_get_member(top->profiles, name) != NULL;
}

static int check_default_profile(const struct dg_document *document,
                                 const struct dg_schema_top *top, struct dg_error *error)
{
    char names[PROFILE_NAMES_SIZE];
    unsigned line;

    if (top->default_profile == NULL || has_profile(top, top->default_profile))
        return 0;
    line = config_setting_source_line(config_lookup(&document->config, "default_profile"));
    list_profiles(top, names);
    return dg_fail(error, "%s:%u: default_profile: no profile \"%s\"; this file has: %s",
                   dg_source_file(document->source, line), dg_source_line(document->source, line),
                   top->default_profile, names);
}

/* The name of the profile to use, or NULL with the reason in `error`. */
static const char *choose_profile(const struct dg_document *document,
                                  const struct dg_schema_top *top, const char *asked,
                                  struct dg_error *error)
{
    const char *from_environment = environment("DISTGUARD_PROFILE");
    const char *chosen = asked != NULL ? asked : from_environment;
    char names[PROFILE_NAMES_SIZE];

    if (check_default_profile(document, top, error) != 0)
        return NULL;
    if (chosen == NULL)
        chosen = top->default_profile;
    if (chosen == NULL && config_setting_length(top->profiles) == 1)
        chosen = config_setting_name(config_setting_get_elem(top->profiles, 0));
    if (chosen != NULL && has_profile(top, chosen))
        return chosen;

    list_profiles(top, names);
    if (chosen == NULL)
        dg_fail(error,
                "%s: no profile is chosen and the file has several; set default_profile, or "
                "DISTGUARD_PROFILE, to one of: %s",
                document->source->files[0], names);
    else
        dg_fail(error, "%s: no profile \"%s\"%s; this file has: %s", document->source->files[0],
                chosen, asked == NULL ? " (DISTGUARD_PROFILE)" : "", names);
    return NULL;
}

/* Reads every profile, so that a mistake shows before the profile is needed; keeps the chosen one.
 */
static int read_profiles(const struct dg_document *document, const struct dg_schema_top *top,
                         const char *chosen, struct dg_policy **policy, struct dg_error *error)
{
    for (int i = 0; i < config_setting_length(top->profiles); i++) {
        config_setting_t *group = config_setting_get_elem(top->profiles, (unsigned)i);
        struct dg_policy *new = NULL;

        if (dg_profile_read(document, top->profiles, group, &new, error) != 0)
            return -1;
        if (strcmp(new->profile, chosen) == 0)
            *policy = new;
        else
            dg_policy_free(new);
    }
    return 0;
}

static int list_all_profiles(const struct dg_schema_top *top, struct dg_policy *policy,
                             struct dg_error *error)
{
    for (int i = 0; i < config_setting_length(top->profiles); i++)
        if (dg_string_list_append(&policy->profiles, config_setting_name(config_setting_get_elem(
                                                         top->profiles, (unsigned)i))) != 0)
            return dg_fail(error, "out of memory while reading the policy");
    return 0;
}

static int read_document(struct dg_document *document, const char *profile,
                         struct dg_policy **policy, struct dg_error *error)
{
    struct dg_schema_top top = {.version = 0};
    config_setting_t *root;
    const char *chosen;
    int result;

    if (parse(document, error) != 0)
        return -1;
    root = config_root_setting(&document->config);
    result = dg_keys_read(dg_schema_top, document, &(struct dg_chain){&root, 1}, &top, error);
    if (result == 0) {
        chosen = choose_profile(document, &top, profile, error);
        result = chosen == NULL ? -1 : read_profiles(document, &top, chosen, policy, error);
        if (result == 0)
            result = list_all_profiles(&top, *policy, error);
    }
    free(top.default_profile);
    return result;
}

/* Messages quote the file and the environment: nothing in them may steer the terminal that shows
 * them. */
static void defuse(struct dg_error *error)
{
    for (char *byte = error->text; *byte != '\0'; byte++)
        if ((unsigned char)*byte < ' ' || *byte == '\x7f')
            *byte = '?';
}

int dg_policy_load(const char *file, const char *profile, struct dg_policy **policy,
                   struct dg_error *error)
{
    const char *path = choose_file(file, error);
    struct dg_document document;
    struct dg_source source;
    int result = -1;

    *policy = NULL;
    if (path != NULL && dg_source_read(&source, path, error) == 0) {
        document.source = &source;
        config_init(&document.config);
        result = read_document(&document, profile, policy, error);
        config_destroy(&document.config);
        if (result == 0)
            dg_source_give_files(&source, &(*policy)->files);
        dg_source_free(&source);
    }
    if (result != 0) {
        dg_policy_free(*policy);
        *policy = NULL;
        defuse(error);
    }
    return result;
}

void dg_policy_free(struct dg_policy *policy)
{
    if (policy == NULL)
        return;
    dg_string_list_free(&policy->programs);
    dg_string_list_free(&policy->profiles);
    dg_string_list_free(&policy->files);
    dg_peer_list_free(&policy->peers);
    dg_bind_list_free(&policy->distribution.bind);
    dg_bind_list_free(&policy->distribution.connect_from);
    dg_network_list_free(&policy->distribution.allow_from);
    dg_network_list_free(&policy->distribution.allow_to);
    free(policy->distribution.ports.ranges);
    dg_bind_list_free(&policy->epmd.bind);
    dg_network_list_free(&policy->epmd.allow_from);
    dg_network_list_free(&policy->epmd.allow_to);
    free(policy->tls.certificate);
    free(policy->tls.private_key);
    free(policy->tls.ca);
    free(policy->tls.crl);
    free(policy->log.file);
    free(policy->file);
    free(policy->profile);
    free(policy->inherit);
    free(policy);
}
