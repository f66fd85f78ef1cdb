/* Whether a certificate may join, and as which node. */
#include <stdio.h>
#include <string.h>

#include "policy/glob.h"
#include "policy/identity.h"
#include "policy/peers.h"

#define PATTERNS_SIZE 256

static const struct dg_peer_rule *find_rule(const struct dg_peer_list *peers,
                                            const struct dg_identity *identity)
{
    for (size_t i = 0; i < peers->count; i++)
        if (dg_peer_rule_matches(&peers->rules[i], identity))
            return &peers->rules[i];
    return NULL;
}

static bool refuse_stranger(const struct dg_policy *policy, struct dg_error *error)
{
    dg_fail(error, "its certificate matches no entry of peers (%s:%u)", policy->peers.place.file,
            policy->peers.place.line);
    return false;
}

bool dg_policy_admits(const struct dg_policy *policy, const struct dg_identity *identity,
                      struct dg_error *error)
{
    if (!policy->peers.given || find_rule(&policy->peers, identity) != NULL)
        return true;
    return refuse_stranger(policy, error);
}

static bool check_nodes(const struct dg_peer_rule *rule, const char *name, size_t size,
                        struct dg_error *error)
{
    char patterns[PATTERNS_SIZE] = "";
    size_t used = 0;

    for (size_t i = 0; i < rule->nodes.count; i++)
        if (dg_glob_matches(rule->nodes.strings[i], name, size))
            return true;
    for (size_t i = 0; i < rule->nodes.count && used < sizeof patterns; i++)
        used += (size_t)snprintf(patterns + used, sizeof patterns - used, "%s%s",
                                 i == 0 ? "" : ", ", rule->nodes.strings[i]);
    dg_fail(error, "entry of peers at %s:%u lets it be %s only", rule->place.file, rule->place.line,
            patterns);
    return false;
}

static bool refuse_name(const struct dg_policy *policy, const char *what, struct dg_error *error)
{
    const struct dg_place *place = &policy->node_names_place;
    const char *word = dg_node_names_name(policy->node_names);

    if (place->file == NULL)
        dg_fail(error, "%s (node_names = %s, the default)", what, word);
    else
        dg_fail(error, "%s (node_names = %s, %s:%u)", what, word, place->file, place->line);
    return false;
}

static bool check_host(const struct dg_policy *policy, const struct dg_identity *identity,
                       const char *name, size_t size, struct dg_error *error)
{
    const char *at = memchr(name, '@', size);

    if (at == NULL)
        return refuse_name(policy, "the node name that it claims has no host", error);
    if (dg_identity_has_host(identity, at + 1, size - (size_t)(at + 1 - name)))
        return true;
    return refuse_name(policy, "its certificate is not for the host it claims", error);
}

static bool check_exact(const struct dg_policy *policy, const struct dg_identity *identity,
                        const char *name, size_t size, struct dg_error *error)
{
    static const char scheme[] = "erlang:";

    if (size > 0 && name[0] == '@')
        return refuse_name(policy, "it has no node name of its own, which a certificate could have",
                           error);
    for (size_t i = 0; i < identity->uris.count; i++) {
        const char *uri = identity->uris.strings[i];

        if (strncmp(uri, scheme, strlen(scheme)) == 0 && strlen(uri) == strlen(scheme) + size &&
            memcmp(uri + strlen(scheme), name, size) == 0)
            return true;
    }
    return refuse_name(policy, "its certificate does not have the node name it claims", error);
}

/* No node has them, and who reads a log would take "a\0@host" for another name than it is. */
static bool has_control_bytes(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == '\x7f')
            return true;
    return false;
}

bool dg_policy_admits_node(const struct dg_policy *policy, const struct dg_identity *identity,
                           const char *name, size_t size, struct dg_error *error)
{
    const struct dg_peer_rule *rule = find_rule(&policy->peers, identity);

    if (policy->peers.given && rule == NULL)
        return refuse_stranger(policy, error);
    if (has_control_bytes(name, size)) {
        dg_fail(error, "the node name that it claims has a control byte in it");
        return false;
    }
    if (rule != NULL && rule->nodes.count > 0 && !check_nodes(rule, name, size, error))
        return false;
    switch (policy->node_names) {
    case DG_NODE_NAMES_OFF:
        return true;
    case DG_NODE_NAMES_EXACT:
        return check_exact(policy, identity, name, size, error);
    case DG_NODE_NAMES_HOST:
    default:
        return check_host(policy, identity, name, size, error);
    }
}
