/*
 * libdistguard.so: the functions that come before libc's, and nothing else. In a program that is
 * not guarded each is one comparison and a jump; in a guarded one the core is asked for descriptors
 * that it watches.
 */
#ifndef DISTGUARD_PRELOAD_H
#define DISTGUARD_PRELOAD_H

#include <aio.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "shim/abi.h"

#define DG_EXPORT __attribute__((visibility("default")))

/* For what a call on a watched descriptor takes, so that one on any other pays for no stack frame
 * and no stack protector. */
#define DG_ASIDE __attribute__((noinline))

/* Every libc function that we stand before: return type, name, parameters. */
#define DG_INTERPOSED(X)                                                                           \
    X(int, socket, (int, int, int))                                                                \
    X(int, bind, (int, const struct sockaddr *, socklen_t))                                        \
    X(int, listen, (int, int))                                                                     \
    X(int, connect, (int, const struct sockaddr *, socklen_t))                                     \
    X(int, accept, (int, struct sockaddr *, socklen_t *))                                          \
    X(int, accept4, (int, struct sockaddr *, socklen_t *, int))                                    \
    X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                          \
    X(int, epoll_wait, (int, struct epoll_event *, int, int))                                      \
    X(int, shutdown, (int, int))                                                                   \
    X(int, setsockopt, (int, int, int, const void *, socklen_t))                                   \
    X(ssize_t, read, (int, void *, size_t))                                                        \
    X(ssize_t, __read_chk, (int, void *, size_t, size_t))                                          \
    X(ssize_t, readv, (int, const struct iovec *, int))                                            \
    X(ssize_t, recv, (int, void *, size_t, int))                                                   \
    X(ssize_t, __recv_chk, (int, void *, size_t, size_t, int))                                     \
    X(ssize_t, recvfrom, (int, void *, size_t, int, struct sockaddr *, socklen_t *))               \
    X(ssize_t, __recvfrom_chk, (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *)) \
    X(ssize_t, recvmsg, (int, struct msghdr *, int))                                               \
    X(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))                    \
    X(ssize_t, write, (int, const void *, size_t))                                                 \
    X(ssize_t, writev, (int, const struct iovec *, int))                                           \
    X(ssize_t, send, (int, const void *, size_t, int))                                             \
    X(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t))       \
    X(ssize_t, sendmsg, (int, const struct msghdr *, int))                                         \
    X(int, sendmmsg, (int, struct mmsghdr *, unsigned, int))                                       \
    X(ssize_t, sendfile, (int, int, off_t *, size_t))                                              \
    X(ssize_t, sendfile64, (int, int, off64_t *, size_t))                                          \
    X(ssize_t, splice, (int, off64_t *, int, off64_t *, size_t, unsigned))                         \
    X(ssize_t, preadv2, (int, const struct iovec *, int, off_t, int))                              \
    X(ssize_t, preadv64v2, (int, const struct iovec *, int, off64_t, int))                         \
    X(ssize_t, pwritev2, (int, const struct iovec *, int, off_t, int))                             \
    X(ssize_t, pwritev64v2, (int, const struct iovec *, int, off64_t, int))                        \
    X(int, aio_read, (struct aiocb *))                                                             \
    X(int, aio_read64, (struct aiocb64 *))                                                         \
    X(int, aio_write, (struct aiocb *))                                                            \
    X(int, aio_write64, (struct aiocb64 *))                                                        \
    X(int, lio_listio, (int, struct aiocb *const *, int, struct sigevent *))                       \
    X(int, lio_listio64, (int, struct aiocb64 *const *, int, struct sigevent *))                   \
    X(FILE *, fdopen, (int, const char *))                                                         \
    X(int, vdprintf, (int, const char *, va_list))                                                 \
    X(int, __vdprintf_chk, (int, int, const char *, va_list))                                      \
    X(int, ioctl, (int, unsigned long, ...))                                                       \
    X(int, fcntl, (int, int, ...))                                                                 \
    X(int, fcntl64, (int, int, ...))                                                               \
    X(int, dup, (int))                                                                             \
    X(int, dup2, (int, int))                                                                       \
    X(int, dup3, (int, int, int))                                                                  \
    X(int, close, (int))                                                                           \
    X(int, close_range, (unsigned, unsigned, int))                                                 \
    X(void, closefrom, (int))                                                                      \
    X(int, unshare, (int))                                                                         \
    X(void, _exit, (int))                                                                          \
    X(void, _Exit, (int))

#define DG_REAL_MEMBER(type, name, parameters) type(*name) parameters;
struct dg_real_all {
    DG_INTERPOSED(DG_REAL_MEMBER)
};
#undef DG_REAL_MEMBER

enum dg_stage {
    DG_STAGE_UNRESOLVED, /* nobody has called yet; zero, so that it holds before any constructor ran
                          */
    DG_STAGE_INERT,
    DG_STAGE_GUARDING,
};

extern _Atomic int dg_stage;
extern struct dg_real_all dg_real_all;
extern struct dg_hooks dg_hooks;

/* Finds the real functions: at the first call of any of ours, which may be before our constructor
 * ran. */
void dg_resolve(void);

/* Ends a guarded program that must not run: the reason on stderr and in syslog, exit status 78. */
_Noreturn void dg_refuse_start(const char *program, const char *reason);

/* The real functions, found by now. */
static inline const struct dg_real_all *dg_real(void)
{
    if (__builtin_expect(
            atomic_load_explicit(&dg_stage, memory_order_acquire) == DG_STAGE_UNRESOLVED, 0)) {
        dg_resolve();
    }
    return &dg_real_all;
}

/* Whether the core is to be asked. */
static inline bool dg_guarding(void)
{
    int stage = atomic_load_explicit(&dg_stage, memory_order_acquire);

    if (__builtin_expect(stage == DG_STAGE_UNRESOLVED, 0)) {
        dg_resolve();
        stage = atomic_load_explicit(&dg_stage, memory_order_acquire);
    }
    return stage == DG_STAGE_GUARDING;
}

/* Whether the core is to be asked about this descriptor. */
static inline bool dg_watched(int fd)
{
    return dg_guarding() && fd >= 0 && fd < dg_hooks.watched_size &&
           atomic_load_explicit(&dg_hooks.watched[fd], memory_order_acquire) != NULL;
}

#endif
