#include "cli/forecast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/wording.h"
#include "shim/core/socket/placement.h"

#define KEY_SIZE 64

static const struct {
    const char *name;
    enum dg_family family;
    const char *loopback;
} families[] = {{"ipv4", DG_FAMILY_IPV4, "127.0.0.1"}, {"ipv6", DG_FAMILY_IPV6, "::1"}};

/* Where a listener or a source will be, in words: `none` where no rule speaks for the family, and
 * `also` (unless NULL) where one does. */
static char *word_placement(const struct dg_bind_list *rules, enum dg_family family,
                            const char *any, const char *none, const char *also)
{
    const struct dg_bind_rule *rule;
    char address[DG_NETWORK_TEXT];
    struct dg_error error;
    struct dg_host host;

    switch (dg_place_listener(rules, family, &host, &rule, &error)) {
    case DG_PLACEMENT_FOUND:
        dg_host_print(&host, address);
        return also == NULL || strcmp(address, also) == 0 ? dg_word("%s", address)
                                                          : dg_word("%s, %s", address, also);
    case DG_PLACEMENT_ANY:
        return dg_word("%s", any);
    case DG_PLACEMENT_OTHER_FAMILY:
        return dg_word("%s", none);
    case DG_PLACEMENT_FAILED:
    default:
        return dg_word("unusable: %s", error.text);
    }
}

static void print_owned(const char *group, const char *key, char *value)
{
    char name[2 * KEY_SIZE]; /* a group's and a key's */

    (void)snprintf(name, sizeof name, "%s.%s", group, key);
    dg_print_fact(name, "%s", value);
    free(value);
}

static void print_placements(const char *group, const char *key, const struct dg_bind_list *rules,
                             const char *any)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char name[KEY_SIZE];

        (void)snprintf(name, sizeof name, "%s.%s", key, families[i].name);
        print_owned(group, name, word_placement(rules, families[i].family, any, "none", NULL));
    }
}

/* This host itself is in no list, and always allowed. */
static void print_networks(const char *group, const char *key, const struct dg_network_list *list,
                           const char *all)
{
    print_owned(group, key,
                list->given ? dg_word_network_rules(list) : dg_word("%s (default)", all));
}

static void print_distribution(const struct dg_distribution_policy *distribution)
{
    static const char group[] = "distribution";
    char *place;

    if (!distribution->enabled) {
        place = dg_word_place(&distribution->enabled_place);
        print_owned(group, "enabled", dg_word("false (%s)", place));
        free(place);
        return;
    }
    print_owned(group, "bind", dg_word_rules(&distribution->bind));
    print_placements(group, "listens", &distribution->bind, "any");
    print_networks(group, "accepts_from", &distribution->allow_from, "all that reach it");
    print_networks(group, "connects_to", &distribution->allow_to, "anywhere");
    print_placements(group, "connects_from", &distribution->connect_from, "the kernel's choice");
}

/* epmd itself adds loopback to the addresses that it is given. */
static void print_epmd_listeners(const struct dg_bind_list *rules)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const char *loopback = families[i].loopback;
        char key[KEY_SIZE];

        (void)snprintf(key, sizeof key, "listens.%s", families[i].name);
        print_owned("epmd", key,
                    word_placement(rules, families[i].family, "any", loopback, loopback));
    }
}

static void print_epmd(const struct dg_policy *policy)
{
    static const char group[] = "epmd";

    print_owned(group, "bind", dg_word_rules(&policy->epmd.bind));
    print_epmd_listeners(&policy->epmd.bind);
    print_networks(group, "accepts_from", &policy->epmd.allow_from, "all that reach it");
    if (policy->distribution.enabled)
        print_networks(group, "connects_to", &policy->epmd.allow_to, "anywhere");
}

void dg_forecast_print(const struct dg_policy *policy)
{
    if (policy->mode == DG_MODE_OFF)
        return;
    print_distribution(&policy->distribution);
    print_epmd(policy);
}

int dg_forecast_check(const struct dg_policy *policy, struct dg_error *error)
{
    const struct dg_distribution_policy *distribution = &policy->distribution;

    if (policy->mode == DG_MODE_OFF)
        return 0;
    if (distribution->enabled &&
        (dg_place_check(&distribution->bind, "distribution.bind", error) != 0 ||
         dg_place_check(&distribution->connect_from, "distribution.connect_from", error) != 0))
        return -1;
    return dg_place_check(&policy->epmd.bind, "epmd.bind", error);
}
