/* What else is to be known of descriptors than the hooks: which end when the program becomes
 * another. */
#ifndef DISTGUARD_SOCKET_DESCRIPTORS_H
#define DISTGUARD_SOCKET_DESCRIPTORS_H

#include "shim/core/socket/table.h"

/* A connection, known as `fd`, has become guarded: none of its numbers goes along through exec,
 * where nobody knows its keys and what is written would leave in the clear. */
void dg_end_at_exec(const struct dg_socket *socket, int fd);

#endif
