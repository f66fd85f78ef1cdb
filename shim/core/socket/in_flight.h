/*
 * Connections to our distribution listener whose peers are not admitted yet: strangers may have so
 * many of them and no more, in all and per address (tls.max_handshakes), and for so long
 * (tls.handshake_timeout). The oldest give way. epmd has a waiting room of its own (epmd_queue.h).
 */
#ifndef DISTGUARD_SOCKET_IN_FLIGHT_H
#define DISTGUARD_SOCKET_IN_FLIGHT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "shim/core/socket/table.h"

/* A connection begins; no socket may be locked. Others may be ended for it. Those of this host
 * (`local`) do not count against their address's share, as all its nodes come from there. */
void dg_in_flight_enter(int fd, const struct sockaddr_storage *from, bool local);

/* It is admitted, refused or closed. May be called with its socket locked, and for descriptors that
 * are not in flight. */
void dg_in_flight_leave(int fd);

/* The words for one who takes longer than that. */
#define DG_HANDSHAKE_LATE "handshake not finished in time (tls.handshake_timeout)"

/* Whether it has been at it for longer than `timeout` seconds. */
bool dg_in_flight_is_late(int fd, double timeout);

/* In the child of a fork. */
void dg_in_flight_forked(void);

#endif
