/*
 * What passes through sockets: the hooks of every call that can carry bytes, brought down to two,
 * receive and send.
 *
 * A channel never waits; the waiting of blocking descriptors is done here, by the kernel's own
 * means and with no lock held, so that timeouts, signals and O_NONBLOCK mean what they always mean.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/roles.h"
#include "shim/core/socket/table.h"

/* What is to be done after one attempt at a call. */
enum attempt {
    ATTEMPT_PASS, /* the real call */
    ATTEMPT_DONE, /* *result is the answer */
    ATTEMPT_WAIT, /* again, when the descriptor is ready */
};

static enum attempt fail_with(ssize_t *result, int error)
{
    errno = error;
    *result = -1;
    return ATTEMPT_DONE;
}

static enum attempt from_channel(ssize_t value, ssize_t *result)
{
    *result = value;
    return value < 0 && errno == EAGAIN ? ATTEMPT_WAIT : ATTEMPT_DONE;
}

/* Where the kernel would say EFAULT, we must not fall. Other wrong addresses are not found out. */
static bool leads_nowhere(const struct iovec *vector, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (vector[i].iov_base == NULL && vector[i].iov_len > 0) {
            return true;
        }
    }
    return false;
}

/* Forgets a socket that is none of our business, and unlocks it. */
static void let_go(int fd, struct dg_socket *socket)
{
    dg_table_forget(fd, socket);
}

/* --- receive --- */

/* What epmd is given of a request that came whole before it saw the connection. */
static enum attempt receive_request(struct dg_socket *socket, const struct msghdr *message,
                                    bool peek, ssize_t *result)
{
    struct dg_request *request = socket->request;
    size_t given = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size_t left = request->size - request->taken - given;
        size_t part = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;

        if (part > 0) {
            memcpy(message->msg_iov[i].iov_base, request->bytes + request->taken + given, part);
            given += part;
        }
    }
    request->taken += peek ? 0 : given;
    if (request->taken == request->size) {
        free(request);
        socket->request = NULL;
    }
    *result = (ssize_t)given;
    return ATTEMPT_DONE;
}

static enum attempt receive_guarded(struct dg_socket *socket, int fd, struct msghdr *message,
                                    int flags, ssize_t *result)
{
    enum dg_channel_state before = dg_channel_get_state(socket->channel);
    enum attempt attempt;

    if ((flags & (MSG_OOB | MSG_TRUNC)) != 0) {
        dg_audit_unsupported(socket, "recv with MSG_OOB or MSG_TRUNC");
        return fail_with(result, EOPNOTSUPP);
    }
    if (leads_nowhere(message->msg_iov, message->msg_iovlen)) {
        return fail_with(result, EFAULT);
    }
    if (socket->request != NULL) {
        return receive_request(socket, message, (flags & MSG_PEEK) != 0, result);
    }
    attempt = from_channel(dg_channel_receive(socket->channel, fd, message->msg_iov,
                                              (int)message->msg_iovlen, (flags & MSG_PEEK) != 0),
                           result);
    dg_audit_channel(socket, before);
    if (*result > 0 && (flags & MSG_PEEK) == 0) {
        dg_learn_from_answer(socket, message->msg_iov, (int)message->msg_iovlen, (size_t)*result);
    }
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = 0;
    return attempt;
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
static enum attempt receive_watched(struct dg_socket *socket, int fd, struct msghdr *message,
                                    int flags, ssize_t *result)
{
    enum dg_decision decision;

    *result = dg_core.real.recvmsg(fd, message, flags | MSG_DONTWAIT);
    if (*result < 0 && errno == ENOTSOCK) {
        let_go(fd, socket); /* the number was closed behind our back and is a file now */
        return ATTEMPT_PASS;
    }
    if (*result <= 0 || (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC)) != 0) {
        bool would_block = *result < 0 && errno == EAGAIN && (flags & MSG_ERRQUEUE) == 0;

        dg_table_unlock(socket);
        return would_block ? ATTEMPT_WAIT : ATTEMPT_DONE;
    }
    decision =
        dg_decide_received(socket, fd, message->msg_iov, (int)message->msg_iovlen, (size_t)*result);
    if (decision == DG_DECIDE_PASS) {
        let_go(fd, socket);
        return ATTEMPT_DONE;
    }
    if (decision == DG_DECIDE_REFUSED) {
        wipe(message, (size_t)*result);
        (void)fail_with(result, ECONNRESET);
    }
    dg_table_unlock(socket);
    return ATTEMPT_DONE;
}

