#include "shim/core/socket/roles.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/owner.h"
#include "shim/core/wire/epmd.h"
#include "shim/core/wire/name_message.h"
#include "shim/core/wire/tls_record.h"

void dg_refuse(struct dg_socket *socket, int fd, const char *reason, const char *node)
{
    dg_audit_refused(socket, reason, node);
    socket->role = DG_ROLE_REFUSED;
    (void)dg_core.real.shutdown(fd, SHUT_RDWR);
}

/* Adds the vector's first `size` bytes to the beginning of the stream, as far as it is kept. */
static void remember(struct dg_socket *socket, const struct iovec *vector, int count, size_t size)
{
    for (int i = 0; i < count && size > 0 && socket->first_size < DG_FIRST_BYTES; i++) {
        size_t part = vector[i].iov_len < size ? vector[i].iov_len : size;
        size_t room = (size_t)(DG_FIRST_BYTES - socket->first_size);

        size -= part;
        part = part < room ? part : room;
        if (part > 0) {
            memcpy(socket->first + socket->first_size, vector[i].iov_base, part);
            socket->first_size = (uint8_t)(socket->first_size + part);
        }
    }
}

/* The claimed name, as much of it as came, for the log. */
static const char *claimed(const struct dg_name_message *message, char text[DG_FIRST_BYTES + 1])
{
    size_t size = message->name_size < DG_FIRST_BYTES ? message->name_size : DG_FIRST_BYTES;

    memcpy(text, message->name, size);
    text[size] = '\0';
    return text;
}

static enum dg_decision guard(struct dg_socket *socket, int fd, enum dg_channel_side side)
{
    int on = 1;

    /* The handshake's small messages must not wait for the peer's delayed acknowledgements; OTP 25
     * copies the listener's setting, "off", to what it accepts. */
    (void)dg_core.real.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    socket->channel = dg_channel_new(dg_core.credentials, side, &dg_core.transport,
                                     dg_core.policy->tls.handshake_timeout);
    if (socket->channel == NULL) {
        dg_refuse(socket, fd, "no memory for TLS", NULL);
        return DG_DECIDE_REFUSED;
    }
    socket->role = DG_ROLE_GUARDED;
    return DG_DECIDE_GUARDED;
}

bool dg_guard_incoming(struct dg_socket *socket, int fd)
{
    return guard(socket, fd, DG_CHANNEL_SERVER) == DG_DECIDE_GUARDED;
}

static bool own_address(int fd, struct sockaddr_storage *own)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return false;
    }
    *own = dg_address_from((struct sockaddr *)&address, size);
    return true;
}

static bool peer_is_local(const struct dg_socket *socket, int fd, struct sockaddr_storage *own)
{
    return own_address(fd, own) && dg_address_is_local(&socket->peer, own);
}

/* --- connections we make --- */

/* A node registers: its listener must be where the policy wants it before anyone is told of it. */
static enum dg_decision decide_registration(struct dg_socket *socket, int fd, uint16_t port)
{
    struct dg_error error = {""};

    if (dg_isolate_listener(port, &error) != 0) {
        dg_log_tell(error.text);
        dg_refuse(socket, fd, error.text, NULL);
        return DG_DECIDE_REFUSED;
    }
    dg_learn_listener(port);
    return DG_DECIDE_PASS;
}

/* What another host's EPMD is asked is nobody else's business, and nobody else may answer. */
static enum dg_decision ask_remote_epmd(struct dg_socket *socket, int fd)
{
    socket->first_size = 0; /* from here on, of the answer */
    return guard(socket, fd, DG_CHANNEL_CLIENT);
}

static enum dg_decision decide_epmd_request(struct dg_socket *socket, int fd)
{
    struct sockaddr_storage own;
    uint16_t port;

    if (!peer_is_local(socket, fd, &own)) {
        return ask_remote_epmd(socket, fd);
    }

