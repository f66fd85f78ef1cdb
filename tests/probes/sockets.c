/* How sockets come to be, are connected, accepted and shut down. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/probes/probe.h"

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void probe_socket(void)
{
    static const struct {
        const char *name;
        int domain, type, protocol;
    } cases[] = {
        {"TCP", AF_INET, SOCK_STREAM, IPPROTO_TCP},
        {"TCP with flags", AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0},
        {"UDP", AF_INET, SOCK_DGRAM, 0},
        {"Unix", AF_UNIX, SOCK_STREAM, 0},
        {"no family", 999, SOCK_STREAM, 0},
        {"no type", AF_INET, 77, 0},
        {"no protocol", AF_INET, SOCK_STREAM, IPPROTO_UDP},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = report_descriptor("socket", cases[i].name,
                                   CALL(socket(cases[i].domain, cases[i].type, cases[i].protocol)));

        if (fd >= 0) {
            report("close", cases[i].name, CALL(close(fd)));
        }
    }
}

static void probe_bind(const struct kind *kind)
{
    struct sockaddr_in address = loopback();
    struct sockaddr_in foreign = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xcb007101)};
    struct ends ends = kind->open();

    report("bind elsewhere", kind->name,
           CALL(bind(ends.to, (struct sockaddr *)&foreign, sizeof foreign)));
    report("bind", kind->name, CALL(bind(ends.to, (struct sockaddr *)&address, sizeof address)));
    report("bind short", kind->name, CALL(bind(ends.to, (struct sockaddr *)&address, 3)));
    report("listen", kind->name, CALL(listen(ends.to, 3)));
    report("listen again", kind->name, CALL(listen(ends.to, 0)));
    close_ends(ends);
}

static void probe_connect(const struct kind *kind)
{
    struct sockaddr_in nobody = loopback();
    struct sockaddr_in nowhere = {.sin_family = AF_UNSPEC};
    struct ends ends = kind->open();

    nobody.sin_port = htons(1);
    report("connect short", kind->name, CALL(connect(ends.to, (struct sockaddr *)&nobody, 3)));
    report("connect", kind->name,
           CALL(connect(ends.to, (struct sockaddr *)&nobody, sizeof nobody)));
    report("connect to nothing", kind->name,
           CALL(connect(ends.to, (struct sockaddr *)&nowhere, sizeof nowhere)));
    close_ends(ends);
}

static void probe_accept_refused(const struct kind *kind)
{
    struct ends ends = kind->open();

    if (strcmp(kind->name, "TCP listener") != 0) {
        report("accept", kind->name, CALL(accept(ends.to, NULL, NULL)));
    }
    report("accept4 with odd flags", kind->name, CALL(accept4(ends.to, NULL, NULL, 0x10)));
    close_ends(ends);
}

/* The peer's address, cut as the caller's room demands. */
static void probe_accept_address(void)
{
    for (socklen_t room = 0; room <= sizeof(struct sockaddr_storage); room += 8) {
        struct sockaddr_in address = loopback();
        struct sockaddr_storage peer;
        socklen_t size = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        int accepted;

        memset(&peer, 0x55, sizeof peer);
        if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
            getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
            connect(client, (struct sockaddr *)&address, size) != 0) {
            give_up("accept");
        }
        size = room;
        accepted = report_descriptor("accept", "with an address",
                                     CALL(accept(listener, (struct sockaddr *)&peer, &size)));
        ((struct sockaddr_in *)&peer)->sin_port = 0;
        report_bytes("address", "room for it",
                     (struct outcome){room < 24 ? (ssize_t)room : 24, ERRNO_BEFORE}, &peer);
        report("size", "of the address", (struct outcome){(ssize_t)size, ERRNO_BEFORE});
        (void)close(accepted);
        (void)close(client);
        report_descriptor("accept4", "nobody waits",
                          (setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO,
                                      &(struct timeval){.tv_usec = 1000}, sizeof(struct timeval)),
                           CALL(accept4(listener, NULL, NULL, SOCK_NONBLOCK))));
        (void)close(listener);
    }
}

static void probe_unix_accept(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct sockaddr_un peer = {0};
    socklen_t size = sizeof peer;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t length = sizeof address;
    int accepted;

    /* The kernel chooses an abstract name. */
    if (bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        listen(listener, 1) != 0 || connect(client, (struct sockaddr *)&address, length) != 0) {
        give_up("Unix listener");
    }
    accepted = report_descriptor("accept", "Unix",
                                 CALL(accept(listener, (struct sockaddr *)&peer, &size)));
    report("size of the peer's address", "Unix", (struct outcome){(ssize_t)size, ERRNO_BEFORE});
    report("write", "Unix", CALL(write(accepted, "\0\x20N", 3)));
    (void)close(accepted);
    (void)close(client);
    (void)close(listener);
}

static void probe_shutdown(const struct kind *kind)
{
    struct ends ends = kind->open();
    char byte;

    report("shutdown of nothing", kind->name, CALL(shutdown(ends.to, 77)));
    report("shutdown SHUT_WR", kind->name, CALL(shutdown(ends.to, SHUT_WR)));
    report("shutdown SHUT_RD", kind->name, CALL(shutdown(ends.from, SHUT_RD)));
    if (kind->is_tcp && kind->carries_bytes) {
        report("read after it", kind->name, CALL(read(ends.from, &byte, 1)));
        report("write after it", kind->name, CALL(write(ends.from, "x", 1)));
        (void)wait_for_bytes(ends.to);
        report("read the answer", kind->name, CALL(read(ends.to, &byte, 1)));
    }
    report("shutdown SHUT_RDWR", kind->name, CALL(shutdown(ends.to, SHUT_RDWR)));
    close_ends(ends);
}

static void probe_options(const struct kind *kind)
{
    static const struct {
        const char *name;
        int level, option;
    } options[] = {
        {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT},   {"SO_ZEROCOPY", SOL_SOCKET, SO_ZEROCOPY},
        {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE}, {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY},
        {"an unknown one", SOL_SOCKET, 9999},       {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR},
    };
    struct ends ends = kind->open();
    const int on = 1;

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        report(options[i].name, kind->name,
               CALL(setsockopt(ends.to, options[i].level, options[i].option, &on, sizeof on)));
    }
    report("TCP_ULP", kind->name, CALL(setsockopt(ends.to, IPPROTO_TCP, TCP_ULP, "nonsense", 8)));
    report("setsockopt of nothing", kind->name,
           CALL(setsockopt(ends.to, SOL_SOCKET, SO_KEEPALIVE, NULL, 0)));
    close_ends(ends);
}

void probe_sockets(void)
{
    probe_socket();
    for (size_t i = 0; i < kind_count; i++) {
        probe_bind(&kinds[i]);
        probe_connect(&kinds[i]);
        probe_accept_refused(&kinds[i]);
        probe_shutdown(&kinds[i]);
        probe_options(&kinds[i]);
    }
    probe_accept_address();
    probe_unix_accept();
}
