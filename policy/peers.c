#include "policy/peers.h"

#include <string.h>

#include "policy/hostname.h"
#include "policy/uri.h"

static bool has_dns(const struct dg_identity *identity, const char *pattern)
{
    for (size_t i = 0; i < identity->dns.count; i++)
        if (dg_hostname_matches(pattern, identity->dns.strings[i]))
            return true;
    return false;
}

static bool has_address(const struct dg_identity *identity, const struct dg_network *network)
{
    for (size_t i = 0; i < identity->address_count; i++)
        if (dg_network_contains(network, &identity->addresses[i]))
            return true;
    return false;
}

/* An X.509-SVID has one URI (X509-SVID, section 2); with several, no SPIFFE ID can be believed. */
static bool has_uri(const struct dg_identity *identity, const char *pattern)
{
    if (dg_uri_is_spiffe(pattern) && identity->uris.count != 1)
        return false;
    for (size_t i = 0; i < identity->uris.count; i++)
        if (dg_uri_matches(pattern, identity->uris.strings[i]))
            return true;
    return false;
}

bool dg_peer_rule_matches(const struct dg_peer_rule *rule, const struct dg_identity *identity)
{
    if (rule->dns != NULL && !has_dns(identity, rule->dns))
        return false;
    if (rule->ip.host.family != DG_FAMILY_NONE && !has_address(identity, &rule->ip))
        return false;
    if (rule->uri != NULL && !has_uri(identity, rule->uri))
        return false;
    return !rule->pinned || memcmp(rule->spki, identity->spki, DG_SPKI_SIZE) == 0;
}

static bool network_covers(const struct dg_network *wide, const struct dg_network *narrow)
{
    return wide->prefix <= narrow->prefix && dg_network_contains(wide, &narrow->host);
}

bool dg_peer_rule_covers(const struct dg_peer_rule *wide, const struct dg_peer_rule *narrow)
{
    if (wide->dns != NULL && (narrow->dns == NULL || !dg_hostname_matches(wide->dns, narrow->dns)))
        return false;
    if (wide->ip.host.family != DG_FAMILY_NONE && !network_covers(&wide->ip, &narrow->ip))
        return false;
    if (wide->uri != NULL && (narrow->uri == NULL || !dg_uri_matches(wide->uri, narrow->uri)))
        return false;
    return !wide->pinned || (narrow->pinned && memcmp(wide->spki, narrow->spki, DG_SPKI_SIZE) == 0);
}
