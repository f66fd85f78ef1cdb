#include "policy/inherit.h"

#include <stdlib.h>

#include "policy/suggest.h"

static int fail(const struct dg_document *document, const config_setting_t *profile,
                const char *what, struct dg_error *error)
{
    return dg_key_fail(document, profile, config_setting_get_member(profile, "inherit"), "inherit",
                       what, error);
}

static int fail_unknown(const struct dg_document *document, const config_setting_t *profiles,
                        const config_setting_t *profile, const char *name, struct dg_error *error)
{
    struct dg_suggestion suggestion;
    struct dg_error what;

    dg_suggest_start(&suggestion, name);
    for (int i = 0; i < config_setting_length(profiles); i++) {
        const config_setting_t *candidate = config_setting_get_elem(profiles, (unsigned)i);

        if (candidate != profile)
            dg_suggest_candidate(&suggestion, config_setting_name(candidate));
    }
    if (suggestion.best == NULL)
        dg_fail(&what, "this file has no profile \"%s\"", name);
    else
        dg_fail(&what, "this file has no profile \"%s\" (did you mean \"%s\"?)", name,
                suggestion.best);
    return fail(document, profile, what.text, error);
}

static bool holds(const struct dg_chain *chain, const config_setting_t *profile)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->groups[i] == profile)
            return true;
    return false;
}

/* Appends what the chain's last profile inherits from. Returns 1, or 0 at the end. What is no text
 * ends the chain, too: it is an error where that profile's own keys are read. */
static int extend(const struct dg_document *document, const config_setting_t *profiles,
                  struct dg_chain *chain, struct dg_error *error)
{
    const config_setting_t *last = chain->groups[chain->count - 1];
    config_setting_t *next;
    struct dg_error what;
    const char *name;

    if (!config_setting_lookup_string(last, "inherit", &name))
        return 0;
    next = config_setting_get_member(profiles, name);
    if (next == NULL)
        return fail_unknown(document, profiles, last, name, error);
    if (holds(chain, next)) {
        dg_fail(&what, "\"%s\" closes a circle; a profile cannot inherit from itself", name);
        return fail(document, last, what.text, error);
    }
    chain->groups[chain->count++] = next;
    return 1;
}

int dg_inherit_chain(const struct dg_document *document, const config_setting_t *profiles,
                     config_setting_t *profile, struct dg_chain *chain, struct dg_error *error)
{
    int result;

    /* No profile is in it twice. */
    chain->groups = calloc((size_t)config_setting_length(profiles), sizeof(config_setting_t *));
    if (chain->groups == NULL)
        return dg_fail(error, "out of memory while reading the policy");
    chain->groups[0] = profile;
    chain->count = 1;
    do
        result = extend(document, profiles, chain, error);
    while (result > 0);
    if (result != 0)
        dg_inherit_free(chain);
    return result;
}

void dg_inherit_free(struct dg_chain *chain)
{
    free(chain->groups);
    chain->groups = NULL;
    chain->count = 0;
}
