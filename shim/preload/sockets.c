/* How sockets come and go. */
#include <errno.h>

#include "shim/preload/preload.h"

DG_EXPORT int socket(int domain, int type, int protocol)
{
    int fd;

    if (!dg_guarding()) {
        return dg_real()->socket(domain, type, protocol);
    }
    fd = dg_real()->socket(domain, type, protocol);
    return fd < 0 ? fd : dg_hooks.socket_opened(fd, domain, type);
}

DG_EXPORT int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    int result;

    if (dg_watched(fd) && dg_hooks.bind(fd, address, size, &result)) {
        return result;
    }
    return dg_real()->bind(fd, address, size);
}

DG_EXPORT int listen(int fd, int backlog)
{
    int result;

    if (dg_watched(fd) && dg_hooks.listen(fd, backlog, &result)) {
        return result;
    }
    return dg_real()->listen(fd, backlog);
}

DG_EXPORT int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int result;

    if (dg_watched(fd) && dg_hooks.connect(fd, address, size, &result)) {
        return result;
    }
    return dg_real()->connect(fd, address, size);
}

DG_EXPORT int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    return dg_guarding() ? dg_hooks.accept(fd, address, size, 0)
                         : dg_real()->accept(fd, address, size);
}

DG_EXPORT int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return dg_guarding() ? dg_hooks.accept(fd, address, size, flags)
                         : dg_real()->accept4(fd, address, size, flags);
}

DG_EXPORT int shutdown(int fd, int how)
{
    int result;

    if (dg_watched(fd) && dg_hooks.shutdown(fd, how, &result)) {
        return result;
    }
    return dg_real()->shutdown(fd, how);
}

DG_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int result;

    if (dg_watched(fd) && dg_hooks.set_option(fd, level, name, &result)) {
        return result;
    }
    return dg_real()->setsockopt(fd, level, name, value, size);
}

DG_EXPORT int epoll_wait(int poller, struct epoll_event *events, int limit, int milliseconds)
{
    if (dg_guarding() && dg_hooks.polls != NULL) {
        dg_hooks.polls();
    }
    return dg_real()->epoll_wait(poller, events, limit, milliseconds);
}

DG_EXPORT int select(int count, fd_set *restrict readable, fd_set *restrict writable,
                     fd_set *restrict exceptional, struct timeval *restrict timeout)
{
    return dg_guarding() && dg_hooks.select != NULL
               ? dg_hooks.select(count, readable, writable, exceptional, timeout)
               : dg_real()->select(count, readable, writable, exceptional, timeout);
}
