/* Questions to a policy that need nothing but its values. */
#include <string.h>

#include "policy/policy.h"
#include "policy/words.h"

const struct dg_network_rule *dg_policy_allows(const struct dg_network_list *list,
                                               const struct dg_host *host, bool *open)
{
    *open = !list->given || dg_host_is_loopback(host);
    for (size_t i = 0; i < list->count; i++)
        if (dg_network_contains(&list->rules[i].network, host))
            return &list->rules[i];
    return NULL;
}

bool dg_bind_rule_is_loopback(const struct dg_bind_rule *rule)
{
    switch (rule->kind) {
    case DG_BIND_LOOPBACK:
        return true;
    case DG_BIND_NETWORK:
        /* 127.0.0.0/8 or a part of it, ::1: every wider network begins with another address. */
        return dg_host_is_loopback(&rule->network.host) && rule->network.prefix >= 8;
    case DG_BIND_ANY:
    case DG_BIND_INTERFACE:
    default:
        return false;
    }
}

bool dg_policy_port_listed(const struct dg_port_list *ports, uint16_t port)
{
    for (size_t i = 0; i < ports->count; i++)
        if (ports->ranges[i].first <= port && port <= ports->ranges[i].last)
            return true;
    return false;
}

/* The emulator's file is named after how it was built: beam, beam.smp, beam.debug.smp,
 * beam.lcnt.smp, … */
static bool is_emulator(const char *program)
{
    return strcmp(program, "beam") == 0 || strncmp(program, "beam.", strlen("beam.")) == 0;
}

bool dg_policy_guards(const struct dg_policy *policy, const char *program)
{
    for (size_t i = 0; i < policy->programs.count; i++) {
        const char *guarded = policy->programs.strings[i];

        if (strcmp(guarded, program) == 0)
            return true;
        if (strcmp(guarded, "beam.smp") == 0 && is_emulator(program))
            return true;
    }
    return false;
}

static const char *name_of(const struct dg_word *words, unsigned value)
{
    for (const struct dg_word *word = words; word->name != NULL; word++)
        if (word->value == value)
            return word->name;
    return "unknown";
}

const char *dg_mode_name(enum dg_mode mode)
{
    return name_of(dg_mode_words, mode);
}

const char *dg_node_names_name(enum dg_node_names node_names)
{
    return name_of(dg_node_names_words, node_names);
}

const char *dg_tls_version_name(enum dg_tls_version version)
{
    return name_of(dg_tls_version_words, version);
}

const char *dg_local_name(enum dg_local local)
{
    return name_of(dg_local_words, local);
}

const char *dg_log_level_name(enum dg_log_level level)
{
    return name_of(dg_log_level_words, level);
}
