/* accept(2) for nodes: who may not come in is closed and never seen by the program, which goes on
 * accepting. For epmd see epmd_select.c. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/arrival.h"
#include "shim/core/socket/epmd_queue.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/table.h"

/* On a distribution listener: whether the policy lets the peer come at all. */
static bool admit_to_distribution(struct dg_socket *socket, const struct dg_arrival *arrival)
{
    struct dg_error why = {""};

    if (!dg_may_accept(socket->rules->policy, &arrival->from, &why)) {
        dg_table_forget(arrival->fd, socket);
        dg_arrival_turn_away(arrival, "distribution", why.text);
        return false;
    }
    socket->role = DG_ROLE_DISTRIBUTION_INCOMING;
    dg_table_unlock(socket);
    dg_in_flight_enter(arrival->fd, &arrival->from, dg_arrival_is_local(arrival));
    return true;
}

/* Whether the arrival is for the program; else it is closed. */
static bool admit(const struct dg_arrival *arrival)
{
    struct dg_socket *socket;

    if (!dg_arrival_is_internet(arrival)) {
        return true;
    }
    if (!dg_arrival_is_located(arrival)) {
        dg_arrival_turn_away(arrival, "distribution", DG_ARRIVAL_UNLOCATED);
        return false;
    }
    dg_rules_renew();
    socket = dg_table_watch(arrival->fd, DG_ROLE_INCOMING);
    if (socket == NULL) {
        dg_arrival_turn_away(arrival, "distribution",
                             errno == EMFILE ? DG_TABLE_FULL : "out of memory");
        return false;
    }
    socket->incoming = true;
    socket->peer = arrival->from;
    if (socket->rules->policy->mode == DG_MODE_OFF) {
        dg_table_forget(arrival->fd, socket);
        return true;
    }
    if (dg_is_distribution_port(socket->rules->policy, dg_address_port(&arrival->own))) {
        return admit_to_distribution(socket, arrival);
    }
    dg_table_unlock(socket);
    return true;
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
