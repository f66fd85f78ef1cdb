/* Socket addresses out of their text. */
#ifndef DISTGUARD_TESTS_ADDRESS_H
#define DISTGUARD_TESTS_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

/* "10.0.0.1" or "fd00::1"; aborts on what is neither. */
struct sockaddr_storage address_of(const char *host, uint16_t port);

#endif
