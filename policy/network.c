#include "policy/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define IPV4_BITS 32
#define IPV6_BITS 128
/* The IPv4 address is what follows in an IPv4-mapped IPv6 one. */
#define MAPPED_BITS 96

static unsigned bits_of(enum dg_family family)
{
    return family == DG_FAMILY_IPV4 ? IPV4_BITS : IPV6_BITS;
}

static bool has_leading_zero(const char *text)
{
    return text[0] == '0' && '0' <= text[1] && text[1] <= '9';
}

/* 010.0.0.1 is 8.0.0.1 to inet_aton, and 10.0.0.1 to others: it is neither here. */
static bool has_octal_look(const char *text)
{
    for (; text != NULL; text = strchr(text, '.')) {
        text += *text == '.';
        if (has_leading_zero(text))
            return true;
    }
    return false;
}

static bool parse_host(const char *text, struct dg_host *host, const char **problem)
{
    struct dg_host parsed = {.family = DG_FAMILY_NONE};

    *problem = "is no address and no network";
    if (strchr(text, '%') != NULL) {
        *problem = "has a zone, which only one host's kernel understands";
        return false;
    }
    if (inet_pton(AF_INET6, text, parsed.bytes) == 1) {
        parsed.family = DG_FAMILY_IPV6;
    } else if (strchr(text, ':') == NULL && has_octal_look(text)) {
        *problem = "has a number with a leading zero, which some programs read as octal";
        return false;
    } else if (inet_pton(AF_INET, text, parsed.bytes) == 1) {
        parsed.family = DG_FAMILY_IPV4;
    } else {
        return false;
    }
    *host = parsed;
    return true;
}

/* Decimal, up to `most`; nothing before, behind or superfluous. */
static bool parse_prefix(const char *text, unsigned most, uint8_t *prefix)
{
    unsigned value = 0;

    if (text[0] == '\0' || has_leading_zero(text))
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || '9' < *text)
            return false;
        value = 10 * value + (unsigned)(*text - '0');
        if (value > most)
            return false;
    }
    *prefix = (uint8_t)value;
    return true;
}

/* Which bits of byte `index` a prefix covers. */
static uint8_t mask_of(uint8_t prefix, size_t index)
{
    size_t covered = 8 * index < prefix ? prefix - 8 * index : 0;

    return (uint8_t)(0xff00u >> (covered < 8 ? covered : 8));
}

/* Whether there were bits beyond the prefix to clear. */
static bool clear_beyond(struct dg_network *network)
{
    bool cleared = false;

    for (size_t i = 0; i < sizeof network->host.bytes; i++) {
        uint8_t kept = network->host.bytes[i] & mask_of(network->prefix, i);

        cleared = cleared || kept != network->host.bytes[i];
        network->host.bytes[i] = kept;
    }
    return cleared;
}

static bool is_mapped(const struct dg_network *network)
{
    static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

    return network->host.family == DG_FAMILY_IPV6 && network->prefix >= MAPPED_BITS &&
           memcmp(network->host.bytes, mapped, sizeof mapped) == 0;
}

static void unmap(struct dg_network *network)
{
    struct dg_host host = {.family = DG_FAMILY_IPV4};

    memcpy(host.bytes, network->host.bytes + MAPPED_BITS / 8, IPV4_BITS / 8);
    network->host = host;
    network->prefix = (uint8_t)(network->prefix - MAPPED_BITS);
}

/* What is a network, but not written as one; `network` becomes the one that was meant. */
static const char *correct(struct dg_network *network)
{
    bool cleared = clear_beyond(network);

    if (is_mapped(network)) {
        unmap(network);
        return "is IPv4, written as IPv6";
    }
    return cleared ? "has bits set beyond its prefix" : NULL;
}

bool dg_network_parse(const char *text, struct dg_network *network, const char **problem)
{
    const char *slash = strchr(text, '/');
    size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);
    struct dg_network parsed = {.prefix = 0};
    char host[INET6_ADDRSTRLEN];

    memset(network, 0, sizeof *network);
    *problem = "is no address and no network";
    if (size >= sizeof host)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    if (!parse_host(host, &parsed.host, problem))
        return false;
    parsed.prefix = (uint8_t)bits_of(parsed.host.family);
    if (slash != NULL && !parse_prefix(slash + 1, parsed.prefix, &parsed.prefix)) {
        *problem = parsed.host.family == DG_FAMILY_IPV4
                       ? "has a prefix that is no number from 0 to 32"
                       : "has a prefix that is no number from 0 to 128";
        return false;
    }
    *problem = correct(&parsed);
    *network = parsed;
    return *problem == NULL;
}

void dg_host_print(const struct dg_host *host, char text[DG_NETWORK_TEXT])
{
    int family = host->family == DG_FAMILY_IPV4 ? AF_INET : AF_INET6;

    if (host->family == DG_FAMILY_NONE ||
        inet_ntop(family, host->bytes, text, DG_NETWORK_TEXT) == NULL)
        (void)snprintf(text, DG_NETWORK_TEXT, "unknown");
}

void dg_network_print(const struct dg_network *network, char text[DG_NETWORK_TEXT])
{
    size_t size;

    dg_host_print(&network->host, text);
    if (network->host.family == DG_FAMILY_NONE || dg_network_is_single(network))
        return;
    size = strlen(text);
    (void)snprintf(text + size, DG_NETWORK_TEXT - size, "/%u", network->prefix);
}

bool dg_network_contains(const struct dg_network *network, const struct dg_host *host)
{
    if (network->host.family != host->family)
        return false;
    for (size_t i = 0; 8 * i < network->prefix; i++)
        if (((network->host.bytes[i] ^ host->bytes[i]) & mask_of(network->prefix, i)) != 0)
            return false;
    return true;
}

bool dg_network_is_single(const struct dg_network *network)
{
    return network->prefix == bits_of(network->host.family);
}

bool dg_host_equal(const struct dg_host *a, const struct dg_host *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, bits_of(a->family) / 8) == 0;
}

bool dg_host_is_loopback(const struct dg_host *host)
{
    static const uint8_t ipv6[IPV6_BITS / 8] = {[15] = 1};

    switch (host->family) {
    case DG_FAMILY_IPV4:
        return host->bytes[0] == 127;
    case DG_FAMILY_IPV6:
        return memcmp(host->bytes, ipv6, sizeof ipv6) == 0;
    case DG_FAMILY_NONE:
    default:
        return false;
    }
}

bool dg_host_is_wildcard(const struct dg_host *host)
{
    static const uint8_t zero[IPV6_BITS / 8];

    return host->family != DG_FAMILY_NONE &&
           memcmp(host->bytes, zero, bits_of(host->family) / 8) == 0;
}
