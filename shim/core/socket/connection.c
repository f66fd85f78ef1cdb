/* How sockets come to be: the hooks of socket, bind, listen and connect. */
#include <errno.h>
#include <stdatomic.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
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
    dg_core.real.close(fd); /* first: it may be the very descriptor that the log lacks */
    dg_audit_unwatched(error);
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
