/* accept(2) for nodes: who may not come in is closed and never seen by the program, which goes on
 * accepting. For epmd see epmd_select.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "shim/core/core.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/arrival.h"
#include "shim/core/socket/epmd_queue.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/table.h"

/* Puts a connection in the table. False where it cannot be: it is closed then. */
static bool watch(const struct dg_arrival *arrival, bool distribution)
{
    struct dg_socket *socket = dg_table_watch(
        arrival->fd, distribution ? DG_ROLE_DISTRIBUTION_INCOMING : DG_ROLE_INCOMING);

    if (socket == NULL) {
        dg_arrival_turn_away(arrival, "distribution",
                             errno == EMFILE ? DG_TABLE_FULL : "out of memory");
        return false;
    }
    socket->incoming = true;
    socket->peer = arrival->from;
    dg_table_unlock(socket);
    return true;
}

/* Whether the arrival is for the program; else it is closed. */
static bool admit(const struct dg_arrival *arrival)
{
    struct dg_error why = {""};
    bool distribution;

    if (!dg_arrival_is_internet(arrival)) {
        return true;
    }
    distribution = dg_is_distribution_port(dg_address_port(&arrival->own));
    if (distribution && !dg_may_accept(&arrival->from, &why)) {
        dg_arrival_turn_away(arrival, "distribution", why.text);
        return false;
    }
    return watch(arrival, distribution);
}

/* After one was turned away: whether the program's own accept would have gone on. */
static bool tries_again(int listener, int turned_away)
{
    enum { PATIENCE = 64 }; /* the queue stays readable: the program comes back for the rest */
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int status = fcntl(listener, F_GETFL);

    if (status >= 0 && (status & O_NONBLOCK) == 0) {
        return true;
    }
    return turned_away < PATIENCE && poll(&ready, 1, 0) == 1;
}

int dg_hook_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    struct dg_arrival arrival;
    int saved = errno;
    int turned_away = 0;

    if (dg_core.program.kind == DG_PROGRAM_EPMD) {
        return dg_epmd_accept(fd, address, size);
    }
    do {
        if (dg_arrival_accept(fd, flags, &arrival) != 0) {
            return -1;
        }
        if (admit(&arrival)) {
            dg_arrival_introduce(&arrival, address, size);
            errno = saved;
            return arrival.fd;
        }
    } while (tries_again(fd, ++turned_away));
    /* The VM's acceptor dies of any other error (otp inet_drv.c, tcp_inet_input). */
    errno = EAGAIN;
    return -1;
}