    switch (dg_epmd_request(socket->first, socket->first_size)) {
    case 0:
        return DG_DECIDE_WATCH;
    case DG_EPMD_ALIVE2_REQ:
        switch (dg_epmd_parse_alive2_req(socket->first, socket->first_size, &port)) {
        case DG_PARSE_MORE:
            return DG_DECIDE_WATCH;
        case DG_PARSE_DONE:
            return decide_registration(socket, fd, port);
        case DG_PARSE_OTHER:
        default:
            return DG_DECIDE_PASS;
        }
    case DG_EPMD_PORT_PLEASE2_REQ:
        socket->role = DG_ROLE_EPMD_ASKED;
        socket->first_size = 0;
        return DG_DECIDE_WATCH;
    default:
        return DG_DECIDE_PASS;
    }
}

/* A distribution handshake is about to leave, whole or (`split`) its beginning has left already. */
static enum dg_decision decide_name_message(struct dg_socket *socket, int fd, bool split,
                                            const struct dg_name_message *message)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_error error = {""};

    if (split) {
        (void)dg_fail(&error, "distribution handshake written in pieces: its beginning has left in "
                              "plaintext");
    } else if (dg_may_connect(&socket->peer, &error) &&
               dg_is_source_right(fd, &socket->peer, &error)) {
        return guard(socket, fd, DG_CHANNEL_CLIENT);
    }
    dg_refuse(socket, fd, error.text, claimed(message, name));
    return DG_DECIDE_REFUSED;
}

static enum dg_decision decide_outgoing(struct dg_socket *socket, int fd, size_t seen_before)
{
    struct dg_name_message message;

    if (socket->first[0] == DG_TLS_FIRST_BYTE) {
        return DG_DECIDE_PASS; /* the VM's own TLS, of distribution or of anything else */
    }
    switch (dg_parse_name_message(socket->first, socket->first_size, &message)) {
    case DG_PARSE_DONE:
        return decide_name_message(socket, fd, seen_before > 0, &message);
    case DG_PARSE_MORE:
        return socket->expected ? guard(socket, fd, DG_CHANNEL_CLIENT) : DG_DECIDE_WATCH;
    case DG_PARSE_OTHER:
    default:
        if (socket->expected) {
            dg_refuse(
                socket, fd,
                "EPMD named this destination as a node's, but what is sent is no distribution "
                "handshake we know",
                NULL);
            return DG_DECIDE_REFUSED;
        }
        return DG_DECIDE_PASS;
    }
}

enum dg_decision dg_decide_sending(struct dg_socket *socket, int fd, const struct iovec *vector,
                                   int count)
{
    size_t seen_before = socket->first_size;

    remember(socket, vector, count, SIZE_MAX);
    if (socket->first_size == 0) {
        return DG_DECIDE_WATCH; /* nothing is sent */
    }
    return socket->role == DG_ROLE_EPMD_ASKING ? decide_epmd_request(socket, fd)
                                               : decide_outgoing(socket, fd, seen_before);
}

/* --- what is received where distribution is not expected --- */

static enum dg_decision decide_epmd_answer(struct dg_socket *socket)
{
    struct sockaddr_storage node = socket->peer;
    uint16_t port;

    switch (dg_epmd_parse_port2_resp(socket->first, socket->first_size, &port)) {
    case DG_PARSE_MORE:
        return DG_DECIDE_WATCH;
    case DG_PARSE_DONE:
        dg_address_set_port(&node, port);
        dg_learn_destination(&node);
        return DG_DECIDE_PASS;
    case DG_PARSE_OTHER:
    default:
        return DG_DECIDE_PASS;
    }
}

void dg_learn_from_answer(struct dg_socket *socket, const struct iovec *vector, int count,
                          size_t size)
{
    if (socket->epmd && socket->first_size < 4) { /* as much as tells the port */
        remember(socket, vector, count, size);
        (void)decide_epmd_answer(socket);
    }
}

