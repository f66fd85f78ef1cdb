/* Addresses and networks as text and as bytes. Pure: knows no sockets, asks nobody. */
#ifndef DISTGUARD_POLICY_NETWORK_H
#define DISTGUARD_POLICY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dg_family {
    DG_FAMILY_NONE = 0,
    DG_FAMILY_IPV4 = 4,
    DG_FAMILY_IPV6 = 6,
};

/* An address: 4 or 16 bytes in network order. IPv4-mapped IPv6 addresses are written as the IPv4
 * addresses that they stand for. */
struct dg_host {
    enum dg_family family;
    uint8_t bytes[16];
};

/* A network: all addresses that share the first `prefix` bits of `host`. */
struct dg_network {
    struct dg_host host;
    uint8_t prefix; /* 0 to 32, or to 128; a full one is a single address */
};

/* Room for the longest text of a network, with its terminator */
#define DG_NETWORK_TEXT 52

/*
 * "10.0.0.5", "10.0.0.0/8", "fd00::/8". No bits set beyond the prefix, no leading zeros, no zone,
 * no IPv4 in the clothes of IPv6. False where it is none: then `problem` points to what follows the
 * text in a message ("has bits set beyond its prefix"), and *network is what was probably meant, or
 * of no family.
 */
bool dg_network_parse(const char *text, struct dg_network *network, const char **problem);

/* As "10.0.0.0/8"; a single address without its prefix. */
void dg_network_print(const struct dg_network *network, char text[DG_NETWORK_TEXT]);
void dg_host_print(const struct dg_host *host, char text[DG_NETWORK_TEXT]);

bool dg_network_contains(const struct dg_network *network, const struct dg_host *host);
bool dg_network_is_single(const struct dg_network *network);
bool dg_host_equal(const struct dg_host *a, const struct dg_host *b);
bool dg_host_is_loopback(const struct dg_host *host);
bool dg_host_is_wildcard(const struct dg_host *host); /* 0.0.0.0 or :: */

#endif
