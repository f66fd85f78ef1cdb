#include "shim/core/socket/relocate.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/core/core.h"
#include "shim/core/socket/address.h"

/* What a release can have set on its listener (inet_dist_listen_options), and what OTP copies from
 * it at accept. The kernel changes SO_PRIORITY when IP_TOS is set, so that comes last. */
static const struct {
    int level;
    int name;
} options[] = {
    {SOL_SOCKET, SO_REUSEADDR},
    {SOL_SOCKET, SO_REUSEPORT},
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_DONTROUTE},
    {SOL_SOCKET, SO_RCVBUF},
    {SOL_SOCKET, SO_SNDBUF},
    {SOL_SOCKET, SO_RCVLOWAT},
    {SOL_SOCKET, SO_BINDTODEVICE},
    {SOL_SOCKET, SO_MARK},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_MAXSEG},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_CONGESTION},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_RECVTOS},
    {IPPROTO_IP, IP_RECVTTL},
    {IPPROTO_IPV6, IPV6_V6ONLY},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_RECVTCLASS},
    {SOL_SOCKET, SO_PRIORITY},
};

/* Only what differs from a fresh socket's is set: setting a buffer's size, even to its default,
 * ends its tuning. */
static void copy_option(int from, int to, int level, int name)
{
    char wanted[64];
    char fresh[64];
    socklen_t wanted_size = sizeof wanted;
    socklen_t fresh_size = sizeof fresh;
    int number;

    if (getsockopt(from, level, name, wanted, &wanted_size) != 0 ||
        getsockopt(to, level, name, fresh, &fresh_size) != 0 ||
        (wanted_size == fresh_size && memcmp(wanted, fresh, wanted_size) == 0)) {
        return;
    }
    if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF)) {
        memcpy(&number, wanted, sizeof number);
        number /= 2; /* socket(7): the kernel doubles what is set */
        memcpy(wanted, &number, sizeof number);
    }
    (void)dg_core.real.setsockopt(to, level, name, wanted, wanted_size);
}

static int number_option(int fd, int level, int name)
{
    int number = 0;
    socklen_t size = sizeof number;

    (void)getsockopt(fd, level, name, &number, &size);
    return number;
}

/* A socket like `fd`, not bound. */
static int make_twin(int fd)
{
    int domain = number_option(fd, SOL_SOCKET, SO_DOMAIN);
    int protocol = number_option(fd, SOL_SOCKET, SO_PROTOCOL);
    int flags = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? SOCK_NONBLOCK : 0;
    int twin = dg_core.real.socket(domain, SOCK_STREAM | SOCK_CLOEXEC | flags, protocol);
    int on = 1;

    if (twin < 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        copy_option(fd, twin, options[i].level, options[i].name);
    }
    /* The port is still held by the old socket until that is closed. */
    (void)dg_core.real.setsockopt(twin, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return twin;
}

/* `host` with the port of the socket, as an address of its family. Its size, or 0. */
static socklen_t address_at(int fd, const struct dg_host *host, struct sockaddr_storage *address)
{
    struct sockaddr_storage now = {0};
    socklen_t size = sizeof now;

    if (getsockname(fd, (struct sockaddr *)&now, &size) != 0) {
        return 0;
    }
    size = dg_address_make(now.ss_family, host, dg_address_port(&now), address);
    if (size == 0) {
        errno = EAFNOSUPPORT;
    }
    return size;
}

static int listen_at(int fd, int twin, const struct dg_host *host, int backlog)
{
    struct sockaddr_storage address;
    socklen_t size = address_at(fd, host, &address);

    if (size == 0 || dg_core.real.shutdown(fd, SHUT_RDWR) != 0 ||
        dg_core.real.bind(twin, (struct sockaddr *)&address, size) != 0) {
        return -1;
    }
    return dg_core.real.listen(twin, backlog);
}

/* Two sockets may be bound to one port as long as neither listens and both are for it. */
static int bind_at(int fd, int twin, const struct dg_host *host)
{
    struct sockaddr_storage address;
    socklen_t size = address_at(fd, host, &address);
    int on = 1;

    (void)dg_core.real.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return size == 0 ? -1 : dg_core.real.bind(twin, (struct sockaddr *)&address, size);
}

static int take_place(int twin, int fd)
{
    int close_on_exec = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0;

    return dg_core.real.dup3(twin, fd, close_on_exec) == fd ? 0 : -1;
}

/* Ends a move: `done` says whether it went well; errno, if not, why. */
static int finish(int twin, bool done, const char *what, const struct dg_host *host,
                  struct dg_error *error)
{
    char text[DG_NETWORK_TEXT];

    if (!done) {
        dg_host_print(host, text);
        (void)dg_fail(error, "%s cannot be moved to %s: %s", what, text, strerror(errno));
    }
    if (twin >= 0) {
        dg_core.real.close(twin);
    }
    return done ? 0 : -1;
}

int dg_relocate(int fd, const struct dg_host *host, int backlog, struct dg_error *error)
{
    int twin = make_twin(fd);
    bool done = twin >= 0 && listen_at(fd, twin, host, backlog) == 0 && take_place(twin, fd) == 0;

    return finish(twin, done, "the listener", host, error);
}

int dg_relocate_source(int fd, const struct dg_host *host, struct dg_error *error)
{
    int twin = make_twin(fd);
    bool done = twin >= 0 && bind_at(fd, twin, host) == 0 && take_place(twin, fd) == 0;

    return finish(twin, done, "the source of this connection", host, error);
}
