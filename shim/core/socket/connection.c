/* How sockets come and go: the hooks of socket, bind, listen, connect, close and dup. */
#include <errno.h>
#include <stdatomic.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/naming.h"
#include "shim/core/socket/show.h"
#include "shim/core/socket/table.h"

static bool is_node(void)
{
    return dg_core.program.kind != DG_PROGRAM_EPMD;
}

static bool own_address(int fd, struct sockaddr_storage *address)
{
    socklen_t size = sizeof *address;

    return getsockname(fd, (struct sockaddr *)address, &size) == 0;
}

/* A socket that cannot be watched cannot be guarded: it does not come to be. */
static int give_up(int fd, int error)
{
    dg_log(DG_LOG_ERROR, "refused", "reason", error == EMFILE ? DG_TABLE_FULL : "out of memory",
           NULL);
    dg_core.real.close(fd);
    errno = error;
    return -1;
}

int dg_hook_socket_opened(int fd, int domain, int type)
{
    enum { FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC };
    struct dg_socket *socket;

    dg_table_evict(fd);
    if (!dg_address_is_internet(domain) || (type & ~FLAGS) != SOCK_STREAM) {
        return fd;
    }
    socket = dg_table_watch(fd, DG_ROLE_NEW);
    if (socket == NULL) {
        return give_up(fd, errno);
    }
    dg_table_unlock(socket);
    return fd;
}

/* --- bind, listen, connect --- */

/* The rules for a listener at this port; NULL where it is none of ours, or not known yet to be. */
static const struct dg_bind_list *rules_for(const struct dg_policy *policy, uint16_t port)
{
    if (policy->mode == DG_MODE_OFF) {
        return NULL;
    }
    if (!is_node()) {
        return &policy->epmd.bind;
    }
    return dg_is_announced_port(policy, port) ? &policy->distribution.bind : NULL;
}

static bool refuse_call(struct dg_socket *socket, int error, const struct dg_error *why,
                        int *result)
{
    dg_audit_denied(socket, why->text);
    dg_table_unlock(socket);
    errno = error;
    *result = -1;
    return true;
}

/* epmd binds loopback by itself, and what ERL_EPMD_ADDRESS says; two listeners moved to one address
 * would make it exit without a word (epmd_srv.c: EADDRINUSE is exit status 0). */
static bool refuses_to_move(struct dg_error *why)
{
    if (is_node()) {
        return false;
    }
    (void)dg_fail(why,
                  "epmd is asked (by -address or ERL_EPMD_ADDRESS) to listen at every address, "
                  "which is not what the policy says; leave both out and distguard sets the "
                  "right ones");
    return true;
}

/* Binds to `to` in place of what was wanted. */
static int bind_moved(int fd, const struct sockaddr *wanted, const struct dg_host *to,
                      uint16_t port)
{
    struct sockaddr_storage moved;
    socklen_t size = dg_address_make(wanted->sa_family, to, port, &moved);

    return dg_core.real.bind(fd, (struct sockaddr *)&moved, size);
}

bool dg_hook_bind(int fd, const struct sockaddr *address, socklen_t size, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    struct sockaddr_storage wanted = dg_address_from(address, size);
    uint16_t port = dg_address_port(&wanted);
    const struct dg_bind_list *rules;
    struct dg_error why = {""};
    struct dg_host asked;
    struct dg_host to;
    enum dg_bind_verdict verdict;

    if (socket == NULL) {
        return false;
    }
    if (socket->role == DG_ROLE_NEW) {
        dg_rules_refresh(&socket->rules);
    }
    rules = rules_for(socket->rules->policy, port);
    if (rules == NULL || !dg_address_host(&wanted, &asked)) {
        dg_table_unlock(socket);
        return false;
    }
    socket->peer = wanted; /* what the log names */
    if (is_node() && !dg_may_listen(socket->rules->policy, &why)) {
        dg_log_tell(why.text);
        return refuse_call(socket, EACCES, &why, result);
    }
    verdict =
        dg_judge_bind(rules, &asked, address->sa_family == AF_INET6 && dg_is_v6only(fd), &to, &why);
    if (verdict == DG_BIND_REFUSE || (verdict == DG_BIND_MOVE && refuses_to_move(&why))) {
        dg_log_tell(why.text);
        return refuse_call(socket, EADDRNOTAVAIL, &why, result);
    }
    if (verdict == DG_BIND_MOVE) {
        *result = bind_moved(fd, address, &to, port);
    }
    dg_table_unlock(socket);
    return verdict == DG_BIND_MOVE;
}

bool dg_hook_listen(int fd, int backlog, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    struct sockaddr_storage own = {0};

    if (socket != NULL && !own_address(fd, &own)) {
        dg_table_unlock(socket); /* its port is what a node's listener is found by */
        *result = -1;
        return true;
    }
    if (socket != NULL) {
        socket->role = DG_ROLE_LISTENER;
        socket->port = dg_address_port(&own);
        socket->backlog = backlog;
        /* Any other becomes known for distribution's when the node registers it. */
        if (dg_address_is_internet(socket->peer.ss_family)) {
            dg_show_listener(socket, &socket->peer, &own);
        }
        dg_table_unlock(socket);
    }
    return false;
}

/* A second connect asks how the first went, or tries another address; nothing was sent yet. */
static bool may_begin(const struct dg_socket *socket)
{
    return is_node() && (socket->role == DG_ROLE_NEW || socket->role == DG_ROLE_OUTGOING ||
                         socket->role == DG_ROLE_EPMD_ASKING);
}

