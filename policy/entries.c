/* The entries of `peers` as values of settings. */
#include <stdlib.h>
#include <string.h>

#include "policy/hostname.h"
#include "policy/lists.h"
#include "policy/networks.h"
#include "policy/peers.h"
#include "policy/pin.h"
#include "policy/schema.h"
#include "policy/uri.h"
#include "policy/values.h"

static bool is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

int dg_parse_dns(const struct dg_key *key, const config_setting_t *setting, void *target,
                 struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading), *problem;
    struct dg_network network;

    (void)key;
    if (text == NULL)
        return -1;
    if (dg_network_parse(text, &network, &problem) || network.host.family != DG_FAMILY_NONE)
        return dg_wrong(reading, setting, "\"%s\" is an address; write ip = \"%s\"", text, text);
    if (!is_ascii(text))
        return dg_wrong(reading, setting,
                        "\"%s\" is not ASCII; write it as certificates do, in A-labels (xn--…)",
                        text);
    if (dg_hostname_valid(text) || dg_hostname_is_pattern(text, 1))
        return dg_copy_text(text, target, setting, reading);
    if (strchr(text, '*') != NULL)
        return dg_wrong(reading, setting,
                        "\"%s\" has a * that is not the whole first label of a host name", text);
    return dg_wrong(reading, setting, "\"%s\" is no host name", text);
}

int dg_parse_network(const struct dg_key *key, const config_setting_t *setting, void *target,
                     struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    (void)key;
    return text == NULL ? -1 : dg_read_network(setting, text, target, reading);
}

int dg_parse_uri(const struct dg_key *key, const config_setting_t *setting, void *target,
                 struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading), *problem;

    (void)key;
    if (text == NULL)
        return -1;
    problem = dg_uri_problem(text);
    if (problem != NULL)
        return dg_wrong(reading, setting, "\"%s\" %s", text, problem);
    return dg_copy_text(text, target, setting, reading);
}

int dg_parse_pin(const struct dg_key *key, const config_setting_t *setting, void *target,
                 struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);
    struct dg_peer_rule *rule = target;

    (void)key;
    if (text == NULL)
        return -1;
    if (!dg_pin_parse(text, rule->spki))
        return dg_wrong(reading, setting, "\"%s\" is no SHA-256", text);
    rule->pinned = true;
    return 0;
}

static int parse_pattern(const config_setting_t *setting, struct dg_string_list *list,
                         struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading), *at;

    if (text == NULL)
        return -1;
    at = strchr(text, '@');
    if (at == NULL)
        return dg_wrong(reading, setting, "\"%s\" has no @; for any host write \"%s@*\"", text,
                        text);
    if (strchr(at + 1, '@') != NULL)
        return dg_wrong(reading, setting, "\"%s\" has more than one @", text);
    if (at[1] == '\0')
        return dg_wrong(reading, setting, "\"%s\" has no host; for any host write \"%s*\"", text,
                        text);
    for (const char *byte = text; *byte != '\0'; byte++)
        if ((unsigned char)*byte <= ' ' || *byte == '\x7f')
            return dg_wrong(reading, setting, "\"%s\" has a blank or control character", text);
    return dg_string_list_append(list, text) == 0 ? 0 : dg_wrong(reading, setting, "out of memory");
}

int dg_parse_nodes(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    (void)key;
    if (!dg_is_sequence(setting))
        return parse_pattern(setting, target, reading);
    if (config_setting_length(setting) == 0)
        return dg_wrong(reading, setting,
                        "empty, so it could be no node; to let it be any, leave nodes out");
    for (int i = 0; i < config_setting_length(setting); i++)
        if (parse_pattern(config_setting_get_elem(setting, (unsigned)i), target, reading) != 0)
            return -1;
    return 0;
}

/* An entry's message is whole, as its own keys' are. */
static int fail_entry(const config_setting_t *entry, const char *what, struct dg_reading *reading)
{
    const config_setting_t *list = config_setting_parent(entry);
    struct dg_error path;

    dg_fail(&path, "%s[%d]", config_setting_name(list), config_setting_index(entry));
    reading->complete = true;
    return dg_key_fail(reading->document, config_setting_parent(list), entry, path.text, what,
                       &reading->what);
}

static bool names_certificates(const struct dg_peer_rule *rule)
{
    return rule->dns != NULL || rule->ip.host.family != DG_FAMILY_NONE || rule->uri != NULL ||
           rule->pinned;
}

/* The first entry that matches counts: one whose certificates all match an earlier one never does.
 */
static int check_reach(const struct dg_peer_list *list, const config_setting_t *entry,
                       struct dg_reading *reading)
{
    const struct dg_peer_rule *rule = &list->rules[list->count - 1];
    struct dg_error what;

    for (size_t i = 0; i + 1 < list->count; i++) {
        const struct dg_peer_rule *earlier = &list->rules[i];

        if (!dg_peer_rule_covers(earlier, rule))
            continue;
        dg_fail(&what,
                "never counts, because all its certificates match the entry at %s:%u first; put "
                "the narrower one first, or make them one",
                earlier->place.file, earlier->place.line);
        return fail_entry(entry, what.text, reading);
    }
    return 0;
}

static int parse_entry(config_setting_t *entry, struct dg_peer_list *list,
                       struct dg_reading *reading)
{
    struct dg_peer_rule *rule = &list->rules[list->count++];

    if (!config_setting_is_group(entry))
        return fail_entry(entry, "not a group; write { … } with any of: dns, ip, uri, spki, nodes",
                          reading);
    rule->place = dg_place_of(reading, entry);
    if (dg_keys_read(dg_schema_peer, reading->document, &(struct dg_chain){&entry, 1}, rule,
                     &reading->what) != 0) {
        reading->complete = true;
        return -1;
    }
    if (!names_certificates(rule))
        return fail_entry(entry,
                          "says of no certificate that it is meant; give at least one of: dns, ip, "
                          "uri, spki",
                          reading);
    return check_reach(list, entry, reading);
}

int dg_parse_peers(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    struct dg_peer_list *list = target;
    size_t count;

    (void)key;
    if (dg_is_sequence(setting) && config_setting_length(setting) == 0)
        return dg_wrong(reading, setting,
                        "empty, so nobody could join; to let every certificate of the CA join, "
                        "leave peers out");
    if (!config_setting_is_list(setting))
        return dg_wrong_type(reading, setting);
    count = (size_t)config_setting_length(setting);
    list->rules = calloc(count, sizeof *list->rules);
    if (list->rules == NULL)
        return dg_wrong(reading, setting, "out of memory");
    list->given = true;
    list->place = dg_place_of(reading, setting);
    for (size_t i = 0; i < count; i++)
        if (parse_entry(config_setting_get_elem(setting, (unsigned)i), list, reading) != 0)
            return -1;
    return 0;
}
