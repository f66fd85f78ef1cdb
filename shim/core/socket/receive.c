/*
 * What comes in: the hook of every call that receives.
 *
 * A channel never waits; the waiting of blocking descriptors is done here, by the kernel's own
 * means and with no lock held, so that timeouts, signals and O_NONBLOCK mean what they always mean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/socket/attempt.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/roles.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"
#include "shim/core/tls/vector.h"

/* Calls that take nothing from the stream, and never wait. */
#define ASIDE (MSG_OOB | MSG_ERRQUEUE)

/* What epmd is given of a request that came whole before it saw the connection. */
static enum dg_attempt receive_request(struct dg_socket *socket, const struct msghdr *message,
                                       bool peek, ssize_t *result)
{
    struct dg_request *request = socket->request;
    size_t given = dg_vector_fill(message->msg_iov, (int)message->msg_iovlen,
                                  request->bytes + request->taken, request->size - request->taken);

    request->taken += peek ? 0 : given;
    if (request->taken == request->size) {
        free(request);
        socket->request = NULL;
    }
    *result = (ssize_t)given;
    return DG_ATTEMPT_DONE;
}

static enum dg_attempt receive_guarded(struct dg_socket *socket, int fd, struct msghdr *message,
                                       int flags, ssize_t *result)
{
    enum dg_channel_state before = dg_channel_get_state(socket->channel);
    enum dg_attempt attempt;

    if ((flags & (MSG_OOB | MSG_TRUNC)) != 0) {
        dg_audit_unsupported(socket, "recv with MSG_OOB or MSG_TRUNC");
        return dg_attempt_failed(result, EOPNOTSUPP);
    }
    if (dg_leads_nowhere(message->msg_iov, message->msg_iovlen)) {
        return dg_attempt_failed(result, EFAULT);
    }
    if (socket->request != NULL) {
        return receive_request(socket, message, (flags & MSG_PEEK) != 0, result);
    }
    attempt =
        dg_attempt_of_channel(dg_joining_receive(socket, fd, message->msg_iov,
                                                 (int)message->msg_iovlen, (flags & MSG_PEEK) != 0),
                              result);
    dg_audit_channel(socket, before);
    if (*result > 0) {
        dg_gathering_hear(&socket->gathering);
    }
    dg_show_moved(socket, DG_PAGE_IN, (flags & MSG_PEEK) == 0 ? *result : 0);
    if (*result > 0 && (flags & MSG_PEEK) == 0) {
        dg_learn_from_answer(socket, message->msg_iov, (int)message->msg_iovlen, (size_t)*result);
    }
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = 0;
    return attempt;
}

/* What was taken from the kernel before it was known that the program may have it. */
static size_t give_kept(struct dg_socket *socket, const struct msghdr *message, bool peek)
{
    size_t given = dg_vector_fill(message->msg_iov, (int)message->msg_iovlen, socket->first,
                                  socket->first_kept);

    if (!peek) {
        socket->first_kept = (uint8_t)(socket->first_kept - given);
        memmove(socket->first, socket->first + given, socket->first_kept);
    }
    return given;
}

/* The real call, without waiting. The VM ends a connection of EINTR, and where nothing waits there
 * is nothing to interrupt. */
static ssize_t receive_now(int fd, struct msghdr *message, int flags)
{
    ssize_t result;

    do {
        result = dg_core.real.recvmsg(fd, message, flags | MSG_DONTWAIT);
    } while (result < 0 && errno == EINTR);
    return result;
}

/* A connection that passes as it is: first what we have kept of it, then the real call. Unlocks the
 * socket. */