/* Returns 0, or an errno to refuse the connection with. */
static int begin(struct dg_socket *socket, int fd, const struct sockaddr *address, socklen_t size,
                 struct dg_error *why)
{
    socket->peer = dg_address_from(address, size);
    socket->role = dg_address_port(&socket->peer) == dg_core.program.epmd_port ? DG_ROLE_EPMD_ASKING
                                                                               : DG_ROLE_OUTGOING;
    socket->epmd = socket->role == DG_ROLE_EPMD_ASKING;
    socket->expected = dg_is_learned_destination(&socket->peer);
    return dg_isolate_connect(socket, fd, why);
}

bool dg_hook_connect(int fd, const struct sockaddr *address, socklen_t size, int *result)
{
    struct dg_socket *socket;
    struct dg_error why = {""};
    int error = 0;

    dg_rules_renew(); /* reads files: with no lock held */
    socket = dg_table_lock(fd);
    if (socket == NULL) {
        return false;
    }
    if (may_begin(socket)) {
        dg_rules_refresh(&socket->rules);
        if (socket->rules->policy->mode == DG_MODE_OFF) {
            dg_table_forget(fd, socket);
            return false;
        }
        error = begin(socket, fd, address, size, &why);
    }
    if (error != 0) {
        if (!socket->rules->policy->distribution.enabled) {
            dg_log_tell(why.text); /* the release fails to start by this */
        }
        return refuse_call(socket, error, &why, result);
    }
    dg_table_unlock(socket);
    return false;
}

/* --- close and dup --- */

/* An error that the program has seen already shows as an end. */
static bool peer_has_ended(int fd)
{
    char byte;
    ssize_t size = dg_core.real.recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return size == 0 || (size < 0 && errno != EAGAIN);
}

/* Of two connections that a node and its peer begin at the same time its VM gives up one, within
 * milliseconds: nobody is refused then. */
static bool is_given_up(const struct dg_socket *socket, int fd)
{
    enum { AT_ONCE = 1 }; /* second, the least net_setuptime */

    return !socket->incoming && dg_channel_age(socket->channel) < AT_ONCE && !peer_has_ended(fd);
}

/* The program hangs up on a peer that never came to be one: what it was waiting for is told. */
static void audit_unfinished(const struct dg_socket *socket)
{
    if (socket->role == DG_ROLE_DISTRIBUTION_INCOMING) {
        dg_audit_refused(socket,
                         socket->first_kept > 0
                             ? "peer has not finished its first message when the program hung up"
                             : "peer has said nothing until the program hung up",
                         NULL);
    } else if (dg_channel_get_state(socket->channel) == DG_CHANNEL_HANDSHAKE) {
        dg_audit_refused(socket, "TLS handshake not finished when the program hung up", NULL);
    } else if (!socket->admitted && dg_channel_get_state(socket->channel) == DG_CHANNEL_OPEN) {
        dg_audit_refused(socket, "peer has not named itself when the program hung up", NULL);
    }
}

/* What is to be done before the last descriptor of a socket is closed. */
static void last_of(struct dg_socket *socket, int fd)
{
    switch ((enum dg_role)socket->role) {
    case DG_ROLE_GUARDED: {
        enum dg_channel_state before = dg_channel_get_state(socket->channel);

        if (!is_given_up(socket, fd)) {
            audit_unfinished(socket);
        }
        dg_channel_close(socket->channel, fd);
        dg_audit_channel(socket, before);
        break;
    }
    case DG_ROLE_DISTRIBUTION_INCOMING:
        audit_unfinished(socket);
        break;
    case DG_ROLE_PLAIN_NAMING:
        dg_naming_tell(socket, peer_has_ended(fd));
        break;
    case DG_ROLE_EPMD_ASKED:
        if (socket->plain_by != NULL && socket->first_size == 0 && peer_has_ended(fd)) {
            dg_audit_refused(socket, DG_EPMD_UNANSWERED, NULL);
        }
        break;
    case DG_ROLE_LISTENER:
        dg_forget_listener(socket->port);
        break;
    default:
        break;
    }
}

void dg_hook_closing(int fd)
{
    struct dg_socket *socket = dg_table_is_ours() ? dg_table_lock(fd) : NULL;
    int saved = errno;

    if (socket == NULL) {
        return;
    }
    if (socket->incoming) {
        dg_in_flight_leave(fd);
    }
    if (socket->descriptors == 1) {
        last_of(socket, fd);
    }
    dg_table_forget(fd, socket);
    errno = saved;
}

void dg_hook_closing_range(unsigned first, unsigned last)
{
    unsigned end = (unsigned)dg_table_end();

    for (unsigned fd = first; fd < end && fd <= last; fd++) {
        if (atomic_load(&dg_table[fd]) != NULL) {
            dg_hook_closing((int)fd);
        }
    }
}

void dg_hook_duplicated(int fd, int copy)
{
    struct dg_socket *socket;
    bool shared;

    if (copy < 0 || copy == fd || !dg_table_is_ours()) {
        return;
    }
    dg_table_evict(copy);
    socket = dg_table_lock(fd);
    if (socket == NULL) {
        return;
    }
    shared = dg_table_share(socket, copy);
    dg_table_unlock(socket);
    if (!shared) {
        (void)give_up(copy, EMFILE);
    }
}
