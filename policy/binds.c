/* Where to listen, and where to connect from, as values of settings. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "policy/networks.h"
#include "policy/suggest.h"
#include "policy/values.h"

#define INTERFACE_PREFIX "interface:"
#define LONGEST_INTERFACE 15 /* the kernel's IFNAMSIZ, without its terminator */

static const struct dg_word bind_words[] = {
    {"loopback", DG_BIND_LOOPBACK},
    {"any", DG_BIND_ANY},
    {NULL, 0},
};

/* What the kernel would take as a name (dev_valid_name). */
static bool is_interface(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > LONGEST_INTERFACE || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return false;
    for (; *name != '\0'; name++)
        if (*name == '/' || *name == ':' || isspace((unsigned char)*name))
            return false;
    return true;
}

static int parse_interface(const config_setting_t *setting, const char *name,
                           struct dg_bind_rule *rule, struct dg_reading *reading)
{
    if (!is_interface(name))
        return dg_wrong(reading, setting,
                        "\"%s\" is no name that an interface can have (1 to %d characters, no "
                        "blank, / or :)",
                        name, LONGEST_INTERFACE);
    rule->kind = DG_BIND_INTERFACE;
    rule->interface = strdup(name);
    return rule->interface == NULL ? dg_wrong(reading, setting, "out of memory") : 0;
}

/* Why no listener can be at an address of this network, or NULL. */
static const char *unfit(const struct dg_network *network)
{
    const uint8_t *bytes = network->host.bytes;

    if (network->prefix == 0 ||
        (dg_network_is_single(network) && dg_host_is_wildcard(&network->host)))
        return "is every address, for which the word is \"any\"";
    if (network->host.family == DG_FAMILY_IPV4)
        return bytes[0] >= 224 ? "holds no address that a host can have" : NULL;
    if (bytes[0] == 0xff)
        return "holds no address that a host can have";
    if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
        return "is link-local, where an address needs an interface to mean anything; name a "
               "global or unique local one";
    return NULL;
}

static int parse_network(const config_setting_t *setting, const char *text,
                         struct dg_bind_rule *rule, struct dg_reading *reading)
{
    const char *why;

    if (dg_read_network(setting, text, &rule->network, reading) != 0)
        return -1;
    rule->kind = DG_BIND_NETWORK;
    why = unfit(&rule->network);
    return why == NULL ? 0 : dg_wrong(reading, setting, "\"%s\" %s", text, why);
}

/* The words have their own parser, which also knows what a misspelt one was meant to be. */
static int parse_word(const config_setting_t *setting, struct dg_bind_rule *rule,
                      struct dg_reading *reading)
{
    static const struct dg_key key = {.words = bind_words};
    unsigned kind = DG_BIND_LOOPBACK;

    if (dg_parse_word(&key, setting, &kind, reading) != 0)
        return -1;
    rule->kind = (enum dg_bind_kind)kind;
    return 0;
}

static int parse_rule(const config_setting_t *setting, struct dg_bind_rule *rule,
                      struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    if (text == NULL)
        return -1;
    rule->place = dg_place_of(reading, setting);
    if (strncmp(text, INTERFACE_PREFIX, strlen(INTERFACE_PREFIX)) == 0)
        return parse_interface(setting, text + strlen(INTERFACE_PREFIX), rule, reading);
    if (strpbrk(text, ".:/") != NULL)
        return parse_network(setting, text, rule, reading);
    return parse_word(setting, rule, reading);
}

/* The family for which a rule speaks; none: for both. */
static enum dg_family family_of(const struct dg_bind_rule *rule)
{
    return rule->kind == DG_BIND_NETWORK ? rule->network.host.family : DG_FAMILY_NONE;
}

/* For which families two rules speak both, or NULL. */
static const char *overlap(const struct dg_bind_rule *a, const struct dg_bind_rule *b)
{
    enum dg_family one = family_of(a), other = family_of(b);
    enum dg_family common = one == DG_FAMILY_NONE ? other : one;

    if (one != DG_FAMILY_NONE && other != DG_FAMILY_NONE && one != other)
        return NULL;
    if (common == DG_FAMILY_NONE)
        return "IPv4 and IPv6";
    return common == DG_FAMILY_IPV4 ? "IPv4" : "IPv6";
}

/* Whether the list's last rule leaves it clear which rule counts for which family. */
static int check_families(const config_setting_t *setting, const struct dg_bind_list *list,
                          struct dg_reading *reading)
{
    size_t last = list->count - 1;

    for (size_t i = 0; i < last; i++) {
        const char *both = overlap(&list->rules[i], &list->rules[last]);
        const config_setting_t *at = config_setting_get_elem(setting, (unsigned)last);

        if (both != NULL)
            return dg_wrong(reading, at, "\"%s\" and \"%s\" both speak for %s, keep one of them",
                            config_setting_get_string_elem(setting, (int)i),
                            config_setting_get_string(at), both);
    }
    return 0;
}

static int parse_element(const config_setting_t *setting, struct dg_bind_list *list,
                         struct dg_reading *reading)
{
    /* Counted first: what it holds by then must be freed even if it is wrong. */
    return parse_rule(setting, &list->rules[list->count++], reading);
}

int dg_parse_binds(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    struct dg_bind_list *list = target;
    bool many = dg_is_sequence(setting);
    size_t count = many ? (size_t)config_setting_length(setting) : 1;

    (void)key;
    if (count == 0)
        return dg_wrong(reading, setting,
                        "empty, which is no place; for no distribution at all, say enabled = "
                        "false in distribution");
    list->rules = calloc(count, sizeof *list->rules);
    if (list->rules == NULL)
        return dg_wrong(reading, setting, "out of memory");
    if (!many)
        return parse_element(setting, list, reading);
    while (list->count < count)
        if (parse_element(config_setting_get_elem(setting, (unsigned)list->count), list, reading) !=
                0 ||
            check_families(setting, list, reading) != 0)
            return -1;
    return 0;
}

int dg_parse_sources(const struct dg_key *key, const config_setting_t *setting, void *target,
                     struct dg_reading *reading)
{
    const struct dg_bind_list *list = target;

    if (dg_parse_binds(key, setting, target, reading) != 0)
        return -1;
    for (size_t i = 0; i < list->count; i++) {
        const struct dg_bind_rule *rule = &list->rules[i];
        const config_setting_t *at =
            dg_is_sequence(setting) ? config_setting_get_elem(setting, (unsigned)i) : setting;

        if (rule->kind == DG_BIND_ANY)
            return dg_wrong(reading, at,
                            "\"any\" leaves the choice to the kernel, as it has it "
                            "where bind is \"any\" or \"loopback\"; leave the key out");
        if (dg_bind_rule_is_loopback(rule))
            return dg_wrong(reading, at, "\"%s\" reaches no other host; leave the key out",
                            config_setting_get_string(at));
    }
    return 0;
}
