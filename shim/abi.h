/*
 * What the two libraries say to each other.
 *
 * libdistguard.so (shim/preload) finds the real functions and calls the core's hooks;
 * libdistguard-core.so (shim/core) decides. Both are built together and refuse each other if their
 * DG_ABI differs.
 */
#ifndef DISTGUARD_ABI_H
#define DISTGUARD_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#define DG_VERSION "0.1.0"
#define DG_ABI "distguard-core 0.1.0"

/* Exit status of a guarded program that is not allowed to start. (EX_CONFIG of sysexits.h.) */
#define DG_EXIT_REFUSED 78

/* The libc functions that the core needs, as they are without us. */
struct dg_real {
    int (*socket)(int domain, int type, int protocol);
    int (*bind)(int fd, const struct sockaddr *address, socklen_t size);
    int (*listen)(int fd, int backlog);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t size);
    int (*accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*recv)(int fd, void *bytes, size_t size, int flags);
    ssize_t (*send)(int fd, const void *bytes, size_t size, int flags);
    ssize_t (*write)(int fd, const void *bytes, size_t size);
    int (*shutdown)(int fd, int how);
    int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t size);
    int (*close)(int fd);
    int (*dup3)(int from, int to, int flags);
};

/*
 * The core's hooks. A hook that returns bool says whether it has done the call: then *result (and
 * errno) is the caller's answer; else the preload library makes the real call.
 *
 * A descriptor is watched when watched[fd] is not NULL; hooks that take one are called for watched
 * descriptors only, which keeps every other descriptor at the cost of one comparison.
 */
struct dg_hooks {
    void *_Atomic *watched;
    int watched_size;

    /* After socket(2): returns fd, or -1 with errno where it cannot be guarded (it is closed then).
     */
    int (*socket_opened)(int fd, int domain, int type);
    bool (*bind)(int fd, const struct sockaddr *address, socklen_t size, int *result);
    bool (*listen)(int fd, int backlog, int *result);
    bool (*connect)(int fd, const struct sockaddr *address, socklen_t size, int *result);
    /* All of select(2), in epmd; NULL in other programs. */
    int (*select)(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
                  struct timeval *timeout);
    /* Before epoll_wait(2), and before _exit(2), in the VM; NULL in other programs. */
    void (*polls)(void);
    void (*ends)(void);
    /* All of accept4(2), for watched listeners and for others. */
    int (*accept)(int fd, struct sockaddr *address, socklen_t *size, int flags);

    bool (*receive)(int fd, struct msghdr *message, int flags, ssize_t *result);
    bool (*send)(int fd, const struct msghdr *message, int flags, ssize_t *result);
    bool (*sendfile)(int fd, int from, off_t *offset, size_t count, ssize_t *result);
    /* FIONREAD */
    bool (*readable)(int fd, int *bytes, int *result);
    bool (*shutdown)(int fd, int how, int *result);
    /* setsockopt(2): only the options that would break the guard are done (refused) here. */
    bool (*set_option)(int fd, int level, int name, int *result);
    /* Calls through which we cannot guard data (splice, preadv2, fdopen, …): true, errno
     * EOPNOTSUPP, where refused. */
    bool (*unsupported)(int fd, const char *call);

    bool (*close)(int fd, int *result);
    /* Before the real close_range or closefrom: closes those that are watched. */
    void (*close_range)(unsigned first, unsigned last);
    /* dup2(2) and dup3(2) of one descriptor to another number, where either is watched. */
    bool (*replace)(int fd, int copy, int flags, int *result);
    /* After dup or F_DUPFD, where either number is watched: returns copy, or -1 with errno where it
     * cannot be guarded (it is closed then). */
    int (*duplicated)(int fd, int copy);
    /* Before a message with control data is sent: true, errno EOPNOTSUPP, where it carries a
     * descriptor that is not to be handed on. */
    bool (*hands_on)(const struct msghdr *message);
    /* After a message with control data was received. */
    void (*handed)(const struct msghdr *message);
    /* Whether a descriptor must not survive exec: nobody knows there that it is guarded. */
    bool (*ends_at_exec)(int fd);
    /* Before a thread gets a descriptor table of its own: true, errno EOPNOTSUPP, where refused. */
    bool (*unshares)(const char *call);
};

enum dg_core_verdict {
    DG_CORE_GUARDING,
    DG_CORE_NOT_GUARDED, /* the policy does not name this program, or its mode is off */
    DG_CORE_REFUSED,     /* `reason` says why the program must not start */
};

#define DG_REASON_SIZE 1024

/*
 * The core's only entry. Called once, before main() and before any thread. `program` is the base
 * name of /proc/self/exe; `abi` the caller's DG_ABI. Fills `hooks` when it returns
 * DG_CORE_GUARDING.
 */
typedef enum dg_core_verdict dg_core_start_function(const char *abi, const char *program,
                                                    const struct dg_real *real,
                                                    struct dg_hooks *hooks,
                                                    char reason[DG_REASON_SIZE]);
#define DG_CORE_START_SYMBOL "dg_core_start"

#endif
