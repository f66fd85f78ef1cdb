#include "tests/unit/support/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct sockaddr_storage address_of(const char *host, uint16_t port)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, host, &ipv4.sin_addr) == 1) {
        memcpy(&address, &ipv4, sizeof ipv4);
    } else if (inet_pton(AF_INET6, host, &ipv6.sin6_addr) == 1) {
        memcpy(&address, &ipv6, sizeof ipv6);
    } else {
        abort();
    }
    return address;
}
