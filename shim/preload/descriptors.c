/* How descriptors are copied and closed, and the two calls that can do anything: ioctl and fcntl.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/preload/preload.h"

DG_EXPORT int close(int fd)
{
    if (dg_watched(fd)) {
        dg_hooks.closing(fd);
    }
    return dg_real()->close(fd);
}

DG_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    /* With any other flag the call closes nothing, or fails. */
    if (dg_guarding() && (flags & ~(int)CLOSE_RANGE_UNSHARE) == 0) {
        dg_hooks.closing_range(first, last);
    }
    if (dg_real()->close_range == NULL) { /* before glibc 2.34 */
        errno = ENOSYS;
        return -1;
    }
    return dg_real()->close_range(first, last, flags);
}

DG_EXPORT void closefrom(int first)
{
    if (dg_guarding()) {
        dg_hooks.closing_range(first > 0 ? (unsigned)first : 0, UINT_MAX);
    }
    dg_real()->closefrom(first);
}

/* After a successful copy. */
static int copied(int fd, int copy)
{
    if (copy >= 0 && dg_watched(fd)) {
        dg_hooks.duplicated(fd, copy);
    }
    return copy;
}

DG_EXPORT int dup(int fd)
{
    return copied(fd, dg_real()->dup(fd));
}

/* Before the copy: what `copy` stood for is closed by it, unless the call fails or both are the
 * same. */
static void replacing(int fd, int copy)
{
    if (fd != copy && dg_watched(copy) && dg_real()->fcntl(fd, F_GETFD) >= 0) {
        dg_hooks.closing(copy);
    }
}

DG_EXPORT int dup2(int fd, int copy)
{
    replacing(fd, copy);
    return copied(fd, dg_real()->dup2(fd, copy));
}

DG_EXPORT int dup3(int fd, int copy, int flags)
{
    if ((flags & ~O_CLOEXEC) == 0) {
        replacing(fd, copy);
    }
    return copied(fd, dg_real()->dup3(fd, copy, flags));
}

/* All arguments of fcntl and ioctl are as wide as a pointer or narrower, and passed the same way.
 */
DG_EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    void *argument;
    int result;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    result = dg_real()->fcntl(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

int fcntl64(int fd, int command, ...);

DG_EXPORT int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl(fd, command, argument);
}

DG_EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;
    int result;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == FIONREAD && argument != NULL && dg_watched(fd) &&
        dg_hooks.readable(fd, argument, &result)) {
        return result;
    }
    return dg_real()->ioctl(fd, request, argument);
}
