/*
 * EPMD's messages, as far as they tell which sockets carry distribution.
 * Formats: erts/doc/guides/erl_dist_protocol.md and erts/epmd/src/epmd_srv.c of OTP.
 */
#ifndef DISTGUARD_WIRE_EPMD_H
#define DISTGUARD_WIRE_EPMD_H

#include <stddef.h>
#include <stdint.h>

#include "shim/core/wire/parse.h"

#define DG_EPMD_PORT 4369

/* epmd's own limit of a node name and of the Extra field (MAXSYMLEN, epmd_int.h) */
#define DG_EPMD_NAME_MAX 1020
/* The longest reply or request that concerns us: ALIVE2_REQ with a full name and a full Extra */
#define DG_EPMD_MESSAGE_MAX (2 + 13 + 2 * DG_EPMD_NAME_MAX)

/* What another host may ask: PORT_PLEASE2_REQ with a name, NAMES_REQ. */
enum { DG_EPMD_REMOTE_REQUEST_MAX = 2 + 1 + DG_EPMD_NAME_MAX };

enum dg_epmd_remote {
    DG_EPMD_REMOTE_MORE,  /* not whole yet */
    DG_EPMD_REMOTE_OTHER, /* any other request, or more than one */
    DG_EPMD_REMOTE_PORT_PLEASE,
    DG_EPMD_REMOTE_NAMES,
};

enum dg_epmd_remote dg_epmd_parse_remote_request(const uint8_t *bytes, size_t size);

/* First bytes of requests, after their two bytes of length */
enum {
    DG_EPMD_ALIVE2_REQ = 'x',
    DG_EPMD_PORT_PLEASE2_REQ = 'z',
    DG_EPMD_NAMES_REQ = 'n',
};

/* What a request is: its first byte after the length, or 0 while that has not come. */
uint8_t dg_epmd_request(const uint8_t *bytes, size_t size);

/* ALIVE2_REQ: a node registers the port of its distribution listener, host byte order. */
enum dg_parse dg_epmd_parse_alive2_req(const uint8_t *bytes, size_t size, uint16_t *port);

/* PORT2_RESP: EPMD tells a node's port, host byte order. An error reply is DG_PARSE_OTHER. */
enum dg_parse dg_epmd_parse_port2_resp(const uint8_t *bytes, size_t size, uint16_t *port);

#endif
