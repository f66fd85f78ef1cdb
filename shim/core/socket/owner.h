/* Who, on this host, holds the other end of a connection: asked of the kernel, not of the peer. */
#ifndef DISTGUARD_SOCKET_OWNER_H
#define DISTGUARD_SOCKET_OWNER_H

#include <sys/socket.h>
#include <sys/types.h>

#include "shim/abi.h"

/*
 * The user who made the socket whose local address is `peer` and whose remote one is `own`, over
 * sock_diag (linux NETLINK_SOCK_DIAG, inet_diag.h). Only an established socket that a process still
 * holds counts: for any other the kernel answers root.
 *
 * Returns 0 and the user, or -1 with errno: ENOENT where this network namespace has no such socket,
 * EOVERFLOW where the user cannot be told from others (dg_user_is_shared).
 */
int dg_socket_owner(const struct dg_real *real, const struct sockaddr_storage *peer,
                    const struct sockaddr_storage *own, uid_t *user);

#endif
