#include "shim/core/socket/placement.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/socket/address.h"

enum { TEXT_SIZE = 256 };

static const struct dg_host loopback_ipv4 = {.family = DG_FAMILY_IPV4, .bytes = {127, 0, 0, 1}};
static const struct dg_host loopback_ipv6 = {.family = DG_FAMILY_IPV6, .bytes = {[15] = 1}};

/* --- the host's addresses --- */

/* What a rule's search through the host's addresses has found. */
struct search {
    const struct dg_bind_rule *rule;
    enum dg_family family;
    struct dg_host first;
    unsigned matches;        /* addresses of the family that the rule designates */
    unsigned other_family;   /* addresses of the interface of the other family */
    bool interface_is_there; /* DG_BIND_INTERFACE */
    char seen[TEXT_SIZE];    /* for the error: what there is */
};

static bool is_link_local(const struct dg_host *host)
{
    return host->family == DG_FAMILY_IPV6 && host->bytes[0] == 0xfe &&
           (host->bytes[1] & 0xc0) == 0x80;
}

/* Adds a word to what there is, once. */
static void note(struct search *search, const char *word)
{
    size_t used = strlen(search->seen);
    size_t size = strlen(word);

    for (const char *at = search->seen; *at != '\0';) {
        size_t length = strcspn(at, ",");

        if (length == size && memcmp(at, word, size) == 0) {
            return;
        }
        at += length + strspn(at + length, ", ");
    }
    (void)snprintf(search->seen + used, sizeof search->seen - used, "%s%s", used > 0 ? ", " : "",
                   word);
}

static void count_match(struct search *search, const struct dg_host *host)
{
    char text[DG_NETWORK_TEXT];

    if (search->matches > 0 && dg_host_equal(host, &search->first)) {
        return; /* one address on two interfaces is still one */
    }
    if (search->matches == 0) {
        search->first = *host;
        search->seen[0] = '\0';
    }
    search->matches++;
    dg_host_print(host, text);
    note(search, text);
}

static void consider_interface(struct search *search, const char *name, const struct dg_host *host)
{
    if (strcmp(name, search->rule->interface) != 0) {
        if (search->matches == 0) {
            note(search, name);
        }
        return;
    }
    search->interface_is_there = true;
    if (host == NULL || is_link_local(host)) {
        return;
    }
    if (host->family != search->family) {
        search->other_family++;
    } else if (search->matches == 0) {
        count_match(search, host);
    }
}

static void consider_network(struct search *search, const struct dg_host *host)
{
    char text[DG_NETWORK_TEXT];

    if (host == NULL || host->family != search->family || is_link_local(host)) {
        return;
    }
    if (dg_network_contains(&search->rule->network, host)) {
        count_match(search, host);
    } else if (search->matches == 0) {
        dg_host_print(host, text);
        note(search, text);
    }
}

static bool look(struct search *search)
{
    struct ifaddrs *addresses;

    if (getifaddrs(&addresses) != 0) {
        return false;
    }
    for (const struct ifaddrs *at = addresses; at != NULL; at = at->ifa_next) {
        struct dg_host host;
        bool has_host = at->ifa_addr != NULL && dg_address_is_internet(at->ifa_addr->sa_family) &&
                        dg_address_host_of(at->ifa_addr, &host) && (at->ifa_flags & IFF_UP) != 0;

        if (search->rule->kind == DG_BIND_INTERFACE) {
            consider_interface(search, at->ifa_name, has_host ? &host : NULL);
        } else {
            consider_network(search, has_host ? &host : NULL);
        }
    }
    freeifaddrs(addresses);
    return true;
}

/* --- rules --- */

static enum dg_placement failed(const struct dg_bind_rule *rule, struct dg_error *error,
                                const char *what, const char *seen)
{
    /* Only rules of a file can fail: the default, loopback, is everywhere. */
    (void)dg_fail(error, "%s:%u: %s%s%s", rule->place.file, rule->place.line, what,
                  seen[0] != '\0' ? "; it has: " : "", seen);
    return DG_PLACEMENT_FAILED;
}

static enum dg_placement place_interface(const struct dg_bind_rule *rule, struct search *search,
                                         struct dg_error *error)
{
    char what[TEXT_SIZE];

    if (!search->interface_is_there) {
        (void)snprintf(what, sizeof what, "this host has no interface %s", rule->interface);
        return failed(rule, error, what, search->seen);
    }
    if (search->matches == 0 && search->other_family > 0) {
        return DG_PLACEMENT_OTHER_FAMILY;
    }
    if (search->matches == 0) {
        (void)snprintf(what, sizeof what,
                       "interface %s has no address yet (is it up? start after "
                       "network-online.target)",
                       rule->interface);
        return failed(rule, error, what, "");
    }
    return DG_PLACEMENT_FOUND;
}

