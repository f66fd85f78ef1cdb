/*
 * What EPMD's messages have told: the ports our own nodes registered, and where other nodes were
 * said to be.
 */
#ifndef DISTGUARD_SOCKET_LEARNED_H
#define DISTGUARD_SOCKET_LEARNED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* A node of this process registers `port`: connections accepted there are distribution. Until the
 * listener closes. */
void dg_learn_listener(uint16_t port);
void dg_forget_listener(uint16_t port);
bool dg_is_learned_listener(uint16_t port);
/* Whether there is any. */
bool dg_has_learned_listener(void);

/* An EPMD has said that a node is at `address`. The VM connects within seconds (net_setuptime);
 * what is older counts no more, since the port may have become somebody else's. */
void dg_learn_destination(const struct sockaddr_storage *address);
bool dg_is_learned_destination(const struct sockaddr_storage *address);

/* In the child of a fork, whose parent may have held the lock. */
void dg_learned_forked(void);

#endif
