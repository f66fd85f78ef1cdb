#include "shim/core/report/targets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct dg_log_identity dg_log_identify(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return (struct dg_log_identity){.known = false};
    return (struct dg_log_identity){.known = true,
                                    .device = status.st_dev,
                                    .inode = status.st_ino,
                                    .type = status.st_mode & S_IFMT};
}

static bool same(const struct dg_log_identity *a, const struct dg_log_identity *b)
{
    return a->known && b->known && a->device == b->device && a->inode == b->inode &&
           a->type == b->type;
}

bool dg_log_to_syslog(const struct dg_log_calls *calls, const char *line, size_t size)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = calls->socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool sent;

    if (fd < 0)
        return false;
    sent = calls->connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
           calls->send(fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
    calls->close(fd);
    return sent;
}

bool dg_log_to_file(const struct dg_log_calls *calls, const char *path, const char *line,
                    size_t size)
{
    /* Opened anew for each line, which follows a rotation, too. A symlink could lead our writes
     * elsewhere. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    bool written;

    if (fd < 0)
        return false;
    written = calls->write(fd, line, size) == (ssize_t)size;
    calls->close(fd);
    return written;
}

/*
 * Stderr is shared with others, so it cannot be made non-blocking, and to ask (poll) before a write
 * is not enough: another thread may take the room meanwhile. Opened anew it can. That fails where
 * the pipe is another user's, and is of no use for what knows no non-blocking mode.
 */
static int reopen_stderr(void)
{
    return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

enum dg_log_way dg_log_way_to_stderr(const struct dg_log_calls *calls,
                                     const struct dg_log_identity *identity)
{
    int fd;

    if (!identity->known || identity->type == S_IFSOCK) {
        return DG_LOG_AT_ONCE;
    }
    /* A terminal takes parts of lines when it is nearly full. */
    if ((identity->type != S_IFIFO && identity->type != S_IFCHR) || isatty(STDERR_FILENO)) {
        return DG_LOG_BY_WRITER;
    }
    fd = reopen_stderr();
    if (fd < 0) {
        return DG_LOG_BY_WRITER;
    }
    calls->close(fd);
    return DG_LOG_AT_ONCE;
}

/* A line is shorter than PIPE_BUF, so a pipe takes all of it or nothing. */
static bool write_without_waiting(const struct dg_log_calls *calls,
                                  const struct dg_log_identity *identity, const char *line,
                                  size_t size)
{
    int fd = reopen_stderr();
    struct dg_log_identity opened;
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    bool written = false;

    if (fd < 0)
        return false;
    opened = dg_log_identify(fd);
    /* Exactly POLLOUT: a pipe without a reader (POLLERR) would raise SIGPIPE. */
    if (same(identity, &opened) && poll(&writable, 1, 0) == 1 && writable.revents == POLLOUT)
        written = calls->write(fd, line, size) == (ssize_t)size;
    calls->close(fd);
    return written;
}

/* A daemon may have closed its stderr and got the number back as somebody's socket (rsyslog #1526).
 */
bool dg_log_to_stderr(const struct dg_log_calls *calls, const struct dg_log_identity *identity,
                      enum dg_log_way way, const char *line, size_t size)
{
    struct dg_log_identity now = dg_log_identify(STDERR_FILENO);

    if (!same(identity, &now))
        return false;
    if (way == DG_LOG_BY_WRITER)
        return calls->write(STDERR_FILENO, line, size) == (ssize_t)size;
    if (identity->type == S_IFSOCK)
        return calls->send(STDERR_FILENO, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
    return write_without_waiting(calls, identity, line, size);
}