/* Looks at the first bytes of a connection to any other listener before the program does. Unlocks
 * the socket. */
static enum attempt receive_incoming(struct dg_socket *socket, int fd, struct msghdr *message,
                                     int flags, ssize_t *result)
{
    switch (dg_decide_incoming(socket, fd)) {
    case DG_DECIDE_PASS:
        let_go(fd, socket);
        return ATTEMPT_PASS;
    case DG_DECIDE_WAIT:
        dg_table_unlock(socket);
        (void)fail_with(result, EAGAIN);
        return ATTEMPT_WAIT;
    case DG_DECIDE_WATCH:
        return receive_watched(socket, fd, message, flags, result);
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return fail_with(result, ECONNRESET);
    }
}

/* Decides what a connection to our distribution listener is. Unlocks the socket where there is
 * nothing more to do. */
static enum attempt decide_distribution(struct dg_socket *socket, int fd, ssize_t *result,
                                        bool *decided)
{
    *decided = true;
    switch (dg_decide_distribution(socket, fd)) {
    case DG_DECIDE_GUARDED:
        *decided = false;
        return ATTEMPT_WAIT;
    case DG_DECIDE_WAIT:
        dg_table_unlock(socket);
        (void)fail_with(result, EAGAIN);
        return ATTEMPT_WAIT;
    case DG_DECIDE_PASS:
        let_go(fd, socket);
        return ATTEMPT_PASS;
    case DG_DECIDE_WATCH:
        dg_table_unlock(socket);
        return ATTEMPT_PASS;
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return fail_with(result, ECONNRESET);
    }
}

static enum attempt receive_once(int fd, struct msghdr *message, int flags, ssize_t *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    enum attempt attempt;
    bool decided;

    if (socket == NULL) {
        return ATTEMPT_PASS;
    }
    switch (socket->role) {
    case DG_ROLE_INCOMING:
        return receive_incoming(socket, fd, message, flags, result);
    case DG_ROLE_EPMD_ASKED:
        return receive_watched(socket, fd, message, flags, result);
    case DG_ROLE_DISTRIBUTION_INCOMING:
        attempt = decide_distribution(socket, fd, result, &decided);
        if (decided) {
            return attempt;
        }
        attempt = receive_guarded(socket, fd, message, flags, result);
        break;
    case DG_ROLE_GUARDED:
        attempt = receive_guarded(socket, fd, message, flags, result);
        break;
    case DG_ROLE_REFUSED:
    case DG_ROLE_FOREIGN:
    case DG_ROLE_EPMD_INCOMING:
        attempt = fail_with(result, ECONNRESET);
        break;
    case DG_ROLE_NEW:
    case DG_ROLE_LISTENER:
    case DG_ROLE_EPMD_ASKING:
    case DG_ROLE_OUTGOING:
    case DG_ROLE_PLAIN:
    default:
        attempt = ATTEMPT_PASS;
        break;
    }
    dg_table_unlock(socket);
    return attempt;
}

/* Waits as the caller's own recv would have: O_NONBLOCK, SO_RCVTIMEO and signals count as they do
 * there. */
static bool wait_readable(int fd, int flags)
{
    char byte;

    return dg_core.real.recv(fd, &byte, 1, MSG_PEEK | (flags & MSG_DONTWAIT)) >= 0;
}

