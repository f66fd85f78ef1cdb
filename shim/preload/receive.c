/* Every call by which a stream's bytes come in, brought down to the core's one. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "shim/preload/preload.h"

/* What the fortified variants check: the caller's buffer must hold what it asks for. */
static void check(size_t size, size_t buffer_size)
{
    if (size > buffer_size) {
        __builtin_trap();
    }
}

static bool receive_bytes(int fd, void *bytes, size_t size, int flags, ssize_t *result)
{
    struct iovec vector = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    return dg_watched(fd) && dg_hooks.receive(fd, &message, flags, result);
}

DG_EXPORT ssize_t read(int fd, void *bytes, size_t size)
{
    ssize_t result;

    return receive_bytes(fd, bytes, size, 0, &result) ? result : dg_real()->read(fd, bytes, size);
}

DG_EXPORT ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    ssize_t result;

    return receive_bytes(fd, bytes, size, flags, &result) ? result
                                                          : dg_real()->recv(fd, bytes, size, flags);
}

DG_EXPORT ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags,
                           struct sockaddr *restrict address, socklen_t *restrict address_size)
{
    ssize_t result;

    if (!receive_bytes(fd, bytes, size, flags, &result)) {
        return dg_real()->recvfrom(fd, bytes, size, flags, address, address_size);
    }
    /* A connected stream has nothing to say here. (linux net/ipv4/tcp.c: msg_name is left alone) */
    if (result >= 0 && address != NULL && address_size != NULL) {
        *address_size = 0;
    }
    return result;
}

ssize_t __read_chk(int fd, void *bytes, size_t size, size_t buffer_size);
ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags);
ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags,
                       struct sockaddr *address, socklen_t *address_size);

DG_EXPORT ssize_t __read_chk(int fd, void *bytes, size_t size, size_t buffer_size)
{
    check(size, buffer_size);
    return read(fd, bytes, size);
}

DG_EXPORT ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags)
{
    check(size, buffer_size);
    return recv(fd, bytes, size, flags);
}

DG_EXPORT ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags,
                                 struct sockaddr *address, socklen_t *address_size)
{
    check(size, buffer_size);
    return recvfrom(fd, bytes, size, flags, address, address_size);
}

DG_EXPORT ssize_t readv(int fd, const struct iovec *vector, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = (size_t)count};
    ssize_t result;

    if (count >= 0 && count <= IOV_MAX && dg_watched(fd) &&
        dg_hooks.receive(fd, &message, 0, &result)) {
        return result;
    }
    return dg_real()->readv(fd, vector, count);
}

DG_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t result;

    if (message != NULL && dg_watched(fd) && dg_hooks.receive(fd, message, flags, &result)) {
        return result;
    }
    return dg_real()->recvmsg(fd, message, flags);
}

/* On a stream, one message after the other, as the kernel does: the first may wait, an error behind
 * others waits for the next call. */
DG_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                       struct timespec *timeout)
{
    unsigned done = 0;

    if (!dg_watched(fd)) {
        return dg_real()->recvmmsg(fd, messages, count, flags, timeout);
    }
    while (done < count) {
        ssize_t size = recvmsg(fd, &messages[done].msg_hdr,
                               (flags & ~MSG_WAITFORONE) | (done > 0 ? MSG_DONTWAIT : 0));

        if (size < 0) {
            break;
        }
        messages[done++].msg_len = (unsigned)size;
        if (size == 0) {
            break;
        }
    }
    return done > 0 ? (int)done : -1;
}
