/* The hooks of shim/abi.h; see there for what each must do. */
#ifndef DISTGUARD_SOCKET_HOOKS_H
#define DISTGUARD_SOCKET_HOOKS_H

#include <sys/select.h>

#include "shim/abi.h"

/* connection.c: how sockets come and go */
int dg_hook_socket_opened(int fd, int domain, int type);
bool dg_hook_bind(int fd, const struct sockaddr *address, socklen_t size, int *result);
bool dg_hook_listen(int fd, int backlog, int *result);
bool dg_hook_connect(int fd, const struct sockaddr *address, socklen_t size, int *result);
/* accept.c */
int dg_hook_accept(int fd, struct sockaddr *address, socklen_t *size, int flags);

/* descriptors.c: how their numbers are copied and closed */
bool dg_hook_close(int fd, int *result);
void dg_hook_close_range(unsigned first, unsigned last);
bool dg_hook_replace(int fd, int copy, int flags, int *result);
int dg_hook_duplicated(int fd, int copy);
bool dg_hook_ends_at_exec(int fd);
bool dg_hook_unshares(const char *call);

/* handing.c: what passes from program to program */
bool dg_hook_hands_on(const struct msghdr *message);
void dg_hook_handed(const struct msghdr *message);

/* epmd_select.c: epmd's alone */
int dg_hook_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
                   struct timeval *timeout);

/* flusher.c: the VM's alone */
void dg_hook_polls(void);
void dg_hook_ends(void);

/* receive.c, send.c, options.c: what passes through them */
bool dg_hook_receive(int fd, struct msghdr *message, int flags, ssize_t *result);
bool dg_hook_send(int fd, const struct msghdr *message, int flags, ssize_t *result);
bool dg_hook_sendfile(int fd, int from, off_t *offset, size_t count, ssize_t *result);
bool dg_hook_readable(int fd, int *bytes, int *result);
bool dg_hook_shutdown(int fd, int how, int *result);
bool dg_hook_set_option(int fd, int level, int name, int *result);
bool dg_hook_unsupported(int fd, const char *call);

#endif