static enum dg_placement place_network(const struct dg_bind_rule *rule, struct search *search,
                                       struct dg_error *error)
{
    char text[DG_NETWORK_TEXT];
    char what[TEXT_SIZE];

    dg_network_print(&rule->network, text);
    if (search->matches == 0) {
        (void)snprintf(what, sizeof what,
                       dg_network_is_single(&rule->network) ? "this host has no address %s"
                                                            : "this host has no address in %s",
                       text);
        return failed(rule, error, what, search->seen);
    }
    if (search->matches > 1) {
        (void)snprintf(what, sizeof what, "this host has several addresses in %s, name one", text);
        return failed(rule, error, what, search->seen);
    }
    return DG_PLACEMENT_FOUND;
}

static enum dg_placement place(const struct dg_bind_rule *rule, enum dg_family family,
                               struct dg_host *host, struct dg_error *error)
{
    struct search search = {.rule = rule, .family = family};
    enum dg_placement placement;

    if (rule->kind == DG_BIND_ANY) {
        return DG_PLACEMENT_ANY;
    }
    if (rule->kind == DG_BIND_LOOPBACK) {
        *host = family == DG_FAMILY_IPV4 ? loopback_ipv4 : loopback_ipv6;
        return DG_PLACEMENT_FOUND;
    }
    if (rule->kind == DG_BIND_NETWORK && rule->network.host.family != family) {
        return DG_PLACEMENT_OTHER_FAMILY;
    }
    if (!look(&search)) {
        return failed(rule, error, "the host's addresses cannot be read", "");
    }
    placement = rule->kind == DG_BIND_INTERFACE ? place_interface(rule, &search, error)
                                                : place_network(rule, &search, error);
    *host = search.first;
    return placement;
}

enum dg_placement dg_place_listener(const struct dg_bind_list *rules, enum dg_family family,
                                    struct dg_host *host, const struct dg_bind_rule **rule,
                                    struct dg_error *error)
{
    *rule = NULL;
    if (rules->count == 0) {
        return DG_PLACEMENT_ANY;
    }
    for (size_t i = 0; i < rules->count; i++) {
        enum dg_placement placement = place(&rules->rules[i], family, host, error);

        if (placement != DG_PLACEMENT_OTHER_FAMILY) {
            *rule = &rules->rules[i];
            return placement;
        }
    }
    return DG_PLACEMENT_OTHER_FAMILY;
}

/* Whether the host has this address, on the named interface or (NULL) on any. */
static bool has_address(const char *interface, const struct dg_host *host)
{
    struct ifaddrs *addresses;
    bool has = false;

    if (getifaddrs(&addresses) != 0) {
        return false;
    }
    for (const struct ifaddrs *at = addresses; at != NULL && !has; at = at->ifa_next) {
        struct dg_host own;

        has = at->ifa_addr != NULL && (interface == NULL || strcmp(at->ifa_name, interface) == 0) &&
              dg_address_host_of(at->ifa_addr, &own) && dg_host_equal(&own, host);
    }
    freeifaddrs(addresses);
    return has;
}

bool dg_place_is_own(const struct dg_host *host)
{
    return has_address(NULL, host);
}

bool dg_place_permits(const struct dg_bind_list *rules, const struct dg_host *host)
{
    if (dg_host_is_loopback(host)) {
        return true;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const struct dg_bind_rule *rule = &rules->rules[i];

        if (rule->kind == DG_BIND_ANY ||
            (rule->kind == DG_BIND_NETWORK && dg_network_contains(&rule->network, host)) ||
            (rule->kind == DG_BIND_INTERFACE && has_address(rule->interface, host))) {
            return true;
        }
    }
    return false;
}

int dg_place_check(const struct dg_bind_list *rules, const char *key, struct dg_error *error)
{
    static const enum dg_family families[] = {DG_FAMILY_IPV4, DG_FAMILY_IPV6};
    bool placed = false;

    for (size_t i = 0; i < rules->count; i++) {
        for (int f = 0; f < 2; f++) {
            struct dg_host host;
            enum dg_placement placement = place(&rules->rules[i], families[f], &host, error);

            if (placement == DG_PLACEMENT_FAILED) {
                return -1;
            }
            placed = placed || placement != DG_PLACEMENT_OTHER_FAMILY;
        }
    }
    if (rules->count > 0 && !placed) {
        return dg_fail(error, "%s: designates no address of this host", key);
    }
    return 0;
}
