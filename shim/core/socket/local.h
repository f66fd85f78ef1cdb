/* Peers of this very host, for which the policy's `local` speaks. */
#ifndef DISTGUARD_SOCKET_LOCAL_H
#define DISTGUARD_SOCKET_LOCAL_H

#include "shim/core/socket/table.h"

/* Whether the peer has a loopback address or one of our own; *own: at which of ours it is
 * connected. */
bool dg_peer_is_local(const struct dg_socket *socket, int fd, struct sockaddr_storage *own);

/* Whether `local` takes such a peer without a certificate for what it claims: by plaintext, or as a
 * node of a name that its certificate does not have ("a@localhost"). `reason` says why not. */
bool dg_local_is_allowed(const struct dg_socket *socket, const struct sockaddr_storage *own,
                         char *reason, size_t size);

#endif
