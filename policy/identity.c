#include "policy/identity.h"

#include <stdlib.h>
#include <string.h>

#include "policy/ascii.h"
#include "policy/hostname.h"
#include "policy/lists.h"

static bool has_address(const struct dg_identity *identity, const struct dg_host *host)
{
    for (size_t i = 0; i < identity->address_count; i++)
        if (dg_host_equal(&identity->addresses[i], host))
            return true;
    return false;
}

/* A certificate's wildcard is for the hosts of a domain, and no domain is a single label. */
static bool has_name(const struct dg_identity *identity, const char *name)
{
    for (size_t i = 0; i < identity->dns.count; i++) {
        const char *dns = identity->dns.strings[i];

        if (dg_equal_ignoring_case(dns, name) ||
            (dg_hostname_is_pattern(dns, 2) && dg_hostname_matches(dns, name)))
            return true;
    }
    return false;
}

bool dg_identity_has_host(const struct dg_identity *identity, const char *host, size_t size)
{
    char text[DG_HOSTNAME_MAX + 1];
    struct dg_network network;
    const char *problem;

    if (size > DG_HOSTNAME_MAX || memchr(host, '\0', size) != NULL)
        return false;
    memcpy(text, host, size);
    text[size] = '\0';
    if (strchr(text, '/') == NULL && dg_network_parse(text, &network, &problem))
        return has_address(identity, &network.host);
    return dg_hostname_usual(text) && has_name(identity, text);
}

void dg_identity_clear(struct dg_identity *identity)
{
    dg_string_list_free(&identity->dns);
    dg_string_list_free(&identity->uris);
    free(identity->addresses);
    *identity = (struct dg_identity){.address_count = 0};
}
