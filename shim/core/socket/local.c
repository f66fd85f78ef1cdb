#include "shim/core/socket/local.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/owner.h"

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

bool dg_peer_is_local(const struct dg_socket *socket, int fd, struct sockaddr_storage *own)
{
    return own_address(fd, own) && dg_address_is_local(&socket->peer, own);
}

bool dg_local_is_allowed(const struct dg_socket *socket, const struct sockaddr_storage *own,
                         char *reason, size_t size)
{
    uid_t user;

    if (socket->rules->policy->local == DG_LOCAL_ALLOW) {
        return true;
    }
    if (socket->rules->policy->local == DG_LOCAL_DENY) {
        (void)snprintf(reason, size, "peer of this host speaks plaintext, and local is deny");
        return false;
    }
    if (dg_socket_owner(&dg_core.real, &socket->peer, own, &user) != 0) {
        if (errno == EOVERFLOW) {
            (void)snprintf(reason, size,
                           "peer of this host speaks plaintext as nobody, or as a user whom our "
                           "user namespace does not know: these cannot be told apart");
            return false;
        }
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
