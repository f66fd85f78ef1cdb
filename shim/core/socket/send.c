/* What goes out: the hooks of every call that sends. The waiting of blocking descriptors is done
 * here, as for receiving (receive.c). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/socket/attempt.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/roles.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"
#include "shim/core/tls/vector.h"

/* Of the VM alone is it known that it polls; and before the peer is admitted there is nothing to
 * gather. */
static bool may_be_held(struct dg_socket *socket, size_t size)
{
    return dg_core.program.kind == DG_PROGRAM_VM && socket->joining == NULL && !socket->epmd &&
           dg_gathering_wants(&socket->gathering, size);
}

/* As dg_channel_send(). */
static ssize_t take(struct dg_socket *socket, int fd, const struct iovec *vector, int count)
{
    size_t size = dg_vector_size(vector, count);

    if (may_be_held(socket, size)) {
        if (dg_gathering_hold(socket, fd, vector, count)) {
            return (ssize_t)size;
        }
        if (dg_gathering_must_wait(&socket->gathering, fd)) {
            errno = EAGAIN;
            return -1;
        }
    }
    return dg_gathering_send(socket, fd) ? dg_joining_send(socket, fd, vector, count) : -1;
}

static enum dg_attempt send_guarded(struct dg_socket *socket, int fd, const struct iovec *vector,
                                    int count, ssize_t *result)
{
    enum dg_channel_state before = dg_channel_get_state(socket->channel);
    enum dg_attempt attempt;

    if (dg_leads_nowhere(vector, (size_t)count)) {
        return dg_attempt_failed(result, EFAULT);
    }
    attempt = dg_attempt_of_channel(take(socket, fd, vector, count), result);
    dg_audit_channel(socket, before);
    dg_show_moved(socket, DG_PAGE_OUT, *result);
    return attempt;
}

/* Looks at the first bytes of a connection before they leave. Unlocks the socket unless it became
 * guarded. */
static enum dg_attempt decide_sending(struct dg_socket *socket, int fd, const struct iovec *vector,
                                      int count, ssize_t *result, bool *decided)
{
    *decided = true;
    if (dg_leads_nowhere(vector, (size_t)count)) {
        dg_table_unlock(socket);
        return dg_attempt_failed(result, EFAULT);
    }
    switch (dg_decide_sending(socket, fd, vector, count)) {
    case DG_DECIDE_GUARDED:
        *decided = false;
        return DG_ATTEMPT_WAIT;
    case DG_DECIDE_PASS:
        dg_table_forget(fd, socket);
        return DG_ATTEMPT_PASS;
    case DG_DECIDE_WATCH:
    case DG_DECIDE_WAIT:
    case DG_DECIDE_PLAIN:
        dg_table_unlock(socket);
        return DG_ATTEMPT_PASS;
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return dg_attempt_failed(result, EPIPE);
    }
}

/* *serial: see dg_table_lock_same(). */
static enum dg_attempt send_once(int fd, uint64_t *serial, const struct iovec *vector, int count,
                                 ssize_t *result)
{
    enum dg_attempt attempt;
    struct dg_socket *socket = dg_attempt_begin(fd, serial, true, result, &attempt);
    bool decided;

    if (socket == NULL) {
        return attempt;
    }
    switch ((enum dg_role)socket->role) {
    case DG_ROLE_EPMD_ASKING:
    case DG_ROLE_OUTGOING:
        attempt = decide_sending(socket, fd, vector, count, result, &decided);
        if (decided) {
            return attempt;
        }
        attempt = send_guarded(socket, fd, vector, count, result);
        break;
    case DG_ROLE_GUARDED:
        attempt = send_guarded(socket, fd, vector, count, result);
        break;
    case DG_ROLE_INCOMING: /* who speaks first here is no distribution listener */
        dg_table_forget(fd, socket);
        return DG_ATTEMPT_PASS;
    case DG_ROLE_REFUSED:
    case DG_ROLE_FOREIGN:
    case DG_ROLE_EPMD_INCOMING:
        attempt = dg_attempt_failed(result, EPIPE);
        break;
    case DG_ROLE_NEW:
    case DG_ROLE_LISTENER:
    case DG_ROLE_EPMD_ASKED:
    case DG_ROLE_PLAIN_NAMING:
    case DG_ROLE_PLAIN:
    default:
        attempt = DG_ATTEMPT_PASS;
        break;
    }
    dg_table_unlock(socket);
    return attempt;
}

