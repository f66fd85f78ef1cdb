#include "policy/changes.h"

#include <stdio.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_rule(const struct dg_bind_rule *a, const struct dg_bind_rule *b)
{
    return a->kind == b->kind && same_text(a->interface, b->interface) &&
           a->network.prefix == b->network.prefix &&
           dg_host_equal(&a->network.host, &b->network.host);
}

static bool same_binds(const struct dg_bind_list *a, const struct dg_bind_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = same_rule(&a->rules[i], &b->rules[i]);
    return same;
}

static bool same_ports(const struct dg_port_list *a, const struct dg_port_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = a->ranges[i].first == b->ranges[i].first && a->ranges[i].last == b->ranges[i].last;
    return same;
}

static bool same_strings(const struct dg_string_list *a, const struct dg_string_list *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->strings[i], b->strings[i]) == 0;
    return same;
}

static bool same_log(const struct dg_log_policy *a, const struct dg_log_policy *b)
{
    return a->target == b->target && a->level == b->level && same_text(a->file, b->file);
}

static void add(char keys[DG_CHANGES_SIZE], bool same, const char *key)
{
    size_t used = strlen(keys);

    if (!same)
        (void)snprintf(keys + used, DG_CHANGES_SIZE - used, "%s%s", used > 0 ? ", " : "", key);
}

void dg_policy_changes_for_later(const struct dg_policy *before, const struct dg_policy *after,
                                 char keys[DG_CHANGES_SIZE])
{
    keys[0] = '\0';
    add(keys, same_strings(&before->programs, &after->programs), "programs");
    add(keys, same_binds(&before->distribution.bind, &after->distribution.bind),
        "distribution.bind");
    add(keys, same_ports(&before->distribution.ports, &after->distribution.ports),
        "distribution.ports");
    add(keys, same_binds(&before->epmd.bind, &after->epmd.bind), "epmd.bind");
    add(keys, before->epmd.port == after->epmd.port, "epmd.port");
    add(keys, same_log(&before->log, &after->log), "log");
}
