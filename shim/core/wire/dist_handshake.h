/*
 * The distribution handshake, message by message (OTP: dist_util.erl; erl_dist_protocol.md,
 * "Distribution Handshake"). The node that connects speaks first:
 *
 *   name N or n  ->  <- status s  (s ->)  <- challenge N or n  (complement c ->)  reply r ->  <-
 * ack a
 *
 * Each message is framed by its length, 2 bytes over TCP and 4 over TLS. After the ack come frames
 * with 4 bytes on both.
 */
#ifndef DISTGUARD_WIRE_DIST_HANDSHAKE_H
#define DISTGUARD_WIRE_DIST_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a 2-byte length can say. */
enum { DG_DIST_MESSAGE_MAX = 0xffff };

struct dg_dist_handshake {
    bool we_accept;     /* else we have connected */
    bool peer_is_named; /* its name has been seen */
    bool over;          /* the ack has passed */
};

enum dg_dist_verdict {
    DG_DIST_PASS,   /* to be passed on */
    DG_DIST_CLAIM,  /* the same, and the peer claims to be a node */
    DG_DIST_BROKEN, /* this is no distribution handshake */
};

/* The name that a peer claims: a full node name, or, of a node that lets its peer choose its name
 * (DFLAG_NAME_ME), its host alone. Latin-1 or UTF-8 bytes, not terminated. */
struct dg_dist_claim {
    const uint8_t *name; /* within the message */
    size_t size;
    bool dynamic; /* the host alone */
};

/* Takes the next whole message from the peer, without its length. Messages that we do not know are
 * passed on, but not where a name is due. DG_DIST_CLAIM: *claim is set. */
enum dg_dist_verdict dg_dist_from_peer(struct dg_dist_handshake *handshake, const uint8_t *message,
                                       size_t size, struct dg_dist_claim *claim);

/* The same for a message of ours, which is known by its first byte. An ack to nobody ends nothing.
 */
void dg_dist_from_us(struct dg_dist_handshake *handshake, uint8_t tag);

#endif
