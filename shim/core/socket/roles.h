/*
 * What a connection is, decided by what EPMD's messages, the policy's ports and its own first bytes
 * say; and what follows for it. All take the socket locked and may move its role.
 */
#ifndef DISTGUARD_SOCKET_ROLES_H
#define DISTGUARD_SOCKET_ROLES_H

#include <sys/uio.h>

#include "shim/core/socket/table.h"

enum dg_decision {
    DG_DECIDE_PASS,    /* none of our business any more: to be forgotten, the real call made */
    DG_DECIDE_WATCH,   /* the real call is made; the next bytes are looked at again */
    DG_DECIDE_GUARDED, /* it has a channel now */
    DG_DECIDE_PLAIN,   /* the policy lets it pass as it is; its role says so */
    DG_DECIDE_REFUSED, /* it was refused, logged and shut down */
    DG_DECIDE_WAIT,    /* there is no byte yet by which to decide */
    DG_DECIDE_FAILED,  /* the look took an error (in errno), which the kernel tells only once */
};

/* Before the first bytes of a connection that we made are sent. */
enum dg_decision dg_decide_sending(struct dg_socket *socket, int fd, const struct iovec *vector,
                                   int count);

/* Before anything is received from a connection accepted where no distribution is expected.
 * DG_DECIDE_WATCH: the bytes so far can still become a distribution handshake. */
enum dg_decision dg_decide_incoming(struct dg_socket *socket, int fd);

/* After `size` bytes were received into `vector`, from a connection where no distribution is
 * expected or from EPMD. */
enum dg_decision dg_decide_received(struct dg_socket *socket, int fd, const struct iovec *vector,
                                    int count, size_t size);

/* Gives a connection that has come to us the server's end of a channel. False where it was refused.
 */
bool dg_guard_incoming(struct dg_socket *socket, int fd);

/* After plaintext was received on a guarded connection to an EPMD: learns where it says a node is.
 */
void dg_learn_from_answer(struct dg_socket *socket, const struct iovec *vector, int count,
                          size_t size);

/* Before anything is received from or sent to a connection accepted on a distribution listener. */
enum dg_decision dg_decide_distribution(struct dg_socket *socket, int fd);

/* After `size` bytes were received into `vector` on a plaintext connection whose peer has no name
 * yet (DG_ROLE_PLAIN_NAMING). */
void dg_name_plaintext(struct dg_socket *socket, const struct iovec *vector, int count,
                       size_t size);

/* Ends a connection: logged, shut down both ways so that a sleeping program wakes and learns of it.
 */
void dg_refuse(struct dg_socket *socket, int fd, const char *reason, const char *node);

#endif
