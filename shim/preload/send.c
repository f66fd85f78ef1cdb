/* Every call by which a stream's bytes go out, brought down to the core's one; those that cannot be
 * are refused. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "shim/preload/preload.h"

static bool send_bytes(int fd, const void *bytes, size_t size, int flags, ssize_t *result)
{
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    return dg_watched(fd) && dg_hooks.send(fd, &message, flags, result);
}

static DG_ASIDE ssize_t write_watched(int fd, const void *bytes, size_t size)
{
    ssize_t result;

    return send_bytes(fd, bytes, size, 0, &result) ? result : dg_real()->write(fd, bytes, size);
}

DG_EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    return dg_watched(fd) ? write_watched(fd, bytes, size) : dg_real()->write(fd, bytes, size);
}

DG_EXPORT ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    ssize_t result;

    return send_bytes(fd, bytes, size, flags, &result) ? result
                                                       : dg_real()->send(fd, bytes, size, flags);
}

DG_EXPORT ssize_t sendto(int fd, const void *bytes, size_t size, int flags,
                         const struct sockaddr *address, socklen_t address_size)
{
    ssize_t result;

    return send_bytes(fd, bytes, size, flags, &result)
               ? result
               : dg_real()->sendto(fd, bytes, size, flags, address, address_size);
}

DG_EXPORT ssize_t writev(int fd, const struct iovec *vector, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = (size_t)count};
    ssize_t result;

    if (count >= 0 && count <= IOV_MAX && dg_watched(fd) &&
        dg_hooks.send(fd, &message, 0, &result)) {
        return result;
    }
    return dg_real()->writev(fd, vector, count);
}

/* Whether a message carries a descriptor that is not to be handed on. */
static bool hands_on(const struct msghdr *message)
{
    return message->msg_control != NULL && message->msg_controllen > 0 && dg_guarding() &&
           dg_hooks.hands_on(message);
}

DG_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t result;

    if (message != NULL && dg_watched(fd) && dg_hooks.send(fd, message, flags, &result)) {
        return result;
    }
    if (message != NULL && hands_on(message)) {
        return -1;
    }
    return dg_real()->sendmsg(fd, message, flags);
}

DG_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    int saved = errno;
    unsigned done = 0;

    if (!dg_watched(fd) || count == 0) {
        for (unsigned i = 0; messages != NULL && i < count; i++) {
            if (hands_on(&messages[i].msg_hdr)) {
                return -1;
            }
        }
        return dg_real()->sendmmsg(fd, messages, count, flags);
    }
    while (done < count) {
        ssize_t size = sendmsg(fd, &messages[done].msg_hdr, flags);

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

DG_EXPORT ssize_t sendfile(int fd, int from, off_t *offset, size_t count)
{
    ssize_t result;

    if (dg_watched(fd) && dg_hooks.sendfile(fd, from, offset, count, &result)) {
        return result;
    }
    return dg_real()->sendfile(fd, from, offset, count);
}

DG_EXPORT ssize_t sendfile64(int fd, int from, off64_t *offset, size_t count)
{
    ssize_t result;

    _Static_assert(sizeof(off_t) == sizeof(off64_t), "sendfile64 needs its own hook here");
    if (dg_watched(fd) && dg_hooks.sendfile(fd, from, (off_t *)offset, count, &result)) {
        return result;
    }
    return dg_real()->sendfile64(fd, from, offset, count);
}

/* --- what passes by any wrapper: refused on guarded sockets --- */

static bool refused(int fd, const char *call)
{
    return dg_watched(fd) && dg_hooks.unsupported(fd, call);
}

DG_EXPORT ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                         unsigned flags)
{
    if (refused(from, "splice") || refused(to, "splice")) {
        return -1;
    }
    return dg_real()->splice(from, from_offset, to, to_offset, size, flags);
}

DG_EXPORT ssize_t preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
    return refused(fd, "preadv2") ? -1 : dg_real()->preadv2(fd, vector, count, offset, flags);
}

DG_EXPORT ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset,
                             int flags)
{
    return refused(fd, "preadv2") ? -1 : dg_real()->preadv64v2(fd, vector, count, offset, flags);
}

DG_EXPORT ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
    return refused(fd, "pwritev2") ? -1 : dg_real()->pwritev2(fd, vector, count, offset, flags);
}

DG_EXPORT ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset,
                              int flags)
{
    return refused(fd, "pwritev2") ? -1 : dg_real()->pwritev64v2(fd, vector, count, offset, flags);
}

DG_EXPORT int aio_read(struct aiocb *request)
{
    return refused(request->aio_fildes, "aio_read") ? -1 : dg_real()->aio_read(request);
}

DG_EXPORT int aio_read64(struct aiocb64 *request)
{
    return refused(request->aio_fildes, "aio_read") ? -1 : dg_real()->aio_read64(request);
}

DG_EXPORT int aio_write(struct aiocb *request)
{
    return refused(request->aio_fildes, "aio_write") ? -1 : dg_real()->aio_write(request);
}

DG_EXPORT int aio_write64(struct aiocb64 *request)
{
    return refused(request->aio_fildes, "aio_write") ? -1 : dg_real()->aio_write64(request);
}

DG_EXPORT int lio_listio(int mode, struct aiocb *const *requests, int count, struct sigevent *event)
{
    for (int i = 0; i < count; i++) {
        if (requests[i] != NULL && refused(requests[i]->aio_fildes, "lio_listio")) {
            return -1;
        }
    }
    return dg_real()->lio_listio(mode, requests, count, event);
}

DG_EXPORT int lio_listio64(int mode, struct aiocb64 *const *requests, int count,
                           struct sigevent *event)
{
    for (int i = 0; i < count; i++) {
        if (requests[i] != NULL && refused(requests[i]->aio_fildes, "lio_listio")) {
            return -1;
        }
    }
    return dg_real()->lio_listio64(mode, requests, count, event);
}

/* Streams of stdio read and write inside libc, where we are not asked. */
DG_EXPORT FILE *fdopen(int fd, const char *mode)
{
    return refused(fd, "fdopen") ? NULL : dg_real()->fdopen(fd, mode);
}

DG_EXPORT int vdprintf(int fd, const char *restrict format, va_list arguments)
{
    return refused(fd, "dprintf") ? -1 : dg_real()->vdprintf(fd, format, arguments);
}

DG_EXPORT int dprintf(int fd, const char *restrict format, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, format);
    result = vdprintf(fd, format, arguments);
    va_end(arguments);
    return result;
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments);
int __dprintf_chk(int fd, int flag, const char *format, ...);

/* What dprintf is in a fortified program. */
DG_EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments)
{
    return refused(fd, "dprintf") ? -1 : dg_real()->__vdprintf_chk(fd, flag, format, arguments);
}

DG_EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list arguments;
    int result;

    va_start(arguments, format);
    result = __vdprintf_chk(fd, flag, format, arguments);
    va_end(arguments);
    return result;
}