static enum dg_attempt receive_plain(struct dg_socket *socket, int fd, struct msghdr *message,
                                     int flags, ssize_t *result)
{
    bool aside = (flags & (MSG_TRUNC | ASIDE)) != 0;
    bool kept = socket->request != NULL || (socket->first_kept > 0 && !aside);
    bool peek = (flags & MSG_PEEK) != 0;
    bool would_block = false;

    if (kept && dg_leads_nowhere(message->msg_iov, message->msg_iovlen)) {
        (void)dg_attempt_failed(result, EFAULT);
    } else if (socket->request != NULL) {
        (void)receive_request(socket, message, peek, result);
    } else if (kept) {
        *result = (ssize_t)give_kept(socket, message, peek);
    } else if (socket->role == DG_ROLE_PLAIN) {
        dg_table_unlock(socket);
        return DG_ATTEMPT_PASS;
    } else {
        *result = receive_now(fd, message, flags);
        would_block = *result < 0 && errno == EAGAIN && (flags & ASIDE) == 0;
    }
    if (*result > 0 && !peek && !aside && socket->role == DG_ROLE_PLAIN_NAMING) {
        dg_name_plaintext(socket, message->msg_iov, (int)message->msg_iovlen, (size_t)*result);
    }
    dg_table_unlock(socket);
    return would_block ? DG_ATTEMPT_WAIT : DG_ATTEMPT_DONE;
}

static void wipe(const struct msghdr *message, size_t size)
{
    for (size_t i = 0; i < message->msg_iovlen && size > 0; i++) {
        size_t part = message->msg_iov[i].iov_len < size ? message->msg_iov[i].iov_len : size;

        explicit_bzero(message->msg_iov[i].iov_base, part);
        size -= part;
    }
}

/* The real call, and a look at what it brought. Unlocks the socket. */
static enum dg_attempt receive_watched(struct dg_socket *socket, int fd, struct msghdr *message,
                                       int flags, ssize_t *result)
{
    enum dg_decision decision;

    *result = receive_now(fd, message, flags);
    if (*result < 0 && errno == ENOTSOCK) {
        dg_table_forget(fd, socket); /* the number was closed behind our back and is a file now */
        return DG_ATTEMPT_PASS;
    }
    if (*result <= 0 || (flags & (MSG_PEEK | MSG_TRUNC | ASIDE)) != 0) {
        bool would_block = *result < 0 && errno == EAGAIN && (flags & ASIDE) == 0;

        dg_table_unlock(socket);
        return would_block ? DG_ATTEMPT_WAIT : DG_ATTEMPT_DONE;
    }
    decision =
        dg_decide_received(socket, fd, message->msg_iov, (int)message->msg_iovlen, (size_t)*result);
    if (decision == DG_DECIDE_PASS) {
        dg_table_forget(fd, socket);
        return DG_ATTEMPT_DONE;
    }
    if (decision == DG_DECIDE_REFUSED) {
        wipe(message, (size_t)*result);
        (void)dg_attempt_failed(result, ECONNRESET);
    }
    dg_table_unlock(socket);
    return DG_ATTEMPT_DONE;
}

/* Looks at the first bytes of a connection to any other listener before the program does. Unlocks
 * the socket. */
static enum dg_attempt receive_incoming(struct dg_socket *socket, int fd, struct msghdr *message,
                                        int flags, ssize_t *result)
{
    switch (dg_decide_incoming(socket, fd)) {
    case DG_DECIDE_PASS:
        dg_table_forget(fd, socket);
        return DG_ATTEMPT_PASS;
    case DG_DECIDE_WAIT:
        if ((flags & ASIDE) != 0) {
            return receive_watched(socket, fd, message, flags, result);
        }
        dg_table_unlock(socket);
        (void)dg_attempt_failed(result, EAGAIN);
        return DG_ATTEMPT_WAIT;
    case DG_DECIDE_WATCH:
        return receive_watched(socket, fd, message, flags, result);
    case DG_DECIDE_PLAIN:
        return receive_plain(socket, fd, message, flags, result);
    case DG_DECIDE_FAILED:
        dg_table_unlock(socket);
        return dg_attempt_failed(result, errno);
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return dg_attempt_failed(result, ECONNRESET);
    }
}