/* What a send that takes nothing waits for: before the handshake is through it is the peer's next
 * word, and the descriptor is writable all the time. */
static short awaited(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    short events = POLLOUT;

    if (socket != NULL) {
        if (socket->role == DG_ROLE_DISTRIBUTION_INCOMING ||
            (socket->role == DG_ROLE_GUARDED &&
             dg_channel_get_state(socket->channel) == DG_CHANNEL_HANDSHAKE)) {
            events = POLLIN;
        }
        dg_table_unlock(socket);
    }
    return events;
}

/* Waits as long as SO_SNDTIMEO allows. False with errno where the call ends. */
static bool wait_to_send(int fd)
{
    struct pollfd ready = {.fd = fd, .events = awaited(fd)};
    struct timeval limit = {0};
    socklen_t size = sizeof limit;
    int milliseconds = -1;

    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) == 0 &&
        (limit.tv_sec > 0 || limit.tv_usec > 0)) {
        milliseconds = limit.tv_sec > INT_MAX / 1000 - 1
                           ? INT_MAX
                           : (int)(limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000);
    }
    switch (poll(&ready, 1, milliseconds)) {
    case -1:
        return false;
    case 0:
        errno = EAGAIN;
        return false;
    default:
        return true;
    }
}

/* A blocking send takes all, one piece of the vector after the other. */
static void send_rest(int fd, uint64_t serial, const struct iovec *vector, int count, ssize_t taken,
                      ssize_t *result)
{
    size_t skip = taken > 0 ? (size_t)taken : 0;

    *result = (ssize_t)skip;
    for (int i = 0; i < count; i++) {
        size_t at = skip < vector[i].iov_len ? skip : vector[i].iov_len;

        skip -= at;
        while (at < vector[i].iov_len) {
            struct iovec rest = {(char *)vector[i].iov_base + at, vector[i].iov_len - at};
            ssize_t sent;
            enum dg_attempt attempt = send_once(fd, &serial, &rest, 1, &sent);

            if (attempt == DG_ATTEMPT_PASS) { /* closed by another thread meanwhile */
                attempt = dg_attempt_failed(&sent, EBADF);
            }
            if (attempt == DG_ATTEMPT_WAIT && wait_to_send(fd)) {
                continue;
            }
            if (sent < 0) {
                *result = *result > 0 ? *result : -1;
                return;
            }
            at += (size_t)sent;
            *result += sent;
        }
    }
}

static bool send_flags_supported(int fd, const struct msghdr *message, int flags)
{
    /* It connects and sends in one, before the connection could be known for distribution; who is
     * told so connects first. */
    if ((flags & MSG_FASTOPEN) != 0 && dg_table_role(fd) == DG_ROLE_NEW) {
        errno = EOPNOTSUPP;
        return false;
    }
    if ((flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)) == 0 && message->msg_controllen == 0) {
        return true;
    }
    return !dg_hook_unsupported(fd,
                                "send with MSG_OOB, MSG_ZEROCOPY, MSG_FASTOPEN or control data");
}

/* A C node waits for answers by select with a time limit, and takes EAGAIN behind it for the end:
 * its handshake is brought through here, where it blocks nobody else. Whatever comes of it shows at
 * the next call. */
static void finish_handshake(int fd)
{
    enum { SLICE = 100 }; /* milliseconds, so that the handshake's own time limit is seen */

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        struct dg_socket *socket = dg_table_lock(fd);
        bool unfinished = false;

        if (socket != NULL && socket->role == DG_ROLE_GUARDED &&
            dg_channel_get_state(socket->channel) == DG_CHANNEL_HANDSHAKE) {
            (void)dg_channel_readable(socket->channel, fd);
            dg_audit_channel(socket, DG_CHANNEL_HANDSHAKE);
            unfinished = dg_channel_get_state(socket->channel) == DG_CHANNEL_HANDSHAKE;
        }
        if (socket != NULL) {
            dg_table_unlock(socket);
        }
        if (!unfinished || (poll(&ready, 1, SLICE) < 0 && errno != EINTR)) {
            return;
        }
    }
}