/* Receives until there is something; false where the real call is to be made. */
static bool receive_some(int fd, struct msghdr *message, int flags, ssize_t *result)
{
    for (;;) {
        switch (receive_once(fd, message, flags, result)) {
        case ATTEMPT_PASS:
            return false;
        case ATTEMPT_DONE:
            return true;
        case ATTEMPT_WAIT:
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
    ssize_t got = 0;

    if (message->msg_iovlen != 1) {
        (void)fail_with(result, EOPNOTSUPP);
        return true;
    }
    while ((size_t)got < vector->iov_len) {
        struct iovec rest = {(char *)vector->iov_base + got, vector->iov_len - (size_t)got};
        struct msghdr part = {.msg_iov = &rest, .msg_iovlen = 1};

        if (!receive_some(fd, &part, flags & ~MSG_WAITALL, result)) {
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

static bool is_guarded(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool guarded = socket != NULL && socket->role == DG_ROLE_GUARDED;

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return guarded;
}

bool dg_hook_receive(int fd, struct msghdr *message, int flags, ssize_t *result)
{
    int saved = errno;
    bool done;

    /* epmd's descriptors block, and its loop must not: the kernel's word that there is something to
     * read is not yet a record. */
    if (dg_core.program.kind == DG_PROGRAM_EPMD && is_guarded(fd)) {
        flags |= MSG_DONTWAIT;
    }
    if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC)) == MSG_WAITALL &&
        (message->msg_iovlen == 1 || is_guarded(fd))) {
        done = receive_all(fd, message, flags, result);
    } else {
        done = receive_some(fd, message, flags, result);
    }
    if (!done || *result >= 0) {
        errno = saved;
    }
    return done;
}

/* --- send --- */

static enum attempt send_guarded(struct dg_socket *socket, int fd, const struct iovec *vector,
                                 int count, ssize_t *result)
{
    enum dg_channel_state before = dg_channel_get_state(socket->channel);
    enum attempt attempt;

    if (leads_nowhere(vector, (size_t)count)) {
        return fail_with(result, EFAULT);
    }
    attempt = from_channel(dg_channel_send(socket->channel, fd, vector, count), result);
    dg_audit_channel(socket, before);
    return attempt;
}

/* Looks at the first bytes of a connection before they leave. Unlocks the socket unless it became
 * guarded. */
static enum attempt decide_sending(struct dg_socket *socket, int fd, const struct iovec *vector,
                                   int count, ssize_t *result, bool *decided)
{
    *decided = true;
    if (leads_nowhere(vector, (size_t)count)) {
        dg_table_unlock(socket);
        return fail_with(result, EFAULT);
    }
    switch (dg_decide_sending(socket, fd, vector, count)) {
    case DG_DECIDE_GUARDED:
        *decided = false;
        return ATTEMPT_WAIT;
    case DG_DECIDE_PASS:
        let_go(fd, socket);
        return ATTEMPT_PASS;
    case DG_DECIDE_WATCH:
    case DG_DECIDE_WAIT:
        dg_table_unlock(socket);
        return ATTEMPT_PASS;
    case DG_DECIDE_REFUSED:
    default:
        dg_table_unlock(socket);
        return fail_with(result, EPIPE);
    }
}

static enum attempt send_once(int fd, const struct iovec *vector, int count, ssize_t *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    enum attempt attempt;
    bool decided;

    if (socket == NULL) {
        return ATTEMPT_PASS;
    }
    switch (socket->role) {
    case DG_ROLE_EPMD_ASKING:
    case DG_ROLE_OUTGOING:
        attempt = decide_sending(socket, fd, vector, count, result, &decided);
        if (decided) {
            return attempt;
        }
        attempt = send_guarded(socket, fd, vector, count, result);
        break;
    case DG_ROLE_DISTRIBUTION_INCOMING:
        /* Who is connected to speaks second; nothing to be sent before it is known what the peer
         * speaks. */
        attempt = decide_distribution(socket, fd, result, &decided);
        if (decided) {
            return attempt;
        }
        attempt = send_guarded(socket, fd, vector, count, result);
        break;
    case DG_ROLE_GUARDED:
        attempt = send_guarded(socket, fd, vector, count, result);
        break;
    case DG_ROLE_INCOMING: /* who speaks first here is no distribution listener */
        let_go(fd, socket);
        return ATTEMPT_PASS;
    case DG_ROLE_REFUSED:
    case DG_ROLE_FOREIGN:
    case DG_ROLE_EPMD_INCOMING:
        attempt = fail_with(result, EPIPE);
        break;
    case DG_ROLE_NEW:
    case DG_ROLE_LISTENER:
    case DG_ROLE_EPMD_ASKED:
    case DG_ROLE_PLAIN:
    default:
        attempt = ATTEMPT_PASS;
        break;
    }
    dg_table_unlock(socket);
    return attempt;
}

static bool is_blocking(int fd, int flags)
{
    int status;

    if ((flags & MSG_DONTWAIT) != 0) {
        return false;
    }
    status = fcntl(fd, F_GETFL);
    return status >= 0 && (status & O_NONBLOCK) == 0;
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
static void send_rest(int fd, const struct iovec *vector, int count, ssize_t taken, ssize_t *result)
{
    size_t skip = taken > 0 ? (size_t)taken : 0;

    *result = (ssize_t)skip;
    for (int i = 0; i < count; i++) {
        size_t at = skip < vector[i].iov_len ? skip : vector[i].iov_len;

        skip -= at;
        while (at < vector[i].iov_len) {
            struct iovec rest = {(char *)vector[i].iov_base + at, vector[i].iov_len - at};
            ssize_t sent;
            enum attempt attempt = send_once(fd, &rest, 1, &sent);

            if (attempt == ATTEMPT_PASS) { /* plaintext was let in, or another thread has closed */
                sent = dg_core.real.send(fd, rest.iov_base, rest.iov_len, MSG_NOSIGNAL);
                attempt = ATTEMPT_DONE;
            }
            if (attempt == ATTEMPT_WAIT && wait_to_send(fd)) {
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
    if ((flags & (MSG_OOB | MSG_ZEROCOPY | MSG_FASTOPEN)) == 0 && message->msg_controllen == 0) {
        return true;
    }
    return !dg_hook_unsupported(fd,
                                "send with MSG_OOB, MSG_ZEROCOPY, MSG_FASTOPEN or control data");
}

static size_t message_size(const struct msghdr *message)
{
    size_t size = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size += message->msg_iov[i].iov_len;
    }
    return size;
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

bool dg_hook_send(int fd, const struct msghdr *message, int flags, ssize_t *result)
{
    int saved = errno;
    int count = (int)message->msg_iovlen;
    enum attempt attempt;

    if (!send_flags_supported(fd, message, flags)) {
        *result = -1;
        return true;
    }
    attempt = send_once(fd, message->msg_iov, count, result);
    if (attempt == ATTEMPT_PASS) {
        errno = saved;
        return false;
    }
    if ((*result >= 0 ? (size_t)*result < message_size(message) : errno == EAGAIN) &&
        is_blocking(fd, flags)) {
        send_rest(fd, message->msg_iov, count, *result, result);
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

/* --- the rest --- */

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

    if (!is_guarded(fd)) {
        /* Nothing that opens a distribution connection comes from a file; what it does send is
         * looked at no more. */
        struct dg_socket *socket = dg_table_lock(fd);

        if (socket == NULL) {
            return false;
        }
        if (socket->role == DG_ROLE_REFUSED || socket->role == DG_ROLE_FOREIGN ||
            socket->role == DG_ROLE_DISTRIBUTION_INCOMING || socket->expected) {
            dg_table_unlock(socket);
            (void)fail_with(result, EPIPE);
            return true;
        }
        dg_table_unlock(socket);
        return false;
    }
    if (at < 0) {
        (void)fail_with(result, EINVAL);
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

bool dg_hook_readable(int fd, int *bytes, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool guarded = socket != NULL && socket->role == DG_ROLE_GUARDED;
    int saved = errno;

    if (guarded) {
        enum dg_channel_state before = dg_channel_get_state(socket->channel);
        ssize_t size = dg_channel_readable(socket->channel, fd);

        dg_audit_channel(socket, before);
        *bytes = size > 0 ? (int)size : 0;
        *result = 0;
        errno = saved;
    }
    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return guarded;
}

bool dg_hook_shutdown(int fd, int how, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    int saved = errno;

    (void)result;
    if (socket != NULL) {
        if (socket->role == DG_ROLE_GUARDED && how != SHUT_RD) {
            enum dg_channel_state before = dg_channel_get_state(socket->channel);

            dg_channel_end_sending(socket->channel, fd);
            dg_audit_channel(socket, before);
        }
        dg_table_unlock(socket);
    }
    errno = saved;
    return false;
}

/* SO_RCVLOWAT would let the poller sleep on bytes we wait for; the others would have the kernel
 * send what passes by TLS. */
bool dg_hook_set_option(int fd, int level, int name, int *result)
{
    bool breaks = (level == SOL_SOCKET && (name == SO_RCVLOWAT || name == SO_ZEROCOPY)) ||
                  (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_REPAIR));

    if (!breaks || !dg_hook_unsupported(fd, "setsockopt of SO_RCVLOWAT, SO_ZEROCOPY, TCP_ULP or "
                                            "TCP_REPAIR")) {
        return false;
    }
    *result = -1;
    return true;
}

bool dg_hook_unsupported(int fd, const char *call)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool refused = false;

    if (socket == NULL) {
        return false;
    }
    refused = socket->role == DG_ROLE_GUARDED || socket->role == DG_ROLE_DISTRIBUTION_INCOMING ||
              socket->role == DG_ROLE_FOREIGN || socket->expected;
    if (refused) {
        dg_audit_unsupported(socket, call);
        errno = EOPNOTSUPP;
    }
    dg_table_unlock(socket);
    return refused;
}
