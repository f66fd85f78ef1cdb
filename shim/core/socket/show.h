/* What the status page is told of sockets. All take the socket locked. */
#ifndef DISTGUARD_SOCKET_SHOW_H
#define DISTGUARD_SOCKET_SHOW_H

#include "shim/core/socket/table.h"

/* A connection with a channel, as it is now: entered, or told anew. */
void dg_show_connection(struct dg_socket *socket);

/* Bytes that the program has received from it, or sent. Enters it where nobody has yet. */
void dg_show_moved(struct dg_socket *socket, enum dg_page_direction direction, ssize_t size);

void dg_show_admitted(struct dg_socket *socket);

/* `node`: as claimed, or NULL. */
void dg_show_refused(const struct dg_socket *socket, const char *reason, const char *node);
void dg_show_turned_away(const struct sockaddr_storage *from, bool epmd, const char *reason);

/* A connection that passes in plaintext, by the rule in socket->plain_by. */
void dg_show_plaintext(struct dg_socket *socket);

/* A listener of distribution's or EPMD's, at `bound`; `asked`: where the program wanted it. */
void dg_show_listener(struct dg_socket *socket, const struct sockaddr_storage *asked,
                      const struct sockaddr_storage *bound);

#endif
