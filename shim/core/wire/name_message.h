/*
 * The distribution handshake's first message, by which a connection of whatever origin is known to
 * be distribution: the connecting node's name (OTP: dist_util:send_name, recv_name;
 * erl_dist_protocol.md "Distribution Handshake").
 */
#ifndef DISTGUARD_WIRE_NAME_MESSAGE_H
#define DISTGUARD_WIRE_NAME_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "shim/core/wire/parse.h"

/* Node names are at most 255 characters of up to 4 bytes, and epmd takes no longer one. */
#define DG_NODE_NAME_MAX 1020
/* Length, tag, flags, creation, length of the name */
#define DG_NAME_MESSAGE_HEAD 17
#define DG_NAME_MESSAGE_MAX (DG_NAME_MESSAGE_HEAD + DG_NODE_NAME_MAX + 64)

struct dg_name_message {
    const uint8_t *name; /* within the bytes that were parsed; not terminated */
    size_t name_size;
};

/*
 * Whether `bytes` are the beginning of a stream that opens with a name message. Needs no more than
 * the head to say so: DG_PARSE_DONE as soon as nothing else can look like it. `message->name` is
 * then as much of the name as came.
 */
enum dg_parse dg_parse_name_message(const uint8_t *bytes, size_t size,
                                    struct dg_name_message *message);

#endif
