/* A connection that the kernel has accepted and the program has not seen yet. */
#ifndef DISTGUARD_SOCKET_ARRIVAL_H
#define DISTGUARD_SOCKET_ARRIVAL_H

#include <stdbool.h>
#include <sys/socket.h>

#include "policy/error.h"

struct dg_arrival {
    int fd;
    struct sockaddr_storage peer; /* as the kernel told it, for the program */
    socklen_t peer_size;
    struct sockaddr_storage from; /* the same, for us */
    struct sockaddr_storage own;  /* where it came in */
};

/* Why one is not let in of which `own` is not known. */
#define DG_ARRIVAL_UNLOCATED                                                                       \
    "the kernel does not say where it came in (out of memory?), so that it cannot be judged"

/* Accepts one connection. Returns 0; or -1 with accept4's errno. */
int dg_arrival_accept(int listener, int flags, struct dg_arrival *arrival);

/* Whether it is by TCP or the like; only of those are `from` and `own` known. */
bool dg_arrival_is_internet(const struct dg_arrival *arrival);

/* Whether `own` is known, which says whether it is distribution. */
bool dg_arrival_is_located(const struct dg_arrival *arrival);

/* Whether it comes from this very host. */
bool dg_arrival_is_local(const struct dg_arrival *arrival);

/* Closes it, and logs why it is not let in. `role`: "distribution" or "epmd". */
void dg_arrival_turn_away(const struct dg_arrival *arrival, const char *role, const char *reason);

/* Tells the program who it is, as accept(2) does. `address` and `size` may be NULL. */
void dg_arrival_introduce(const struct dg_arrival *arrival, struct sockaddr *address,
                          socklen_t *size);

#endif