/* *serial: see dg_table_lock_same(). */
static enum dg_attempt receive_once(int fd, uint64_t *serial, struct msghdr *message, int flags,
                                    ssize_t *result)
{
    enum dg_attempt attempt;
    struct dg_socket *socket = dg_attempt_begin(fd, serial, false, result, &attempt);

    if (socket == NULL) {
        return attempt;
    }
    switch ((enum dg_role)socket->role) {
    case DG_ROLE_OUTGOING:
        if (!socket->adopted) {
            attempt = DG_ATTEMPT_PASS;
            break;
        }
        return receive_incoming(socket, fd, message, flags, result);
    case DG_ROLE_INCOMING:
        return receive_incoming(socket, fd, message, flags, result);
    case DG_ROLE_EPMD_ASKED:
        return receive_watched(socket, fd, message, flags, result);
    case DG_ROLE_PLAIN_NAMING:
    case DG_ROLE_PLAIN:
        return receive_plain(socket, fd, message, flags, result);
    case DG_ROLE_GUARDED:
        attempt = receive_guarded(socket, fd, message, flags, result);
        break;
    case DG_ROLE_REFUSED:
    case DG_ROLE_FOREIGN:
    case DG_ROLE_EPMD_INCOMING:
        attempt = dg_attempt_failed(result, ECONNRESET);
        break;
    case DG_ROLE_NEW:
    case DG_ROLE_LISTENER:
    case DG_ROLE_EPMD_ASKING:
    default:
        attempt = DG_ATTEMPT_PASS;
        break;
    }
    dg_table_unlock(socket);
    return attempt;
}

/* Waits as the caller's own recv would have: O_NONBLOCK, SO_RCVTIMEO and signals count as they do
 * there. Where nothing waits there is nothing to interrupt, and the VM ends a connection of EINTR.
 */
static bool wait_readable(int fd, int flags)
{
    ssize_t size;
    char byte;

    do {
        size = dg_core.real.recv(fd, &byte, 1, MSG_PEEK | (flags & MSG_DONTWAIT));
    } while (size < 0 && errno == EINTR && !dg_is_blocking(fd, flags));
    return size >= 0;
}

/* Receives until there is something; false where the real call is to be made. */
static bool receive_some(int fd, uint64_t *serial, struct msghdr *message, int flags,
                         ssize_t *result)
{
    for (;;) {
        switch (receive_once(fd, serial, message, flags, result)) {
        case DG_ATTEMPT_PASS:
            return false;
        case DG_ATTEMPT_DONE:
            return true;
        case DG_ATTEMPT_WAIT:
        case DG_ATTEMPT_UNDECIDED:
        default:
            if (!wait_readable(fd, flags)) {
                *result = -1;
                return true;
            }
            break;
        }
    }
}

/* MSG_WAITALL: the buffer filled, unless the stream ends, fails or is interrupted first. */
static bool receive_all(int fd, struct msghdr *message, int flags, ssize_t *result)
{
    struct iovec *vector = message->msg_iov;
    uint64_t serial = 0;
    ssize_t got = 0;

    if (message->msg_iovlen != 1) {
        (void)dg_attempt_failed(result, EOPNOTSUPP);
        return true;
    }
    while ((size_t)got < vector->iov_len) {
        struct iovec rest = {(char *)vector->iov_base + got, vector->iov_len - (size_t)got};
        struct msghdr part = {.msg_iov = &rest, .msg_iovlen = 1};

        if (!receive_some(fd, &serial, &part, flags & ~MSG_WAITALL, result)) {
            /* Its beginning has told that it is none of our business. */
            *result = dg_core.real.recv(fd, rest.iov_base, rest.iov_len, flags);
            got += *result > 0 ? *result : 0;
            break;
        }
        if (*result <= 0) {
            break;
        }
        got += *result;
    }
    if (got > 0) {
        *result = got;
    }
    return true;
}

bool dg_hook_receive(int fd, struct msghdr *message, int flags, ssize_t *result)
{
    int saved = errno;
    uint64_t serial = 0;
    bool done;

    /* epmd's descriptors block, and its loop must not: the kernel's word that there is something to
     * read is not yet a record. */
    if (dg_core.program.kind == DG_PROGRAM_EPMD && dg_is_guarded(fd)) {
        flags |= MSG_DONTWAIT;
    }
    if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC)) == MSG_WAITALL &&
        (message->msg_iovlen == 1 || dg_is_guarded(fd))) {
        done = receive_all(fd, message, flags, result);
    } else {
        done = receive_some(fd, &serial, message, flags, result);
    }
    if (!done || *result >= 0) {
        errno = saved;
    }
    return done;
}
