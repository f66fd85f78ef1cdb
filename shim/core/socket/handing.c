/*
 * Sockets that pass from program to program: over a Unix socket (SCM_RIGHTS), or through exec.
 *
 * What is guarded here is not handed on, as its keys would stay behind. What comes to us was made
 * where nobody looked: it is watched from now on, and its next bytes tell what it is.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/handing.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/isolation.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/table.h"

/* Whether a part of a message ends within it. The kernel takes no message of which one does not,
 * but is asked later. */
static bool is_whole(const struct msghdr *message, const struct cmsghdr *part)
{
    size_t before = (size_t)((const char *)part - (const char *)message->msg_control);

    return part->cmsg_len >= CMSG_LEN(0) && part->cmsg_len <= message->msg_controllen - before;
}

/* Calls `look` for each descriptor that a message carries, until one answers true. */
static bool any_descriptor(const struct msghdr *message, bool (*look)(int fd))
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL && is_whole(message, part);
         part = CMSG_NXTHDR((struct msghdr *)message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
            if (look(fd)) {
                return true;
            }
        }
    }
    return false;
}

static bool is_refused(int fd)
{
    return dg_hook_unsupported(fd, "sendmsg with SCM_RIGHTS");
}

bool dg_hook_hands_on(const struct msghdr *message)
{
    return any_descriptor(message, is_refused);
}

static int number_option(int fd, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/* Which end of a connection it is, is not known: who speaks first tells, unless its own port does.
 */
static void look_after(struct dg_socket *socket, int fd)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_size = sizeof own;
    socklen_t peer_size = sizeof peer;

    if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0) {
        return; /* it may still be connected to somewhere */
    }
    own = dg_address_from((struct sockaddr *)&own, own_size);
    socket->peer = dg_address_from((struct sockaddr *)&peer, peer_size);
    if (dg_is_distribution_port(socket->rules->policy, dg_address_port(&own))) {
        socket->role = DG_ROLE_DISTRIBUTION_INCOMING;
        socket->incoming = true;
    } else if (dg_address_port(&socket->peer) == dg_core.program.epmd_port) {
        socket->role = DG_ROLE_EPMD_ASKING;
        socket->epmd = true;
    } else {
        socket->expected = dg_is_learned_destination(&socket->peer);
    }
}

/* A listener is looked at when it accepts, and when it is registered. */
static bool adopt(int fd)
{
    struct dg_socket *socket;

    dg_table_evict(fd);
    if (!dg_address_is_internet(number_option(fd, SO_DOMAIN)) ||
        number_option(fd, SO_TYPE) != SOCK_STREAM || number_option(fd, SO_ACCEPTCONN) != 0) {
        return false;
    }
    socket = dg_table_watch(fd, DG_ROLE_OUTGOING);
    if (socket == NULL) {
        dg_audit_unwatched(errno);
        dg_core.real.close(fd); /* the program finds a number that is closed */
        return false;
    }
    socket->adopted = true;
    if (socket->rules->policy->mode == DG_MODE_OFF) {
        dg_table_forget(fd, socket);
        return false;
    }
    look_after(socket, fd);
    dg_table_unlock(socket);
    return false;
}

void dg_hook_handed(const struct msghdr *message)
{
    int saved = errno;

    if (dg_core.program.kind != DG_PROGRAM_EPMD && dg_table_is_ours()) {
        (void)any_descriptor(message, adopt);
    }
    errno = saved;
}

int dg_adopt_inherited(struct dg_error *error)
{
    static const char path[] = "/proc/self/fd";
    DIR *folder;
    struct dirent *entry;

    if (dg_core.program.kind == DG_PROGRAM_EPMD) {
        return 0;
    }
    folder = opendir(path);
    if (folder == NULL) {
        return dg_fail(error, "%s cannot be read: %s; it says which sockets were inherited", path,
                       strerror(errno));
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)adopt((int)strtol(entry->d_name, NULL, 10));
        }
    }
    (void)closedir(folder);
    return 0;
}
