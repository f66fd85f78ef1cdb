/* How descriptors are copied and closed, and the two calls that can do anything: ioctl and fcntl.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/preload/preload.h"

DG_EXPORT int close(int fd)
{
    int result;

    return dg_watched(fd) && dg_hooks.close(fd, &result) ? result : dg_real()->close(fd);
}

DG_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (dg_guarding() && (flags & (int)CLOSE_RANGE_UNSHARE) != 0 &&
        dg_hooks.unshares("close_range with CLOSE_RANGE_UNSHARE")) {
        return -1;
    }
    /* With any other flag the call closes nothing, or fails. */
    if (dg_guarding() && (flags & ~(int)CLOSE_RANGE_UNSHARE) == 0) {
        dg_hooks.close_range(first, last);
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
        dg_hooks.close_range(first > 0 ? (unsigned)first : 0, UINT_MAX);
    }
    dg_real()->closefrom(first);
}

DG_EXPORT int unshare(int flags)
{
    if ((flags & CLONE_FILES) != 0 && dg_guarding() &&
        dg_hooks.unshares("unshare with CLONE_FILES")) {
        return -1;
    }
    return dg_real()->unshare(flags);
}

/* After a copy to a number that the kernel chose. */
static int copied(int fd, int copy)
{
    return copy >= 0 && (dg_watched(fd) || dg_watched(copy)) ? dg_hooks.duplicated(fd, copy) : copy;
}

DG_EXPORT int dup(int fd)
{
    return copied(fd, dg_real()->dup(fd));
}

/* A copy to a number that may stand for something; false where the real call is to be made. */
static bool replaced(int fd, int copy, int flags, int *result)
{
    return fd != copy && (dg_watched(fd) || dg_watched(copy)) &&
           dg_hooks.replace(fd, copy, flags, result);
}

DG_EXPORT int dup2(int fd, int copy)
{
    int result;

    return replaced(fd, copy, 0, &result) ? result : dg_real()->dup2(fd, copy);
}

DG_EXPORT int dup3(int fd, int copy, int flags)
{
    int result;

    return (flags & ~O_CLOEXEC) == 0 && replaced(fd, copy, flags, &result)
               ? result
               : dg_real()->dup3(fd, copy, flags);
}

static bool ends_at_exec(int fd)
{
    return dg_watched(fd) && dg_hooks.ends_at_exec(fd);
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
    if (command == F_SETFD && ends_at_exec(fd)) {
        return dg_real()->fcntl(fd, command, (int)(uintptr_t)argument | FD_CLOEXEC);
    }
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
    if (request == FIONCLEX && ends_at_exec(fd)) {
        return 0;
    }
    return dg_real()->ioctl(fd, request, argument);
}
