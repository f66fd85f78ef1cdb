#include "shim/core/socket/attempt.h"

#include <errno.h>
#include <fcntl.h>

#include "shim/core/socket/roles.h"

enum dg_attempt dg_attempt_failed(ssize_t *result, int error)
{
    errno = error;
    *result = -1;
    return DG_ATTEMPT_DONE;
}

enum dg_attempt dg_attempt_of_channel(ssize_t value, ssize_t *result)
{
    *result = value;
    return value < 0 && errno == EAGAIN ? DG_ATTEMPT_WAIT : DG_ATTEMPT_DONE;
}

bool dg_is_blocking(int fd, int flags)
{
    int status;

    if ((flags & MSG_DONTWAIT) != 0) {
        return false;
    }
    status = fcntl(fd, F_GETFL);
    return status >= 0 && (status & O_NONBLOCK) == 0;
}

bool dg_leads_nowhere(const struct iovec *vector, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (vector[i].iov_base == NULL && vector[i].iov_len > 0) {
            return true;
        }
    }
    return false;
}

/* Decides what a connection to our distribution listener is. *decided: it has an answer, and the
 * socket is unlocked; else it has a role by which to go on. */
static enum dg_attempt decide(struct dg_socket *socket, int fd, bool sending, ssize_t *result,
                              bool *decided)
{
    *decided = true;
    switch (dg_decide_distribution(socket, fd)) {
    case DG_DECIDE_GUARDED:
    case DG_DECIDE_PLAIN:
        *decided = false;
        return DG_ATTEMPT_WAIT;
    case DG_DECIDE_WAIT:
        dg_table_unlock(socket);
        (void)dg_attempt_failed(result, EAGAIN);
        return DG_ATTEMPT_UNDECIDED;
    case DG_DECIDE_PASS:
        dg_table_forget(fd, socket);
        return DG_ATTEMPT_PASS;
    case DG_DECIDE_WATCH: /* the peer has ended what it never began */
        dg_table_unlock(socket);
        return sending ? dg_attempt_failed(result, EPIPE) : DG_ATTEMPT_PASS;
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return dg_attempt_failed(result, sending ? EPIPE : ECONNRESET);
    }
}

struct dg_socket *dg_attempt_begin(int fd, uint64_t *serial, bool sending, ssize_t *result,
                                   enum dg_attempt *attempt)
{
    struct dg_socket *socket;
    bool decided;

    if (!dg_table_lock_same(fd, serial, &socket)) {
        *attempt = dg_attempt_failed(result, EBADF);
        return NULL;
    }
    if (socket == NULL) {
        *attempt = DG_ATTEMPT_PASS;
        return NULL;
    }
    if (socket->role != DG_ROLE_DISTRIBUTION_INCOMING) {
        return socket;
    }
    *attempt = decide(socket, fd, sending, result, &decided);
    return decided ? NULL : socket;
}

bool dg_is_guarded(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool guarded = socket != NULL && socket->role == DG_ROLE_GUARDED;

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return guarded;
}

bool dg_is_confined(const struct dg_socket *socket)
{
    switch ((enum dg_role)socket->role) {
    case DG_ROLE_GUARDED:
    case DG_ROLE_DISTRIBUTION_INCOMING:
    case DG_ROLE_EPMD_ASKING:
    case DG_ROLE_EPMD_INCOMING:
    case DG_ROLE_REFUSED:
    case DG_ROLE_FOREIGN:
        return true;
    case DG_ROLE_PLAIN_NAMING:
    case DG_ROLE_PLAIN:
        return false;
    default:
        return socket->expected;
    }
}