/* What a stream that begins with these bytes is, where no distribution is expected. */
static enum dg_decision judge_incoming(struct dg_socket *socket, int fd, const uint8_t *bytes,
                                       size_t size)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_name_message message;

    switch (dg_parse_name_message(bytes, size, &message)) {
    case DG_PARSE_MORE:
        return DG_DECIDE_WATCH;
    case DG_PARSE_DONE:
        dg_refuse(
            socket, fd,
            "peer speaks plaintext distribution, our mode is require (a listener that EPMD does "
            "not know: if it is distribution's, name its port in distribution.ports)",
            claimed(&message, name));
        return DG_DECIDE_REFUSED;
    case DG_PARSE_OTHER:
    default:
        return DG_DECIDE_PASS;
    }
}

enum dg_decision dg_decide_incoming(struct dg_socket *socket, int fd)
{
    uint8_t bytes[2 * DG_FIRST_BYTES];
    ssize_t size =
        dg_core.real.recv(fd, bytes + socket->first_size, DG_FIRST_BYTES, MSG_PEEK | MSG_DONTWAIT);

    if (size < 0 && errno == EAGAIN) {
        return DG_DECIDE_WAIT;
    }
    if (size <= 0) {
        return DG_DECIDE_PASS; /* the real call sees the same end; or it is no socket any more */
    }
    memcpy(bytes, socket->first, socket->first_size);
    return judge_incoming(socket, fd, bytes, socket->first_size + (size_t)size);
}

enum dg_decision dg_decide_received(struct dg_socket *socket, int fd, const struct iovec *vector,
                                    int count, size_t size)
{
    remember(socket, vector, count, size);
    return socket->role == DG_ROLE_EPMD_ASKED
               ? decide_epmd_answer(socket)
               : judge_incoming(socket, fd, socket->first, socket->first_size);
}

/* --- connections to our distribution listener --- */

/* Whether the policy lets this peer in without TLS; `reason` says why not. */
static bool plaintext_allowed(const struct dg_socket *socket, int fd, char *reason, size_t size)
{
    struct sockaddr_storage own;
    uid_t user;

    if (!peer_is_local(socket, fd, &own)) {
        (void)snprintf(reason, size, "peer speaks plaintext, our mode is require");
        return false;
    }
    if (dg_core.policy->local == DG_LOCAL_ALLOW) {
        return true;
    }
    if (dg_core.policy->local == DG_LOCAL_DENY) {
        (void)snprintf(reason, size, "peer of this host speaks plaintext, and local is deny");
        return false;
    }
    if (dg_socket_owner(&dg_core.real, &socket->peer, &own, &user) != 0) {
        (void)snprintf(
            reason, size,
            "peer of this host speaks plaintext, and the kernel does not say whose it is (%s)",
            strerror(errno));
        return false;
    }
    if (user != 0 && user != geteuid()) {
        (void)snprintf(reason, size,
                       "peer of this host speaks plaintext as user %u, and local is same-user",
                       (unsigned)user);
        return false;
    }
    return true;
}

static void refuse_plaintext(struct dg_socket *socket, int fd, const char *reason)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_name_message message;
    ssize_t size = dg_core.real.recv(fd, socket->first, DG_FIRST_BYTES, MSG_PEEK | MSG_DONTWAIT);

    if (size > 0 && dg_parse_name_message(socket->first, (size_t)size, &message) == DG_PARSE_DONE) {
        dg_refuse(socket, fd, reason, claimed(&message, name));
    } else {
        dg_refuse(socket, fd, reason, NULL);
    }
}

enum dg_decision dg_decide_distribution(struct dg_socket *socket, int fd)
{
    char reason[160];
    uint8_t byte;
    ssize_t size = dg_core.real.recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (size < 0) {
        return errno == EAGAIN ? DG_DECIDE_WAIT : DG_DECIDE_WATCH;
    }
    if (size == 0) {
        return DG_DECIDE_WATCH; /* the real call sees the end as well */
    }
    if (byte == DG_TLS_FIRST_BYTE) {
        return guard(socket, fd, DG_CHANNEL_SERVER);
    }
    if (plaintext_allowed(socket, fd, reason, sizeof reason)) {
        dg_audit_plaintext(socket, dg_local_name(dg_core.policy->local));
        return DG_DECIDE_PASS;
    }
    refuse_plaintext(socket, fd, reason);
    return DG_DECIDE_REFUSED;
}
