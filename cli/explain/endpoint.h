/* Addresses with ports, as they are written on a command line. */
#ifndef DISTGUARD_CLI_EXPLAIN_ENDPOINT_H
#define DISTGUARD_CLI_EXPLAIN_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/network.h"

struct dg_endpoint {
    struct dg_host host;
    uint16_t port;
    bool has_port;
};

/* "10.0.0.1", "10.0.0.1:4369", "fd00::1", "[fd00::1]:4369". False where it is none of these. */
bool dg_endpoint_parse(const char *text, struct dg_endpoint *endpoint);

#endif
