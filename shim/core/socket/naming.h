/*
 * Which node is at the other end of a plaintext connection: the distribution handshake, read along
 * as the program receives it, until the peer has named itself. Nothing is held back and nothing
 * judged: the name is for the log and the status, which say who still speaks plaintext.
 */
#ifndef DISTGUARD_SOCKET_NAMING_H
#define DISTGUARD_SOCKET_NAMING_H

#include <sys/uio.h>

#include "shim/core/socket/table.h"

struct dg_naming;

/* NULL where memory is out. */
struct dg_naming *dg_naming_new(bool we_accept);
void dg_naming_free(struct dg_naming *naming);

/* Takes what the program has just received. True when there is no more to learn; the locked socket
 * has its node's name then, if the peer told one. */
bool dg_naming_take(struct dg_socket *socket, const struct iovec *vector, int count, size_t size);

/* The end of it: tells the log who speaks plaintext, or, where the peer has ended the connection,
 * that it did not take what we said. */
void dg_naming_tell(struct dg_socket *socket, bool peer_has_ended);

#endif
