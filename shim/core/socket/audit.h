/* What the log and the status page are told of sockets. All take the socket locked. */
#ifndef DISTGUARD_SOCKET_AUDIT_H
#define DISTGUARD_SOCKET_AUDIT_H

#include "shim/core/socket/table.h"

/* The words for plaintext where there must be none, and for plaintext of ours that nobody took. */
#define DG_PLAINTEXT_REFUSED                                                                       \
    "peer speaks plaintext, our mode is require: put this node into prefer until its peers speak " \
    "TLS"
#define DG_PLAINTEXT_UNANSWERED                                                                    \
    "peer does not answer plaintext: if its mode is require, or it speaks a TLS of its own, put "  \
    "this node into prefer"
#define DG_EPMD_UNANSWERED                                                                         \
    "EPMD of the peer does not answer plaintext: if its mode is require, put this node into "      \
    "prefer"

/* A connection that the policy ends; `reason` is for people, `node` the claimed name or NULL. */
void dg_audit_refused(const struct dg_socket *socket, const char *reason, const char *node);

/* A call of the program's own that the policy refuses: told each time, as who tries again wants to
 * see why. */
void dg_audit_denied(const struct dg_socket *socket, const char *reason);

/* A connection that was closed before the program saw it. `role`: "distribution", "epmd". */
void dg_audit_turned_away(const struct sockaddr_storage *from, const char *role,
                          const char *reason);

/* A plaintext connection that the policy lets pass; its node's name is known by now, if ever. */
void dg_audit_plaintext(struct dg_socket *socket);

/* A peer that may join: by its certificate, and for distribution by its node's name. */
void dg_audit_admitted(struct dg_socket *socket);

/* Tells of a channel's way from `before` to what it is now: refused, broken, and for one to an
 * EPMD, where no node is named, admitted. */
void dg_audit_channel(struct dg_socket *socket, enum dg_channel_state before);

/* A call on a guarded socket that we cannot do. */
void dg_audit_unsupported(const struct dg_socket *socket, const char *call);

/* A socket, or a copy of one, that does not come to be: the table has no room for it, or memory is
 * out. */
void dg_audit_unwatched(int error);

#endif
