#include "policy/networks.h"

#include <stdlib.h>

#include "policy/values.h"

int dg_read_network(const config_setting_t *setting, const char *text, struct dg_network *network,
                    struct dg_reading *reading)
{
    char meant[DG_NETWORK_TEXT];
    const char *problem;

    if (dg_network_parse(text, network, &problem))
        return 0;
    if (network->host.family == DG_FAMILY_NONE)
        return dg_wrong(reading, setting, "\"%s\" %s", text, problem);
    dg_network_print(network, meant);
    return dg_wrong(reading, setting, "\"%s\" %s, write \"%s\"", text, problem, meant);
}

static int parse_element(const config_setting_t *setting, struct dg_network_rule *rule,
                         struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    if (text == NULL || dg_read_network(setting, text, &rule->network, reading) != 0)
        return -1;
    if (dg_network_is_single(&rule->network) && dg_host_is_wildcard(&rule->network.host))
        return dg_wrong(reading, setting, "\"%s\" is no host's address; for all of them write %s",
                        text,
                        rule->network.host.family == DG_FAMILY_IPV4 ? "\"0.0.0.0/0\"" : "\"::/0\"");
    rule->place = dg_place_of(reading, setting);
    return 0;
}

int dg_parse_networks(const struct dg_key *key, const config_setting_t *setting, void *target,
                      struct dg_reading *reading)
{
    struct dg_network_list *list = target;
    size_t count;

    (void)key;
    if (!dg_is_sequence(setting))
        return dg_wrong_type(reading, setting);
    count = (size_t)config_setting_length(setting);
    if (count == 0)
        return dg_wrong(reading, setting,
                        "empty, so nobody would be allowed; for that, say enabled = false in "
                        "distribution");
    list->rules = calloc(count, sizeof *list->rules);
    if (list->rules == NULL)
        return dg_wrong(reading, setting, "out of memory");
    list->given = true;
    list->place = dg_place_of(reading, setting);
    for (; list->count < count; list->count++)
        if (parse_element(config_setting_get_elem(setting, (unsigned)list->count),
                          &list->rules[list->count], reading) != 0)
            return -1;
    return 0;
}
