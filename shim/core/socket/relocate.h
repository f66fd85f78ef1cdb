/* Moves a socket to another address, under the same descriptor number. */
#ifndef DISTGUARD_SOCKET_RELOCATE_H
#define DISTGUARD_SOCKET_RELOCATE_H

#include "policy/error.h"
#include "policy/network.h"

/*
 * Replaces the listener `fd` by one at `host`, same port, same socket options, same descriptor
 * flags. For the moment before a node registers: the VM has not accepted yet, and the descriptor is
 * in no poll set (otp-facts: erl_epmd registers before net_kernel accepts). The old listener is
 * shut down first, so that there is no moment with both.
 *
 * Returns 0; or -1 with `error`, and then nothing listens any more.
 */
int dg_relocate(int fd, const struct dg_host *host, int backlog, struct dg_error *error);

/*
 * Replaces `fd`, which the program has bound to all addresses, by a socket bound to `host`, for the
 * moment before connect(2): it is in no poll set then either. Same port, options and flags.
 *
 * Returns 0; or -1 with `error`, and then `fd` is what it was.
 */
int dg_relocate_source(int fd, const struct dg_host *host, struct dg_error *error);

#endif
