#include "shim/core/socket/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct sockaddr_in *ipv4(const struct sockaddr_storage *address)
{
    return (const struct sockaddr_in *)address;
}

static const struct sockaddr_in6 *ipv6(const struct sockaddr_storage *address)
{
    return (const struct sockaddr_in6 *)address;
}

bool dg_address_is_internet(int family)
{
    return family == AF_INET || family == AF_INET6;
}

uint16_t dg_address_port(const struct sockaddr_storage *address)
{
    switch (address->ss_family) {
    case AF_INET:
        return ntohs(ipv4(address)->sin_port);
    case AF_INET6:
        return ntohs(ipv6(address)->sin6_port);
    default:
        return 0;
    }
}

void dg_address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET) {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    } else if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    }
}

static void unmap(struct sockaddr_storage *address)
{
    struct sockaddr_in plain = {.sin_family = AF_INET};

    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6(address)->sin6_addr)) {
        plain.sin_port = ipv6(address)->sin6_port;
        memcpy(&plain.sin_addr, ipv6(address)->sin6_addr.s6_addr + 12, sizeof plain.sin_addr);
        memset(address, 0, sizeof *address);
        memcpy(address, &plain, sizeof plain);
    }
}

struct sockaddr_storage dg_address_from(const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_storage copy = {0};

    if (address != NULL) {
        memcpy(&copy, address, size < sizeof copy ? size : sizeof copy);
    }
    unmap(&copy);
    return copy;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET) {
        return ipv4(a)->sin_addr.s_addr == ipv4(b)->sin_addr.s_addr;
    }
    return a->ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&ipv6(a)->sin6_addr, &ipv6(b)->sin6_addr);
}

bool dg_address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    return same_host(a, b) && dg_address_port(a) == dg_address_port(b);
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        return ntohl(ipv4(address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&ipv6(address)->sin6_addr);
}

bool dg_address_is_local(const struct sockaddr_storage *peer, const struct sockaddr_storage *own)
{
    return is_loopback(peer) || same_host(peer, own);
}

void dg_address_print(const struct sockaddr_storage *address, char text[DG_ADDRESS_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET) {
        (void)inet_ntop(AF_INET, &ipv4(address)->sin_addr, host, sizeof host);
        (void)snprintf(text, DG_ADDRESS_TEXT, "%s:%u", host, dg_address_port(address));
    } else if (address->ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &ipv6(address)->sin6_addr, host, sizeof host);
        (void)snprintf(text, DG_ADDRESS_TEXT, "[%s]:%u", host, dg_address_port(address));
    } else {
        (void)snprintf(text, DG_ADDRESS_TEXT, "unknown");
    }
}

bool dg_address_host(const struct sockaddr_storage *address, struct dg_host *host)
{
    struct sockaddr_storage plain = *address;

    unmap(&plain);
    *host = (struct dg_host){0};
    if (plain.ss_family == AF_INET) {
        host->family = DG_FAMILY_IPV4;
        memcpy(host->bytes, &ipv4(&plain)->sin_addr, 4);
        return true;
    }
    if (plain.ss_family == AF_INET6) {
        host->family = DG_FAMILY_IPV6;
        memcpy(host->bytes, &ipv6(&plain)->sin6_addr, 16);
        return true;
    }
    return false;
}

bool dg_address_host_of(const struct sockaddr *address, struct dg_host *host)
{
    struct sockaddr_storage copy;

    if (!dg_address_is_internet(address->sa_family)) {
        return false;
    }
    copy = dg_address_from(address, address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                                  : sizeof(struct sockaddr_in6));
    return dg_address_host(&copy, host);
}

socklen_t dg_address_make(int domain, const struct dg_host *host, uint16_t port,
                          struct sockaddr_storage *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    memset(address, 0, sizeof *address);
    if (domain == AF_INET && host->family == DG_FAMILY_IPV4) {
        struct sockaddr_in *made = (struct sockaddr_in *)address;

        made->sin_family = AF_INET;
        made->sin_port = htons(port);
        memcpy(&made->sin_addr, host->bytes, 4);
        return sizeof *made;
    }
    if (domain == AF_INET6) {
        struct sockaddr_in6 *made = (struct sockaddr_in6 *)address;

        made->sin6_family = AF_INET6;
        made->sin6_port = htons(port);
        if (host->family == DG_FAMILY_IPV6) {
            memcpy(&made->sin6_addr, host->bytes, 16);
        } else {
            memcpy(made->sin6_addr.s6_addr, mapped, sizeof mapped);
            memcpy(made->sin6_addr.s6_addr + sizeof mapped, host->bytes, 4);
        }
        return sizeof *made;
    }
    return 0;
}
