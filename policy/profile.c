#include "policy/profile.h"

#include <stdlib.h>
#include <string.h>

#include "policy/inherit.h"
#include "policy/lists.h"
#include "policy/schema.h"

static int out_of_memory(struct dg_error *error)
{
    return dg_fail(error, "out of memory while reading the policy");
}

/*
 * Where there is no distribution, settings of it are a contradiction. They are looked for as far as
 * the profile that says so: what that one overrides by it, further down the chain, it may.
 */
static int check_disabled(const struct dg_document *document, const struct dg_chain *chain,
                          const struct dg_policy *policy, struct dg_error *error)
{
    static const char *const keys[] = {"distribution.bind", "distribution.connect_from",
                                       "distribution.allow_from", "distribution.allow_to",
                                       "distribution.ports"};
    const struct dg_place *place = &policy->distribution.enabled_place;
    struct dg_error what;

    for (size_t i = 0; i < chain->count; i++) {
        config_setting_t *group = chain->groups[i];

        for (size_t key = 0; key < sizeof keys / sizeof keys[0]; key++) {
            const config_setting_t *setting = config_setting_lookup(group, keys[key]);

            if (setting == NULL)
                continue;
            dg_fail(&what,
                    "distribution is switched off by enabled = false (%s:%u); remove one of "
                    "the two",
                    place->file, place->line);
            return dg_key_fail(document, group, setting, keys[key], what.text, error);
        }
        if (config_setting_lookup(group, "distribution.enabled") != NULL)
            break;
    }
    return 0;
}

/* As bind, as far as that leads to other hosts; elsewhere the kernel chooses. */
static int fill_sources(struct dg_distribution_policy *distribution)
{
    if (distribution->connect_from.count > 0)
        return 0;
    for (size_t i = 0; i < distribution->bind.count; i++) {
        const struct dg_bind_rule *rule = &distribution->bind.rules[i];

        if (rule->kind != DG_BIND_ANY && !dg_bind_rule_is_loopback(rule) &&
            dg_bind_list_append(&distribution->connect_from, rule) != 0)
            return -1;
    }
    return 0;
}

/* The defaults that are other settings. */
static int fill_gaps(struct dg_policy *policy)
{
    const struct dg_distribution_policy *distribution = &policy->distribution;
    struct dg_epmd_policy *epmd = &policy->epmd;

    if (fill_sources(&policy->distribution) != 0)
        return -1;
    if (epmd->bind.count == 0 && dg_bind_list_copy(&epmd->bind, &distribution->bind) != 0)
        return -1;
    if (!epmd->allow_from.given &&
        dg_network_list_copy(&epmd->allow_from, &distribution->allow_from) != 0)
        return -1;
    if (epmd->allow_to.given)
        return 0;
    return dg_network_list_copy(&epmd->allow_to, &distribution->allow_to);
}

static int fill(const struct dg_document *document, const struct dg_chain *chain,
                struct dg_policy *policy, struct dg_error *error)
{
    policy->file = strdup(document->source->files[0]);
    policy->profile = strdup(config_setting_name(chain->groups[0]));
    if (policy->file == NULL || policy->profile == NULL)
        return out_of_memory(error);
    if (dg_keys_read(dg_schema_profile, document, chain, policy, error) != 0)
        return -1;
    if (!policy->distribution.enabled && check_disabled(document, chain, policy, error) != 0)
        return -1;
    return fill_gaps(policy) == 0 ? 0 : out_of_memory(error);
}

int dg_profile_read(const struct dg_document *document, const config_setting_t *profiles,
                    config_setting_t *profile, struct dg_policy **policy, struct dg_error *error)
{
    struct dg_policy *new = calloc(1, sizeof *new);
    struct dg_chain chain;
    int result;

    if (new == NULL)
        return out_of_memory(error);
    result = dg_inherit_chain(document, profiles, profile, &chain, error);
    if (result == 0) {
        result = fill(document, &chain, new, error);
        dg_inherit_free(&chain);
    }
    if (result == 0)
        *policy = new;
    else
        dg_policy_free(new);
    return result;
}
