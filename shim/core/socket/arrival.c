#include "shim/core/socket/arrival.h"

#include <string.h>

#include "shim/core/core.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/table.h"

int dg_arrival_accept(int listener, int flags, struct dg_arrival *arrival)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;

    *arrival = (struct dg_arrival){.peer_size = sizeof arrival->peer};
    arrival->fd = dg_core.real.accept4(listener, (struct sockaddr *)&arrival->peer,
                                       &arrival->peer_size, flags);
    if (arrival->fd < 0) {
        return -1;
    }
    dg_table_evict(arrival->fd);
    if (dg_arrival_is_internet(arrival)) {
        if (getsockname(arrival->fd, (struct sockaddr *)&own, &size) == 0) {
            arrival->own = dg_address_from((struct sockaddr *)&own, size);
        }
        arrival->from = dg_address_from((struct sockaddr *)&arrival->peer, arrival->peer_size);
    }
    return 0;
}

bool dg_arrival_is_internet(const struct dg_arrival *arrival)
{
    return dg_address_is_internet(arrival->peer.ss_family);
}

bool dg_arrival_is_located(const struct dg_arrival *arrival)
{
    return dg_address_is_internet(arrival->own.ss_family);
}

bool dg_arrival_is_local(const struct dg_arrival *arrival)
{
    return dg_address_is_local(&arrival->from, &arrival->own);
}

void dg_arrival_turn_away(const struct dg_arrival *arrival, const char *role, const char *reason)
{
    dg_core.real.close(arrival->fd); /* first: it may be the very descriptor that the log lacks */
    dg_audit_turned_away(&arrival->from, role, reason);
}

void dg_arrival_introduce(const struct dg_arrival *arrival, struct sockaddr *address,
                          socklen_t *size)
{
    if (address != NULL && size != NULL) {
        memcpy(address, &arrival->peer, arrival->peer_size < *size ? arrival->peer_size : *size);
        *size = arrival->peer_size;
    }
}
