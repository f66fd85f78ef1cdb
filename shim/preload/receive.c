/* Every call by which a stream's bytes come in, brought down to the core's one. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "shim/preload/preload.h"

static bool receive_bytes(int fd, void *bytes, size_t size, int flags, ssize_t *result)
{
    struct iovec vector = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    return dg_watched(fd) && dg_hooks.receive(fd, &message, flags, result);
}

static DG_ASIDE ssize_t read_watched(int fd, void *bytes, size_t size)
{
    ssize_t result;

    return receive_bytes(fd, bytes, size, 0, &result) ? result : dg_real()->read(fd, bytes, size);
}

DG_EXPORT ssize_t read(int fd, void *bytes, size_t size)
{
    /* Of no bytes, read returns at once, where recv would wait. (linux net/socket.c,
     * sock_read_iter) */
    if (dg_watched(fd) && size > 0) {
        return read_watched(fd, bytes, size);
    }
    return dg_real()->read(fd, bytes, size);
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

/* libc ends a program that asks for more than its buffer holds: the real function does that. */
DG_EXPORT ssize_t __read_chk(int fd, void *bytes, size_t size, size_t buffer_size)
{
    return size <= buffer_size ? read(fd, bytes, size)
                               : dg_real()->__read_chk(fd, bytes, size, buffer_size);
}

DG_EXPORT ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags)
{
    return size <= buffer_size ? recv(fd, bytes, size, flags)
                               : dg_real()->__recv_chk(fd, bytes, size, buffer_size, flags);
}

DG_EXPORT ssize_t __recvfrom_chk(int fd, void *bytes, size_t size, size_t buffer_size, int flags,
                                 struct sockaddr *address, socklen_t *address_size)
{
    return size <= buffer_size ? recvfrom(fd, bytes, size, flags, address, address_size)
                               : dg_real()->__recvfrom_chk(fd, bytes, size, buffer_size, flags,
                                                           address, address_size);
}

static bool is_empty(const struct iovec *vector, int count)
{
    for (int i = 0; i < count; i++) {
        if (vector[i].iov_len > 0) {
            return false;
        }
    }
    return true;
}

DG_EXPORT ssize_t readv(int fd, const struct iovec *vector, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = (size_t)count};
    ssize_t result;

    if (count >= 0 && count <= IOV_MAX && dg_watched(fd) && !is_empty(vector, count) &&
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
    result = dg_real()->recvmsg(fd, message, flags);
    if (result >= 0 && message != NULL && message->msg_control != NULL &&
        message->msg_controllen > 0 && dg_guarding()) {
        dg_hooks.handed(message);
    }
    return result;
}

static int receive_unwatched(int fd, struct mmsghdr *messages, unsigned count, int flags,
                             struct timespec *timeout)
{
    int done = dg_real()->recvmmsg(fd, messages, count, flags, timeout);

    for (int i = 0; i < done; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;

        if (message->msg_control != NULL && message->msg_controllen > 0 && dg_guarding()) {
            dg_hooks.handed(message);
        }
    }
    return done;
}

/* On a stream, one message after the other, as the kernel does: with MSG_WAITFORONE only the first
 * is waited for; an error behind others waits for the next call. The time limit, which the kernel
 * looks at only between messages, is not looked at. */
DG_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                       struct timespec *timeout)
{
    int saved = errno;
    unsigned done = 0;

    if (!dg_watched(fd) || count == 0) {
        return receive_unwatched(fd, messages, count, flags, timeout);
    }
    while (done < count) {
        bool enough = done > 0 && (flags & MSG_WAITFORONE) != 0;
        ssize_t size = recvmsg(fd, &messages[done].msg_hdr,
                               (flags & ~MSG_WAITFORONE) | (enough ? MSG_DONTWAIT : 0));

        if (size < 0) {
            break;
        }
        messages[done++].msg_len = (unsigned)size;
    }
    if (done == 0) {
        return -1;
    }
    errno = saved;
    return (int)done;
}
