/*
 * epmd's waiting room. epmd serves one connection at a time, with calls that block and with no
 * patience for EAGAIN; so a connection from another host waits here until its handshake is through,
 * it is authorised, and its whole request is there, as the kernel's own queue holds only
 * connections whose TCP handshake is through. A peer that stalls holds up nobody.
 *
 * epmd has one thread; none of this is for more.
 */
#ifndef DISTGUARD_SOCKET_EPMD_QUEUE_H
#define DISTGUARD_SOCKET_EPMD_QUEUE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Takes in what the kernel has for this listener: turns away whom the policy keeps out, lets this
 * host's own through at once, and has the others wait. Never blocks. */
void dg_epmd_take_in(int listener);

/* Whether accept on this listener has a connection to give. */
bool dg_epmd_is_ready(int listener);

/* accept(2) for epmd: a connection that is ready, or -1 with errno EAGAIN. */
int dg_epmd_accept(int listener, struct sockaddr *address, socklen_t *size);

/* Adds who is waited for to `polled`, up to `room`. Returns how many. */
size_t dg_epmd_poll(struct pollfd *polled, size_t room);

/* Goes on with the connections that poll found readable, and ends those that took too long. */
void dg_epmd_go_on(const struct pollfd *polled, size_t count);

/* Whether nobody is taken in for a moment, as there is no descriptor left: the listeners, which
 * stay readable, need not be polled. */
bool dg_epmd_rests(void);

/* Milliseconds until the next one has waited too long, or the rest is over; -1 for neither. */
int dg_epmd_patience(void);

#endif
