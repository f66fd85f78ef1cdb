/*
 * NAMES_RESP: what EPMD tells to whoever asks for all nodes of its host.
 *
 *     EPMDPortNo:32, then for each node a line "name NAME at port PORT"; the end of the stream ends
 * it.
 */
#ifndef DISTGUARD_WIRE_EPMD_NAMES_H
#define DISTGUARD_WIRE_EPMD_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "shim/core/wire/parse.h"

enum { DG_EPMD_NAMES_HEAD = 4 };

struct dg_epmd_name {
    const uint8_t *name; /* as it was sent: foreign bytes, not terminated */
    size_t size;
    uint16_t port;
};

/* The port that EPMD says it listens at, which stands before the lines. A number that is none is
 * DG_PARSE_OTHER. */
enum dg_parse dg_epmd_parse_names_head(const uint8_t *bytes, size_t size, uint16_t *port);

/* The line at the start of `bytes`; `used` is what it takes, its end included. */
enum dg_parse dg_epmd_parse_names_line(const uint8_t *bytes, size_t size, struct dg_epmd_name *name,
                                       size_t *used);

#endif
