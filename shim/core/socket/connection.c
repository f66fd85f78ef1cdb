/* How sockets come and go: the hooks of socket, listen, connect, accept, close and dup. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/roles.h"
#include "shim/core/socket/table.h"

static bool is_node(void)
{
    return dg_core.program.kind == DG_PROGRAM_NODE;
}

static uint16_t local_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;

    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    return dg_address_port(&address);
}

/* A socket that cannot be watched cannot be guarded: it does not come to be. */
static int give_up(int fd, int error)
{
    dg_log(DG_LOG_ERROR, "refused", "reason",
           error == EMFILE
               ? "descriptor number beyond what can be guarded; lower the limit of open files"
               : "out of memory",
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
static const struct dg_bind_list *rules_for(uint16_t port)
{
    if (!is_node()) {
        return &dg_core.policy->epmd.bind;
    }
    return dg_is_announced_port(port) ? &dg_core.policy->distribution.bind : NULL;
}

static bool refuse_call(struct dg_socket *socket, int error, const struct dg_error *why,
                        int *result)
{
    dg_audit_refused(socket, why->text, NULL);
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
    const struct dg_bind_list *rules = rules_for(port);
    struct dg_error why = {""};
    struct dg_host asked;
    struct dg_host to;
    enum dg_bind_verdict verdict;

    if (socket == NULL) {
        return false;
    }
    if (rules == NULL || !dg_address_host(&wanted, &asked)) {
        dg_table_unlock(socket);
        return false;
    }
    socket->peer = wanted; /* what the log names */
    if (is_node() && !dg_may_listen(&why)) {
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

    (void)result;
    if (socket != NULL) {
        socket->role = DG_ROLE_LISTENER;
        socket->port = local_port(fd);
        socket->backlog = backlog;
        dg_table_unlock(socket);
    }
    return false;
}

bool dg_hook_connect(int fd, const struct sockaddr *address, socklen_t size, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    struct dg_error why = {""};
    int error = 0;

    if (socket == NULL) {
        return false;
    }
    /* A second connect asks how the first went, or tries another address; nothing was sent yet. */
    if (is_node() && (socket->role == DG_ROLE_NEW || socket->role == DG_ROLE_OUTGOING ||
                      socket->role == DG_ROLE_EPMD_ASKING)) {
        socket->peer = dg_address_from(address, size);
        socket->role = dg_address_port(&socket->peer) == dg_core.program.epmd_port
                           ? DG_ROLE_EPMD_ASKING
                           : DG_ROLE_OUTGOING;
        socket->expected = dg_is_learned_destination(&socket->peer);
        error = dg_isolate_connect(socket, fd, &why);
    }
    if (error != 0) {
        if (!dg_core.policy->distribution.enabled) {
            dg_log_tell(why.text); /* the release fails to start by this */
        }
        return refuse_call(socket, error, &why, result);
    }
    dg_table_unlock(socket);
    return false;
}

/* --- accept --- */

static void give_address(const struct sockaddr_storage *from, socklen_t from_size,
                         struct sockaddr *address, socklen_t *size)
{
    if (address != NULL && size != NULL) {
        memcpy(address, from, from_size < *size ? from_size : *size);
        *size = from_size;
    }
}

/* A connection the kernel has accepted and the program has not seen. */
struct arrival {
    int fd;
    struct sockaddr_storage peer; /* as the kernel told it, for the program */
    socklen_t peer_size;
    struct sockaddr_storage from; /* the same, for us */
    struct sockaddr_storage own;
};

/* Whether epmd's listener is one it made itself, and not systemd's. */
static bool is_own_listener(int fd)
{
    return fd >= 0 && fd < DG_TABLE_SIZE && atomic_load(&dg_table[fd]) != NULL;
}

static bool may_come_in(int listener, const struct arrival *arrival, struct dg_error *why)
{
    if (!is_node()) {
        return dg_epmd_may_accept(&arrival->from, &arrival->own, !is_own_listener(listener), why);
    }
    return !dg_is_distribution_port(dg_address_port(&arrival->own)) ||
           dg_may_accept(&arrival->from, why);
}

/* Puts a connection of a node in the table. False where it cannot be: it is closed then. */
static bool watch_arrival(const struct arrival *arrival)
{
    struct dg_socket *socket;

    if (!is_node()) {
        return true;
    }
    socket = dg_table_watch(arrival->fd, dg_is_distribution_port(dg_address_port(&arrival->own))
                                             ? DG_ROLE_DISTRIBUTION_INCOMING
                                             : DG_ROLE_INCOMING);
    if (socket == NULL) {
        (void)give_up(arrival->fd, errno);
        return false;
    }
    socket->incoming = true;
    socket->peer = arrival->from;
    dg_table_unlock(socket);
    return true;
}

/* Whether the arrival is for the program; else it is closed. */
static bool admit(int listener, struct arrival *arrival)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    struct dg_error why = {""};

    dg_table_evict(arrival->fd);
    if (!dg_address_is_internet(arrival->peer.ss_family)) {
        return true;
    }
    (void)getsockname(arrival->fd, (struct sockaddr *)&own, &size);
    arrival->own = dg_address_from((struct sockaddr *)&own, size);
    arrival->from = dg_address_from((struct sockaddr *)&arrival->peer, arrival->peer_size);
    if (!may_come_in(listener, arrival, &why)) {
        dg_audit_turned_away(&arrival->from, is_node() ? "distribution" : "epmd", why.text);
        dg_core.real.close(arrival->fd);
        return false;
    }
    return watch_arrival(arrival);
}

/* After one was turned away: whether the program's own accept would have gone on. A node with a
 * blocking listener waits for the next; epmd was told by select that there is one, and must not
 * wait now that it is gone. */
static bool tries_again(int listener, int turned_away)
{
    enum { PATIENCE = 64 }; /* the queue stays readable: the program comes back for the rest */
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int status = fcntl(listener, F_GETFL);

    if (is_node() && status >= 0 && (status & O_NONBLOCK) == 0) {
        return true;
    }
    return turned_away < PATIENCE && poll(&ready, 1, 0) == 1;
}

int dg_hook_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int saved = errno;
    int turned_away = 0;

    do {
        struct arrival arrival = {.peer_size = sizeof arrival.peer};

        arrival.fd =
            dg_core.real.accept4(fd, (struct sockaddr *)&arrival.peer, &arrival.peer_size, flags);
        if (arrival.fd < 0) {
            return -1;
        }
        if (admit(fd, &arrival)) {
            give_address(&arrival.peer, arrival.peer_size, address, size);
            errno = saved;
            return arrival.fd;
        }
    } while (tries_again(fd, ++turned_away));
    /* The VM's acceptor dies of any other error (otp inet_drv.c, tcp_inet_input). */
    errno = EAGAIN;
    return -1;
}

/* --- close and dup --- */

/* The program hangs up on a peer that never came to be one: what it was waiting for is told. */
static void audit_unfinished(const struct dg_socket *socket)
{
    if (socket->role == DG_ROLE_DISTRIBUTION_INCOMING) {
        dg_audit_refused(socket, "peer has said nothing until the program hung up", NULL);
    } else if (dg_channel_get_state(socket->channel) == DG_CHANNEL_HANDSHAKE) {
        dg_audit_refused(socket, "TLS handshake not finished when the program hung up", NULL);
    }
}

/* What is to be done before the last descriptor of a socket is closed. */
static void last_of(struct dg_socket *socket, int fd)
{
    switch (socket->role) {
    case DG_ROLE_GUARDED: {
        enum dg_channel_state before = dg_channel_get_state(socket->channel);

        audit_unfinished(socket);
        dg_channel_close(socket->channel, fd);
        dg_audit_channel(socket, before);
        break;
    }
    case DG_ROLE_DISTRIBUTION_INCOMING:
        audit_unfinished(socket);
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
