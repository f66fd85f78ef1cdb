/* Socket addresses: compared, printed, and whether they are this very host's. */
#ifndef DISTGUARD_SOCKET_ADDRESS_H
#define DISTGUARD_SOCKET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "policy/network.h"

/* Room for "[IPv6%interface]:port" */
enum { DG_ADDRESS_TEXT = 96 };

/* Host byte order; 0 where the family is neither IPv4 nor IPv6. */
uint16_t dg_address_port(const struct sockaddr_storage *address);
void dg_address_set_port(struct sockaddr_storage *address, uint16_t port);

/* Copies an address of any size, IPv4-mapped IPv6 addresses as the IPv4 ones they stand for. */
struct sockaddr_storage dg_address_from(const struct sockaddr *address, socklen_t size);

bool dg_address_is_internet(int family);

/* Same family, address and port. */
bool dg_address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* Whether the peer of a connection is on this host: a loopback address, or the very address it was
 * reached at. */
bool dg_address_is_local(const struct sockaddr_storage *peer, const struct sockaddr_storage *own);

/* The address without its port; IPv4-mapped ones as IPv4. False for other families. */
bool dg_address_host_of(const struct sockaddr *address, struct dg_host *host);
bool dg_address_host(const struct sockaddr_storage *address, struct dg_host *host);

/* An address for a socket of `domain` (AF_INET, AF_INET6): an IPv4 host becomes IPv4-mapped in an
 * IPv6 one. Returns its size, or 0 where the domain cannot express it. */
socklen_t dg_address_make(int domain, const struct dg_host *host, uint16_t port,
                          struct sockaddr_storage *address);

/* "10.0.0.1:4369", "[fd00::1]:4369" */
void dg_address_print(const struct sockaddr_storage *address, char text[DG_ADDRESS_TEXT]);

#endif
