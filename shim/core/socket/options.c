/* What else a program can do with a guarded socket: ask how much there is to read, end sending, set
 * options, and try what cannot be guarded. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "shim/core/core.h"
#include "shim/core/socket/attempt.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/table.h"

bool dg_hook_readable(int fd, int *bytes, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool guarded = socket != NULL && socket->role == DG_ROLE_GUARDED;
    int saved = errno;

    if (guarded) {
        enum dg_channel_state before = dg_channel_get_state(socket->channel);
        ssize_t size = dg_joining_readable(socket, fd);

        dg_audit_channel(socket, before);
        *bytes = size > 0 ? (int)size : 0;
        *result = 0;
        errno = saved;
    }
    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return guarded;
}

bool dg_hook_shutdown(int fd, int how, int *result)
{
    struct dg_socket *socket = dg_table_lock(fd);
    int saved = errno;

    (void)result;
    if (socket != NULL) {
        if (socket->role == DG_ROLE_GUARDED && how != SHUT_RD) {
            enum dg_channel_state before = dg_channel_get_state(socket->channel);

            (void)dg_gathering_send(socket, fd);
            socket->gathering.on = false;
            dg_channel_end_sending(socket->channel, fd);
            dg_audit_channel(socket, before);
        }
        dg_table_unlock(socket);
    }
    errno = saved;
    return false;
}

/* SO_RCVLOWAT would let the poller sleep on bytes we wait for; the others would have the kernel
 * send what passes by TLS. */
bool dg_hook_set_option(int fd, int level, int name, int *result)
{
    bool breaks = (level == SOL_SOCKET && (name == SO_RCVLOWAT || name == SO_ZEROCOPY)) ||
                  (level == IPPROTO_TCP && (name == TCP_ULP || name == TCP_REPAIR));

    if (!breaks || !dg_hook_unsupported(fd, "setsockopt of SO_RCVLOWAT, SO_ZEROCOPY, TCP_ULP or "
                                            "TCP_REPAIR")) {
        return false;
    }
    *result = -1;
    return true;
}

bool dg_hook_unsupported(int fd, const char *call)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool refused = false;

    if (socket == NULL) {
        return false;
    }
    refused = dg_is_confined(socket);
    if (refused) {
        dg_audit_unsupported(socket, call);
        errno = EOPNOTSUPP;
    }
    dg_table_unlock(socket);
    return refused;
}
