#include "shim/core/socket/roles.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/descriptors.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/local.h"
#include "shim/core/socket/naming.h"
#include "shim/core/wire/epmd.h"
#include "shim/core/wire/name_message.h"
#include "shim/core/wire/tls_record.h"

void dg_refuse(struct dg_socket *socket, int fd, const char *reason, const char *node)
{
    dg_audit_refused(socket, reason, node);
    dg_in_flight_leave(fd);
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

static const struct dg_policy *policy_of(const struct dg_socket *socket)
{
    return socket->rules->policy;
}

/* Whether connections that we make speak TLS. */
static bool speaks_tls(const struct dg_socket *socket)
{
    return policy_of(socket)->mode >= DG_MODE_PREFER;
}

/* Whether strangers who speak plaintext are taken. */
static bool takes_plaintext(const struct dg_socket *socket)
{
    return policy_of(socket)->mode < DG_MODE_REQUIRE;
}

static enum dg_decision guard(struct dg_socket *socket, int fd, enum dg_channel_side side)
{
    int on = 1;

    /* The handshake's small messages must not wait for the peer's delayed acknowledgements; OTP 25
     * copies the listener's setting, "off", to what it accepts. */
    (void)dg_core.real.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    socket->channel = dg_channel_new(socket->rules->credentials, side, &dg_core.transport,
                                     policy_of(socket)->tls.handshake_timeout);
    socket->joining = socket->epmd ? NULL : dg_joining_new(side == DG_CHANNEL_SERVER);
    if (socket->channel == NULL || (socket->joining == NULL && !socket->epmd)) {
        dg_refuse(socket, fd, "no memory for TLS", NULL);
        return DG_DECIDE_REFUSED;
    }
    socket->role = DG_ROLE_GUARDED;
    dg_end_at_exec(socket, fd);
    return DG_DECIDE_GUARDED;
}

bool dg_guard_incoming(struct dg_socket *socket, int fd)
{
    return guard(socket, fd, DG_CHANNEL_SERVER) == DG_DECIDE_GUARDED;
}

/* From here on it passes as it is; the log has it as soon as it is known whose it is. */
static enum dg_decision let_pass(struct dg_socket *socket, int fd, const char *rule)
{
    dg_in_flight_leave(fd);
    socket->plain_by = rule;
    socket->naming = dg_naming_new(socket->incoming);
    socket->role = socket->naming != NULL ? DG_ROLE_PLAIN_NAMING : DG_ROLE_PLAIN;
    if (socket->naming == NULL) {
        dg_audit_plaintext(socket);
    }
    return DG_DECIDE_PLAIN;
}

void dg_name_plaintext(struct dg_socket *socket, const struct iovec *vector, int count, size_t size)
{
    if (dg_naming_take(socket, vector, count, size)) {
        socket->role = DG_ROLE_PLAIN;
        dg_naming_tell(socket, true); /* what came and names nobody is no distribution */
        dg_naming_free(socket->naming);
        socket->naming = NULL;
    }
}

/* --- connections we make --- */

/* A node registers: its listener must be where the policy wants it before anyone is told of it. */
static enum dg_decision decide_registration(struct dg_socket *socket, int fd, uint16_t port)
{
    struct dg_error error = {""};

    if (dg_isolate_listener(policy_of(socket), port, &error) != 0) {
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

/* Another host's EPMD is asked in plaintext: said once for the connection. */
static void note_plaintext_epmd(struct dg_socket *socket)
{
    if (socket->plain_by == NULL) {
        socket->plain_by = dg_mode_name(policy_of(socket)->mode);
        dg_audit_plaintext(socket);
    }
}

static enum dg_decision decide_epmd_request(struct dg_socket *socket, int fd)
{
    struct sockaddr_storage own;
    uint16_t port;

    if (!dg_peer_is_local(socket, fd, &own)) {
        if (speaks_tls(socket)) {
            return ask_remote_epmd(socket, fd);
        }
        note_plaintext_epmd(socket);
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

static enum dg_decision begin_distribution(struct dg_socket *socket, int fd)
{
    return speaks_tls(socket) ? guard(socket, fd, DG_CHANNEL_CLIENT)
                              : let_pass(socket, fd, dg_mode_name(policy_of(socket)->mode));
}

/* A distribution handshake is about to leave, whole or (`split`) its beginning has left already. */
static enum dg_decision decide_name_message(struct dg_socket *socket, int fd, bool split,
                                            const struct dg_name_message *message)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_error error = {""};

    if (split && speaks_tls(socket)) {
        (void)dg_fail(&error, "distribution handshake written in pieces: its beginning has left in "
                              "plaintext");
    } else if (dg_may_connect(policy_of(socket), &socket->peer, &error) &&
               dg_is_source_right(policy_of(socket), fd, &socket->peer, &error)) {
        return begin_distribution(socket, fd);
    }
    dg_refuse(socket, fd, error.text, claimed(message, name));
    return DG_DECIDE_REFUSED;
}

/* Another library in the process (torsocks, proxychains) speaks to its proxy by the functions that
 * we stand before, ahead of what the program has to say: SOCKS 4 and 5 (RFC 1928), and HTTP. */
static bool begins_with_a_proxy(const struct dg_socket *socket)
{
    static const char http[] = "CONNECT ";
    const uint8_t *first = socket->first;
    size_t size = socket->first_size;

    return (size > 2 && first[0] == 5 && size == 2 + (size_t)first[1]) ||
           (size > 8 && first[0] == 4 && first[1] == 1) ||
           (size >= sizeof http - 1 && memcmp(first, http, sizeof http - 1) == 0);
}

/* What comes behind a proxy's handshake is looked at write by write. Nobody can tell whom it is
 * for, so that neither a node's name nor a question to EPMD leaves. */
static enum dg_decision decide_proxied(struct dg_socket *socket, int fd, bool is_name)
{
    static const char reason[] =
        "a proxy's handshake went before it: another library in LD_PRELOAD (torsocks, proxychains) "
        "leads this connection elsewhere, and distguard cannot tell to whom; leave it out, or "
        "exempt the cluster's addresses from it";
    bool is_question =
        dg_epmd_parse_remote_request(socket->first, socket->first_size) != DG_EPMD_REMOTE_OTHER;

    socket->proxied = true;
    if (speaks_tls(socket) && (is_name || (is_question && socket->first_size > 2))) {
        dg_refuse(socket, fd, reason, NULL);
        return DG_DECIDE_REFUSED;
    }
    socket->first_size = 0;
    return DG_DECIDE_WATCH;
}

static enum dg_decision decide_outgoing(struct dg_socket *socket, int fd, size_t seen_before)
{
    struct dg_name_message message;

    if (socket->first[0] == DG_TLS_FIRST_BYTE) {
        return DG_DECIDE_PASS; /* the VM's own TLS, of distribution or of anything else */
    }
    switch (dg_parse_name_message(socket->first, socket->first_size, &message)) {
    case DG_PARSE_DONE:
        if (socket->proxied && speaks_tls(socket)) {
            return decide_proxied(socket, fd, true);
        }
        return decide_name_message(socket, fd, seen_before > 0, &message);
    case DG_PARSE_MORE:
        return socket->expected ? begin_distribution(socket, fd) : DG_DECIDE_WATCH;
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
        return socket->proxied || begins_with_a_proxy(socket) ? decide_proxied(socket, fd, false)
                                                              : DG_DECIDE_PASS;
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

/* What is there, without taking or waiting. */
static ssize_t peek(int fd, uint8_t *bytes, size_t size)
{
    ssize_t seen;

    do {
        seen = dg_core.real.recv(fd, bytes, size, MSG_PEEK | MSG_DONTWAIT);
    } while (seen < 0 && errno == EINTR);
    return seen;
}

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

/* A plaintext distribution handshake comes to a listener that nobody named: that it is one is known
 * only now, so the address rules are asked now. */
static enum dg_decision judge_name_message(struct dg_socket *socket, int fd,
                                           const struct dg_name_message *message)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_error why = {"peer speaks plaintext distribution, our mode is require (a listener "
                           "that EPMD does not know: if it is distribution's, name its port in "
                           "distribution.ports)"};

    socket->incoming = true;
    if (takes_plaintext(socket) && dg_may_accept(policy_of(socket), &socket->peer, &why)) {
        return let_pass(socket, fd, dg_mode_name(policy_of(socket)->mode));
    }
    dg_refuse(socket, fd, why.text, claimed(message, name));
    return DG_DECIDE_REFUSED;
}

/* What a stream that begins with these bytes is, where no distribution is expected. */
static enum dg_decision judge_incoming(struct dg_socket *socket, int fd, const uint8_t *bytes,
                                       size_t size)
{
    struct dg_name_message message;

    switch (dg_parse_name_message(bytes, size, &message)) {
    case DG_PARSE_MORE:
        return DG_DECIDE_WATCH;
    case DG_PARSE_DONE:
        return judge_name_message(socket, fd, &message);
    case DG_PARSE_OTHER:
    default:
        return DG_DECIDE_PASS;
    }
}

/* The look has failed. The real call is made, and what it brings looked at, where it must fail as
 * well; any other error may be gone by then, as the kernel tells it once. */
static enum dg_decision without_bytes(void)
{
    switch (errno) {
    case EAGAIN:
        return DG_DECIDE_WAIT;
    case EBADF:
    case ENOTSOCK: /* the number was closed behind our back */
        return DG_DECIDE_WATCH;
    default:
        return DG_DECIDE_FAILED;
    }
}

enum dg_decision dg_decide_incoming(struct dg_socket *socket, int fd)
{
    uint8_t bytes[2 * DG_FIRST_BYTES];
    ssize_t size = peek(fd, bytes + socket->first_size, DG_FIRST_BYTES);

    if (size < 0) {
        return without_bytes();
    }
    if (size == 0) {
        return DG_DECIDE_PASS; /* the real call sees the same end */
    }
    memcpy(bytes, socket->first, socket->first_size);
    return judge_incoming(socket, fd, bytes, socket->first_size + (size_t)size);
}

enum dg_decision dg_decide_received(struct dg_socket *socket, int fd, const struct iovec *vector,
                                    int count, size_t size)
{
    struct iovec before = {.iov_base = socket->first, .iov_len = socket->first_size};
    enum dg_decision decision;

    remember(socket, vector, count, size);
    if (socket->role == DG_ROLE_EPMD_ASKED) {
        return decide_epmd_answer(socket);
    }
    decision = judge_incoming(socket, fd, socket->first, socket->first_size);
    if (socket->role == DG_ROLE_PLAIN_NAMING) {
        dg_name_plaintext(socket, &before, 1, before.iov_len);
    }
    if (socket->role == DG_ROLE_PLAIN_NAMING) {
        dg_name_plaintext(socket, vector, count, size);
    }
    return decision;
}

/* --- connections to our distribution listener --- */

/* The rule that lets this peer in without TLS, or NULL with the reason. What `local` keeps out of
 * require is no worse than a stranger, whom allow and prefer take. */
static const char *plaintext_rule(const struct dg_socket *socket, int fd, char *reason, size_t size)
{
    const struct dg_policy *policy = policy_of(socket);
    struct sockaddr_storage own;

    (void)snprintf(reason, size, "%s", DG_PLAINTEXT_REFUSED);
    if (dg_peer_is_local(socket, fd, &own) && dg_local_is_allowed(socket, &own, reason, size)) {
        return dg_local_name(policy->local);
    }
    return takes_plaintext(socket) ? dg_mode_name(policy->mode) : NULL;
}

static void refuse_plaintext(struct dg_socket *socket, int fd, const char *reason)
{
    char name[DG_FIRST_BYTES + 1];
    struct dg_name_message message;

    if (dg_parse_name_message(socket->first, socket->first_size, &message) == DG_PARSE_DONE) {
        dg_refuse(socket, fd, reason, claimed(&message, name));
    } else {
        dg_refuse(socket, fd, reason, NULL);
    }
}

/*
 * Plaintext on a distribution listener must be a distribution handshake. Its head may come in
 * pieces: what has come of it is taken from the kernel, so that a poller can sleep until there is
 * more, and kept for the program. The piece that completes it stays in the kernel: so the poller
 * finds the descriptor readable as long as there is something kept.
 */
static enum dg_decision decide_plaintext(struct dg_socket *socket, int fd, size_t fresh)
{
    struct dg_name_message message;
    char reason[160];
    const char *rule;

    switch (dg_parse_name_message(socket->first, socket->first_size, &message)) {
    case DG_PARSE_MORE:
        (void)dg_core.real.recv(fd, socket->first + socket->first_kept, fresh, MSG_DONTWAIT);
        socket->first_kept = socket->first_size;
        return DG_DECIDE_WAIT;
    case DG_PARSE_DONE:
        rule = plaintext_rule(socket, fd, reason, sizeof reason);
        if (rule != NULL) {
            return let_pass(socket, fd, rule);
        }
        refuse_plaintext(socket, fd, reason);
        return DG_DECIDE_REFUSED;
    case DG_PARSE_OTHER:
    default:
        dg_refuse(socket, fd, "peer speaks neither TLS nor a distribution handshake", NULL);
        return DG_DECIDE_REFUSED;
    }
}

/* TLS comes in: ours, or that of a VM that speaks it by itself, and judges by itself. */
static enum dg_decision begin_tls(struct dg_socket *socket, int fd)
{
    if (dg_core.program.native_tls) {
        dg_in_flight_leave(fd);
        return DG_DECIDE_PASS;
    }
    return guard(socket, fd, DG_CHANNEL_SERVER);
}

/* Nothing can be received by which to decide: an error that has gone by the time of the real call
 * would let plaintext pass. */
static enum dg_decision decide_unreadable(struct dg_socket *socket, int fd)
{
    int error = errno;
    enum dg_decision decision = without_bytes();
    char reason[128];

    if (decision != DG_DECIDE_FAILED) {
        return decision;
    }
    (void)snprintf(reason, sizeof reason, "nothing can be received from the peer: %s",
                   strerror(error));
    dg_refuse(socket, fd, reason, NULL);
    return DG_DECIDE_REFUSED;
}

enum dg_decision dg_decide_distribution(struct dg_socket *socket, int fd)
{
    size_t kept = socket->first_kept;
    ssize_t size;

    size = peek(fd, socket->first + kept, DG_FIRST_BYTES - kept);
    if (size < 0) {
        return decide_unreadable(socket, fd);
    }
    if (size == 0) {
        return DG_DECIDE_WATCH; /* the real call sees the end as well */
    }
    if (dg_in_flight_is_late(fd, policy_of(socket)->tls.handshake_timeout)) {
        dg_refuse(socket, fd, DG_HANDSHAKE_LATE, NULL);
        return DG_DECIDE_REFUSED;
    }
    if (socket->first[0] == DG_TLS_FIRST_BYTE) {
        return begin_tls(socket, fd);
    }
    socket->first_size = (uint8_t)(kept + (size_t)size);
    return decide_plaintext(socket, fd, (size_t)size);
}
