/* Sockets that come from another program. */
#ifndef DISTGUARD_SOCKET_HANDING_H
#define DISTGUARD_SOCKET_HANDING_H

#include "policy/error.h"

/* Watches the connections that the program before this one has left open. To be called once, at
 * the start. Returns 0, or -1 with `error`. */
int dg_adopt_inherited(struct dg_error *error);

#endif
