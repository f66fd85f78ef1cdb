/* How sockets come and go: the hooks of socket, listen, connect, accept, close and dup. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
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
    if (!is_node() || !dg_address_is_internet(domain) || (type & ~FLAGS) != SOCK_STREAM) {
        return fd;
    }
    socket = dg_table_watch(fd, DG_ROLE_NEW);
    if (socket == NULL) {
        return give_up(fd, errno);
    }
    dg_table_unlock(socket);
    return fd;
}

bool dg_hook_bind(int fd, const struct sockaddr *address, socklen_t size, int *result)
{
    (void)fd;
    (void)address;
    (void)size;
    (void)result;
    return false;
}

bool dg_hook_listen(int fd, int backlog, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);

    (void)backlog;
    (void)result;
    if (socket != NULL) {
        socket->role = DG_ROLE_LISTENER;
        socket->port = local_port(fd);
        dg_table_unlock(socket);
    }
    return false;
}

bool dg_hook_connect(int fd, const struct sockaddr *address, socklen_t size, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);

    (void)result;
    if (socket == NULL) {
        return false;
    }
    /* A second connect asks how the first went, or tries another address; nothing was sent yet. */
    if (socket->role == DG_ROLE_NEW || socket->role == DG_ROLE_OUTGOING ||
        socket->role == DG_ROLE_EPMD_ASKING) {
        socket->peer = dg_address_from(address, size);
        socket->role = dg_address_port(&socket->peer) == dg_core.program.epmd_port
                           ? DG_ROLE_EPMD_ASKING
                           : DG_ROLE_OUTGOING;
        socket->expected = dg_is_learned_destination(&socket->peer);
    }
    dg_table_unlock(socket);
    return false;
}

/* --- accept
 * -----------------------------------------------------------------------------------------------------
 */

static void give_address(const struct sockaddr_storage *from, socklen_t from_size,
                         struct sockaddr *address, socklen_t *size)
{
    if (address != NULL && size != NULL) {
        memcpy(address, from, from_size < *size ? from_size : *size);
        *size = from_size;
    }
}

int dg_hook_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    struct sockaddr_storage peer = {0};
    socklen_t peer_size = sizeof peer;
    struct dg_socket *socket;
    int accepted;

    if (!is_node()) {
        return dg_core.real.accept4(fd, address, size, flags);
    }
    accepted = dg_core.real.accept4(fd, (struct sockaddr *)&peer, &peer_size, flags);
    if (accepted < 0) {
        return -1;
    }
    give_address(&peer, peer_size, address, size);
    dg_table_evict(accepted);
    if (!dg_address_is_internet(peer.ss_family)) {
        return accepted;
    }
    socket = dg_table_watch(accepted, dg_is_distribution_port(local_port(accepted))
                                          ? DG_ROLE_DISTRIBUTION_INCOMING
                                          : DG_ROLE_INCOMING);
    if (socket == NULL) {
        /* The VM's acceptor dies of any other error (otp inet_drv.c, tcp_inet_input). */
        (void)give_up(accepted, errno);
        errno = EAGAIN;
        return -1;
    }
    socket->incoming = true;
    socket->peer = dg_address_from((struct sockaddr *)&peer, peer_size);
    dg_table_unlock(socket);
    return accepted;
}

/* --- close and dup
 * ---------------------------------------------------------------------------------------------- */

void dg_hook_closing(int fd)
{
    struct dg_socket *socket = dg_table_is_ours() ? dg_table_lock(fd) : NULL;
    int saved = errno;

    if (socket == NULL) {
        return;
    }
    if (socket->descriptors == 1) {
        if (socket->role == DG_ROLE_GUARDED) {
            enum dg_channel_state before = dg_channel_get_state(socket->channel);

            dg_channel_close(socket->channel, fd);
            dg_audit_channel(socket, before);
        } else if (socket->role == DG_ROLE_LISTENER) {
            dg_forget_listener(socket->port);
        }
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
