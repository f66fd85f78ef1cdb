/* What a peer claims to be, and whether the policy lets it. */
#ifndef DISTGUARD_SOCKET_CLAIM_H
#define DISTGUARD_SOCKET_CLAIM_H

#include "shim/core/socket/table.h"
#include "shim/core/wire/dist_handshake.h"

/* Keeps the name for the log and the status. A node that leaves its name to us is known by its
 * host, as "@host". */
void dg_claim_note(struct dg_socket *socket, const struct dg_dist_claim *claim);

/* Whether the peer's certificate may be the node that it claims to be; else its channel is ended.
 * Either way the log has it. */
bool dg_claim_is_admitted(struct dg_socket *socket, int fd, const struct dg_dist_claim *claim);

#endif