/* epmd's loop waits for no peer: it takes EAGAIN for a failure and closes. */
static void hang_up_on_slow(int fd, enum dg_attempt attempt)
{
    struct dg_socket *socket = attempt == DG_ATTEMPT_WAIT ? dg_table_lock(fd) : NULL;

    if (socket != NULL) {
        dg_audit_refused(socket, "peer does not read EPMD's answer", NULL);
        dg_table_unlock(socket);
        errno = EAGAIN;
    }
}

/* Whether a blocking send would go on. Asked before the descriptor's flags, which cost a system
 * call. */
static bool is_unfinished(const struct msghdr *message, enum dg_attempt attempt, ssize_t result)
{
    return result >= 0 ? (size_t)result < dg_vector_size(message->msg_iov, (int)message->msg_iovlen)
                       : attempt == DG_ATTEMPT_WAIT;
}

bool dg_hook_send(int fd, const struct msghdr *message, int flags, ssize_t *result)
{
    int saved = errno;
    int count = (int)message->msg_iovlen;
    uint64_t serial = 0;
    enum dg_attempt attempt;

    if (!send_flags_supported(fd, message, flags)) {
        *result = -1;
        return true;
    }
    do {
        attempt = send_once(fd, &serial, message->msg_iov, count, result);
    } while (attempt == DG_ATTEMPT_UNDECIDED && dg_is_blocking(fd, flags) && wait_to_send(fd));
    if (attempt == DG_ATTEMPT_PASS) {
        errno = saved;
        return false;
    }
    if (dg_core.program.kind == DG_PROGRAM_EPMD) {
        hang_up_on_slow(fd, attempt);
    } else if (is_unfinished(message, attempt, *result) && dg_is_blocking(fd, flags)) {
        send_rest(fd, serial, message->msg_iov, count, *result, result);
    }
    if (*result > 0 && dg_core.program.kind == DG_PROGRAM_C_NODE) {
        finish_handshake(fd);
    }
    if (*result < 0 && errno == EPIPE && (flags & MSG_NOSIGNAL) == 0) {
        (void)raise(SIGPIPE);
        errno = EPIPE;
    }
    if (*result >= 0) {
        errno = saved;
    }
    return true;
}

/* Copies from a file through the channel, a buffer at a time. */
static ssize_t copy_file(int fd, int from, off_t *at, size_t count)
{
    enum { BUFFER = 64 * 1024 };
    char *buffer = malloc(BUFFER);
    ssize_t total = 0;

    while (buffer != NULL && (size_t)total < count) {
        size_t want = count - (size_t)total < BUFFER ? count - (size_t)total : BUFFER;
        struct iovec vector = {.iov_base = buffer};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        ssize_t got = pread(from, buffer, want, *at);
        ssize_t sent = -1;

        if (got <= 0) {
            total = total > 0 || got == 0 ? total : -1;
            break;
        }
        vector.iov_len = (size_t)got;
        if (!dg_hook_send(fd, &message, 0, &sent) || sent < 0) {
            total = total > 0 ? total : -1;
            break;
        }
        *at += sent;
        total += sent;
        if (sent < got) {
            break;
        }
    }
    free(buffer);
    return buffer != NULL ? total : -1;
}

bool dg_hook_sendfile(int fd, int from, off_t *offset, size_t count, ssize_t *result)
{
    off_t at = offset != NULL ? *offset : lseek(from, 0, SEEK_CUR);

    if (!dg_is_guarded(fd)) {
        /* Nothing that opens a distribution connection comes from a file; what it does send is
         * looked at no more. */
        struct dg_socket *socket = dg_table_lock(fd);

        if (socket == NULL) {
            return false;
        }
        if (dg_is_confined(socket)) {
            dg_table_unlock(socket);
            (void)dg_attempt_failed(result, EPIPE);
            return true;
        }
        dg_table_unlock(socket);
        return false;
    }
    if (at < 0) {
        (void)dg_attempt_failed(result, EINVAL);
        return true;
    }
    *result = copy_file(fd, from, &at, count);
    if (*result >= 0 && offset != NULL) {
        *offset = at;
    } else if (*result >= 0) {
        (void)lseek(from, at, SEEK_SET);
    }
    return true;
}
