/*
 * How descriptors end and how they are copied.
 *
 * The real call is made with the socket locked and its number still in the table. So there is no
 * moment at which the number is not watched and yet stands for a guarded connection, where another
 * thread's write would leave in the clear; and who gets the number next waits for the lock until it
 * stands for nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/report/writer.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/descriptors.h"
#include "shim/core/socket/flusher.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/naming.h"
#include "shim/core/socket/table.h"

/* --- close --- */

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

/* Another number that stands for the socket; -1 where `fd` is its only one. */
static int another_of(const struct dg_socket *socket, int fd)
{
    int copy = 0;

    if (socket->descriptors == 1) {
        return -1;
    }
    while (copy < dg_table_end() && (copy == fd || atomic_load(&dg_table[copy]) != socket)) {
        copy++;
    }
    return copy < dg_table_end() ? copy : -1;
}

/* What is held goes first. The flusher may know the socket by this number, and takes another then:
 * a peer that does not read may have left some. */
static void let_go_of_held(struct dg_socket *socket, int fd)
{
    int other = another_of(socket, fd);

    socket->gathering.watched =
        !dg_gathering_flush(socket, fd) && other >= 0 && dg_flusher_watch(other);
}

/* Before a number of the socket is closed, by close or by what takes its place. */
static void leave(struct dg_socket *socket, int fd)
{
    int saved = errno;

    if (socket->incoming) {
        dg_in_flight_leave(fd);
    }
    if (socket->role == DG_ROLE_GUARDED) {
        let_go_of_held(socket, fd);
    }
    if (socket->descriptors == 1) {
        last_of(socket, fd);
    }
    errno = saved;
}

bool dg_hook_close(int fd, int *result)
{
    struct dg_socket *socket = dg_table_is_ours() ? dg_table_lock(fd) : NULL;
    int error;

    if (socket == NULL) {
        return false;
    }
    leave(socket, fd);
    *result = dg_core.real.close(fd);
    error = errno;
    dg_table_close(fd, socket);
    errno = error;
    return true;
}

void dg_hook_close_range(unsigned first, unsigned last)
{
    unsigned end = (unsigned)dg_table_end();
    int saved = errno;
    int result;

    for (unsigned fd = first; fd < end && fd <= last; fd++) {
        if (atomic_load(&dg_table[fd]) != NULL) {
            (void)dg_hook_close((int)fd, &result);
        }
    }
    errno = saved;
}

/* --- dup --- */

static bool ends_at_exec(const struct dg_socket *socket)
{
    return socket->role == DG_ROLE_GUARDED || socket->role == DG_ROLE_FOREIGN;
}

/* An ioctl, as our own fcntl would come back here. */
static void end_at_exec(const struct dg_socket *socket, int fd)
{
    if (ends_at_exec(socket)) {
        (void)ioctl(fd, FIOCLEX);
    }
}

void dg_end_at_exec(const struct dg_socket *socket, int fd)
{
    int left = socket->descriptors - 1;

    end_at_exec(socket, fd);
    for (int copy = 0; left > 0 && copy < dg_table_end(); copy++) {
        if (copy != fd && atomic_load(&dg_table[copy]) == socket) {
            end_at_exec(socket, copy);
            left--;
        }
    }
}

bool dg_hook_ends_at_exec(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);
    bool ends = socket != NULL && ends_at_exec(socket);

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return ends;
}

/* Locks what two numbers stand for, the second if nobody has it; else false, with nothing locked.
 */
static bool lock_in_turn(int fd, int other, struct dg_socket **first, struct dg_socket **second)
{
    *first = dg_table_lock(fd);
    if (dg_table_try_lock(other, *first, second)) {
        return true;
    }
    if (*first != NULL) {
        dg_table_unlock(*first);
    }
    return false;
}

/* Who has the one and finds the other taken lets go, as another thread may do the same the other
 * way round, and waits for the other first. */
static void lock_both(int fd, int copy, struct dg_socket **from, struct dg_socket **to)
{
    while (!lock_in_turn(fd, copy, from, to) && !lock_in_turn(copy, fd, to, from)) {
    }
}

/* Of two numbers that stand for different things; whoever has `copy` meanwhile waits for one of the
 * two locks. Unlocks `to`. */
static int replace(int fd, int copy, int flags, struct dg_socket *from, struct dg_socket *to)
{
    bool published = from != NULL && to == NULL && dg_table_share(from, copy);
    int result;
    int error;

    if (to != NULL) {
        leave(to, copy);
    }
    result = dg_core.real.dup3(fd, copy, flags);
    error = errno;
    if (to != NULL && result >= 0) {
        dg_table_replace(copy, to, from);
    } else if (to != NULL) {
        to->role = to->descriptors == 1 ? DG_ROLE_REFUSED : to->role; /* its last word is said */
        dg_table_unlock(to);
    } else if (published && result < 0) {
        dg_table_unshare(from, copy);
    }
    errno = error;
    return result;
}

/* Both locked. Unlocks them. */
static int copy_over(int fd, int copy, int flags, struct dg_socket *from, struct dg_socket *to)
{
    int result;

    if (from != NULL && copy >= DG_TABLE_SIZE) {
        dg_table_unlock(from);
        dg_audit_unwatched(EMFILE);
        errno = EBADF;
        return -1;
    }
    result = from == to ? dg_core.real.dup3(fd, copy, flags) : replace(fd, copy, flags, from, to);
    if (from != NULL) {
        int saved = errno;

        if (result >= 0) {
            end_at_exec(from, copy);
        }
        dg_table_unlock(from);
        errno = saved;
    }
    return result;
}

bool dg_hook_replace(int fd, int copy, int flags, int *result)
{
    struct dg_socket *from;
    struct dg_socket *to;

    /* What fails must leave all as it was. */
    if (copy < 0 || !dg_table_is_ours() || fcntl(fd, F_GETFD) < 0) {
        return false;
    }
    lock_both(fd, copy, &from, &to);
    if (from == NULL && to == NULL) {
        return false;
    }
    *result = copy_over(fd, copy, flags, from, to);
    return true;
}

/* False where the copy cannot be watched. */
static bool watch_copy(int fd, int copy)
{
    struct dg_socket *socket;
    bool shared = true;

    dg_table_evict(copy);
    socket = dg_table_lock(fd);
    if (socket != NULL) {
        shared = dg_table_share(socket, copy);
        end_at_exec(socket, copy);
        dg_table_unlock(socket);
    }
    return shared;
}

int dg_hook_duplicated(int fd, int copy)
{
    int saved = errno;

    if (dg_table_is_ours() && !watch_copy(fd, copy)) {
        dg_core.real.close(copy);
        dg_audit_unwatched(EMFILE);
        errno = EMFILE;
        return -1;
    }
    errno = saved;
    return copy;
}

/* --- descriptor tables --- */

/* Whether no thread is there but the caller, and the log's, which keeps to descriptors of its own.
 * The folder of a process's tasks has a link for each, and two of its own. */
static bool is_alone(void)
{
    struct stat tasks;

    return stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == (dg_writer_runs() ? 4 : 3);
}

bool dg_hook_unshares(const char *call)
{
    int saved = errno;

    /* One thread keeps its numbers; and a child of vfork gets those that it may close. */
    if (!dg_table_is_ours() || is_alone()) {
        errno = saved;
        return false;
    }
    dg_log(DG_LOG_WARNING, "unsupported", "call", call, "reason",
           "a thread with a descriptor table of its own cannot be guarded", NULL);
    errno = EOPNOTSUPP;
    return true;
}
