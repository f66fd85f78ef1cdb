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
 * A daemon may have closed its stderr and got the number back as somebody's socket (rsyslog #1526).
 * And stderr is shared, so it cannot be made non-blocking: but what can be written to at all takes
 * a line shorter than PIPE_BUF.
 */
bool dg_log_to_stderr(const struct dg_log_calls *calls, const struct dg_log_identity *identity,
                      const char *line, size_t size)
{
    struct dg_log_identity now = dg_log_identify(STDERR_FILENO);
    struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (!same(identity, &now))
        return false;
    /* Exactly POLLOUT: a pipe without a reader (POLLERR) would raise SIGPIPE. */
    if (poll(&writable, 1, 0) != 1 || writable.revents != POLLOUT)
        return false;
    return calls->write(STDERR_FILENO, line, size) == (ssize_t)size;
}
