/*
 * System calls that fail once, at each place in turn and in each way that the kernel has for it,
 * under a program that makes and takes connections through the hooks. Nothing may crash, hang or
 * leak a descriptor; no name of a node goes out in plaintext, and none comes in to a program whose
 * policy forbids it; what a program is told is an errno that it understands; and the next
 * connection works.
 *
 * The calls that the core makes for itself are this program's: its definitions come before libc's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/isolation.h"
#include "tests/unit/support/pki.h"

/* --- the calls --- */

enum kind { RECEIVING, SENDING, ACCEPTING, POLLING, OTHER, KINDS };

enum { ERRORS = 4, STREAM = 256, ROUNDS = 40 };

static const int errors_of[KINDS][ERRORS] = {
    [RECEIVING] = {EINTR, EAGAIN, ENOMEM, ECONNRESET},
    [SENDING] = {EINTR, EAGAIN, ENOBUFS, EPIPE},
    [ACCEPTING] = {EINTR, ECONNABORTED, EMFILE, ENOBUFS},
    [POLLING] = {EINTR, ENOMEM, EINTR, ENOMEM},
    [OTHER] = {EINTR, EMFILE, ENOMEM, ENOBUFS},
};

static bool armed, has_failed;
static unsigned long calls, failing; /* which of the calls fails; 0: none */
static unsigned variant;
static const char *failed_call = "none";
static int failure;

static bool fails(enum kind kind, const char *call)
{
    if (!armed || ++calls != failing) {
        return false;
    }
    has_failed = true;
    failed_call = call;
    failure = errors_of[kind][variant];
    errno = failure;
    return true;
}

#define SAW(format, ...)                                                                           \
    fail_msg("call %lu, %s, failed with %s: " format, failing, failed_call, strerror(failure),     \
             __VA_ARGS__)

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    return fails(OTHER, "getsockname") ? -1 : (int)syscall(SYS_getsockname, fd, address, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    return fails(OTHER, "getsockopt") ? -1
                                      : (int)syscall(SYS_getsockopt, fd, level, name, value, size);
}

int poll(struct pollfd *polled, nfds_t count, int timeout)
{
    return fails(POLLING, "poll") ? -1 : (int)syscall(SYS_poll, polled, count, timeout);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    return fails(OTHER, "fcntl") ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    int mode = 0;

    va_start(arguments, flags);
    if ((flags & O_CREAT) != 0) {
        mode = va_arg(arguments, int);
    }
    va_end(arguments);
    return fails(OTHER, "open") ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int memfd_create(const char *name, unsigned flags)
{
    return fails(OTHER, "memfd_create") ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

/* The host's addresses: 127.0.0.1 and 192.0.2.1. */
int getifaddrs(struct ifaddrs **addresses)
{
    static char names[2][5] = {"lo", "eth0"};
    static const in_addr_t hosts[2] = {INADDR_LOOPBACK, 0xC0000201};
    static struct sockaddr_in internet[2];
    static struct ifaddrs all[2];

    if (fails(OTHER, "getifaddrs")) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        internet[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(hosts[i])};
        all[i] = (struct ifaddrs){.ifa_name = names[i],
                                  .ifa_flags = IFF_UP,
                                  .ifa_addr = (struct sockaddr *)&internet[i],
                                  .ifa_next = i == 0 ? &all[1] : NULL};
    }
    *addresses = all;
    return 0;
}

void freeifaddrs(struct ifaddrs *addresses)
{
    (void)addresses;
}

/* --- those that the preload library hands to the core --- */

static const char node_name[] = "a@node.example.org";

static void check_wire(const void *bytes, size_t size)
{
    if (memmem(bytes, size, node_name, sizeof node_name - 1) != NULL) {
        SAW("%s", "a node's name goes out in plaintext");
    }
}

static bool peers_are_remote; /* what accept says of them */

static int real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    int accepted = fails(ACCEPTING, "accept4") ? -1 : accept4(fd, address, size, flags);

    if (accepted >= 0 && peers_are_remote) {
        ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(0xC0000207); /* 192.0.2.7 */
    }
    return accepted;
}

static int real_socket(int domain, int type, int protocol)
{
    return fails(OTHER, "socket") ? -1 : socket(domain, type, protocol);
}

static int real_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return fails(OTHER, "bind") ? -1 : bind(fd, address, size);
}

static int real_listen(int fd, int backlog)
{
    return fails(OTHER, "listen") ? -1 : listen(fd, backlog);
}

static int real_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return fails(OTHER, "connect") ? -1 : connect(fd, address, size);
}

static ssize_t real_recvmsg(int fd, struct msghdr *message, int flags)
{
    return fails(RECEIVING, "recvmsg") ? -1 : recvmsg(fd, message, flags);
}

static ssize_t real_recv(int fd, void *bytes, size_t size, int flags)
{
    return fails(RECEIVING, "recv") ? -1 : recv(fd, bytes, size, flags);
}

static ssize_t real_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return fails(SENDING, "sendmsg") ? -1 : sendmsg(fd, message, flags);
}

static ssize_t real_send(int fd, const void *bytes, size_t size, int flags)
{
    check_wire(bytes, size);
    return fails(SENDING, "send") ? -1 : send(fd, bytes, size, flags);
}

static int real_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return fails(OTHER, "setsockopt") ? -1 : setsockopt(fd, level, name, value, size);
}

static int real_dup3(int from, int to, int flags)
{
    return fails(OTHER, "dup3") ? -1 : dup3(from, to, flags);
}

static const struct dg_real real = {
    .socket = real_socket,
    .bind = real_bind,
    .listen = real_listen,
    .connect = real_connect,
    .accept4 = real_accept4,
    .recvmsg = real_recvmsg,
    .sendmsg = real_sendmsg,
    .recv = real_recv,
    .send = real_send,
    .write = write,
    .shutdown = shutdown,
    .setsockopt = real_setsockopt,
    .close = close,
    .dup3 = real_dup3,
};

/* --- the program --- */

static struct dg_hooks hooks;

/* With another stderr than later, so that nothing is said there: it is not what was told at the
 * start. */
static enum dg_core_verdict start_quietly(const char *program, char reason[DG_REASON_SIZE])
{
    int nothing = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);
    int kept = dup(STDERR_FILENO);
    enum dg_core_verdict verdict;

    dup2(nothing, STDERR_FILENO);
    verdict = dg_core_start(DG_ABI, program, &real, &hooks, reason);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(nothing);
    return verdict;
}

static enum dg_core_verdict start(const char *program, const char *profile,
                                  char reason[DG_REASON_SIZE])
{
    setenv("DISTGUARD_CONF", pki_path("shim.conf"), 1);
    setenv("DISTGUARD_PROFILE", profile, 1);
    unsetenv("ERL_EPMD_ADDRESS");
    dg_rules_drop();
    return start_quietly(program, reason);
}

static void be(const char *program, const char *profile)
{
    char reason[DG_REASON_SIZE] = "";

    if (start(program, profile, reason) != DG_CORE_GUARDING) {
        fail_msg("%s is not guarded: %s", program, reason);
    }
}

static struct sockaddr_in at(in_addr_t host, in_port_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(host)};
}

static int open_socket(void)
{
    int fd = real_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? fd : hooks.socket_opened(fd, AF_INET, SOCK_STREAM);
}

static void shut(int fd)
{
    int result;

    if (fd >= 0 && !hooks.close(fd, &result)) {
        close(fd);
    }
}

static int call_bind(int fd, const struct sockaddr_in *address)
{
    int result;

    return hooks.bind(fd, (const struct sockaddr *)address, sizeof *address, &result)
               ? result
               : bind(fd, (const struct sockaddr *)address, sizeof *address);
}

static int call_listen(int fd)
{
    int result;

    return hooks.listen(fd, 8, &result) ? result : listen(fd, 8);
}

static int open_listener(in_addr_t host)
{
    struct sockaddr_in address = at(host, 0);
    int fd = open_socket();

    if (fd >= 0 && (call_bind(fd, &address) != 0 || call_listen(fd) != 0)) {
        shut(fd);
        fd = -1;
    }
    return fd;
}

/* Asked with nothing failing. */
static struct sockaddr_in address_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;

    assert_int_equal(syscall(SYS_getsockname, fd, &address, &size), 0);
    return address;
}

static int open_client(int listener)
{
    struct sockaddr_in to = address_of(listener);
    int fd = open_socket();
    int result = 0;

    if (fd < 0) {
        return fd;
    }
    if (!hooks.connect(fd, (struct sockaddr *)&to, sizeof to, &result)) {
        result = connect(fd, (struct sockaddr *)&to, sizeof to);
    }
    if (result != 0 && errno != EINPROGRESS) {
        shut(fd);
        return -1;
    }
    return fd;
}

/* One end of a connection, and what its program has sent and received. */
struct end {
    int fd;
    const char *message;
    size_t size;
    size_t sent;
    uint8_t received[STREAM];
    size_t have;
    bool over;
};

static void give(struct end *end)
{
    struct iovec vector = {.iov_len = end->size - end->sent};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    const char *from = end->message + end->sent;
    ssize_t sent;

    memcpy(&vector.iov_base, &from, sizeof from);
    if (vector.iov_len == 0 || end->over) {
        return;
    }
    if (!hooks.send(end->fd, &message, MSG_NOSIGNAL, &sent)) {
        check_wire(from, vector.iov_len);
        sent = send(end->fd, from, vector.iov_len, MSG_NOSIGNAL);
    }
    end->over = sent < 0 && errno != EAGAIN && errno != EINTR;
    end->sent += sent > 0 ? (size_t)sent : 0;
}

static void get(struct end *end)
{
    struct iovec vector = {.iov_base = end->received + end->have,
                           .iov_len = sizeof end->received - end->have};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t got;

    if (end->over) {
        return;
    }
    if (!hooks.receive(end->fd, &message, 0, &got)) {
        got = recv(end->fd, vector.iov_base, vector.iov_len, 0);
    }
    if (got < 0 && errno == EINTR) {
        SAW("%s", "receiving answers EINTR, of which the VM ends a connection");
    }
    end->over = got == 0 || (got < 0 && errno != EAGAIN);
    end->have += got > 0 ? (size_t)got : 0;
}

static void check_prefix(const struct end *to, const struct end *from)
{
    if (to->have > from->size || memcmp(to->received, from->message, to->have) != 0) {
        SAW("%zu bytes received that were not sent", to->have);
    }
}

static int call_accept(int listener)
{
    int fd = hooks.accept(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0 && !has_failed && errno != EAGAIN) {
        fail_msg("accept: %s", strerror(errno));
    }
    return fd;
}

/* --- in turn --- */

static unsigned count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

static void run(void (*operation)(void))
{
    calls = 0;
    has_failed = false;
    armed = true;
    operation();
    armed = false;
}

/* With no failure, and then with each call failing in each way. `operation` disarms before it
 * judges. */
static void exhaust(const char *name, void (*operation)(void))
{
    unsigned before;
    unsigned long all;

    failing = 0;
    run(operation); /* what is made only once is made */
    before = count_descriptors();
    run(operation);
    all = calls;
    assert_true(all > 0);
    for (unsigned long next = 1; next <= all; next++) {
        for (variant = 0; variant < ERRORS; variant++) {
            failing = next;
            run(operation);
        }
    }
    failing = 0;
    run(operation);
    print_message("%s: %lu calls\n", name, all);
    if (count_descriptors() != before) {
        fail_msg("%s: %u descriptors before, %u after", name, before, count_descriptors());
    }
}

/* --- two nodes --- */

/* As the program has them: with lengths of two bytes. */
static const char name_message[] = "\0\41N\x00\x00\x00\x0D\x07\xDF\x7F\xBD\x12\x34\x56\x78\0\22"
                                   "a@node.example.org";
static const char status_message[] = "\0\3sok";

static void connect_nodes(void)
{
    int listener = open_listener(INADDR_LOOPBACK);
    struct end client = {.fd = -1, .message = name_message, .size = sizeof name_message - 1};
    struct end server = {.fd = -1, .message = status_message, .size = sizeof status_message - 1};

    if (listener >= 0) {
        client.fd = open_client(listener);
    }
    for (int i = 0; i < ROUNDS && client.fd >= 0; i++) {
        give(&client);
        if (server.fd < 0) {
            server.fd = call_accept(listener);
        } else {
            get(&server);
            check_prefix(&server, &client);
        }
        if (server.have == client.size) {
            give(&server);
        }
        get(&client);
        check_prefix(&client, &server);
    }
    armed = false;
    if (!has_failed && client.have < server.size) {
        fail_msg("nothing has failed, and yet %zu bytes came of %zu, and %zu of %zu", server.have,
                 client.size, client.have, server.size);
    }
    shut(client.fd);
    shut(server.fd);
    shut(listener);
}

static void test_two_nodes(void **state)
{
    (void)state;
    be("beam.smp", "known");
    exhaust("two nodes", connect_nodes);
}

/* --- strangers --- */

/* Somebody who is not guarded, and what he says. */
static int open_stranger(int listener, const char *bytes, size_t size)
{
    struct sockaddr_in to = address_of(listener);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS);
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    return fd;
}

static void take_stranger(void)
{
    static const char nothing[] = "";
    int listener = open_listener(INADDR_LOOPBACK);
    struct end server = {.fd = -1, .message = nothing};
    int stranger = -1;

    if (listener >= 0) {
        stranger = open_stranger(listener, name_message, sizeof name_message - 1);
    }
    for (int i = 0; i < ROUNDS && stranger >= 0; i++) {
        if (server.fd < 0) {
            server.fd = call_accept(listener);
        } else {
            get(&server);
        }
        if (server.have > 0) {
            SAW("the program receives %zu bytes of plaintext distribution", server.have);
        }
    }
    armed = false;
    shut(server.fd);
    shut(stranger);
    shut(listener);
}

static void test_a_stranger(void **state)
{
    (void)state;
    be("beam.smp", "known");
    exhaust("a stranger", take_stranger);
}

static void test_a_stranger_where_nobody_expects_him(void **state)
{
    (void)state;
    be("beam.smp", "unknown");
    exhaust("a stranger at another listener", take_stranger);
}

/* The other end is of this host and of our user, as the kernel must say first. */
static void take_local(void)
{
    int listener = open_listener(INADDR_LOOPBACK);
    struct end server = {.fd = -1, .message = status_message, .size = sizeof status_message - 1};
    int stranger = -1;

    if (listener >= 0) {
        stranger = open_stranger(listener, name_message, sizeof name_message - 1);
    }
    for (int i = 0; i < ROUNDS && stranger >= 0; i++) {
        if (server.fd < 0) {
            server.fd = call_accept(listener);
        } else {
            get(&server);
            give(&server);
        }
    }
    armed = false;
    if (!has_failed && server.have != sizeof name_message - 1) {
        fail_msg("nothing has failed, and yet %zu bytes came", server.have);
    }
    shut(server.fd);
    shut(stranger);
    shut(listener);
}

static void test_a_program_of_this_host(void **state)
{
    (void)state;
    be("beam.smp", "local");
    exhaust("a program of this host", take_local);
}

/* A buffer that is none fails as in the kernel, also where the bytes are kept by us. */
static void test_what_is_kept_goes_nowhere(void **state)
{
    enum { PIECE = 5 };
    struct iovec nowhere = {.iov_len = 10};
    struct msghdr message = {.msg_iov = &nowhere, .msg_iovlen = 1};
    struct end server = {.message = status_message, .size = sizeof status_message - 1};
    int listener, stranger;
    ssize_t got = 0;

    (void)state;
    be("beam.smp", "local");
    listener = open_listener(INADDR_LOOPBACK);
    stranger = open_stranger(listener, name_message, PIECE);
    while ((server.fd = call_accept(listener)) < 0) {
    }
    get(&server);
    assert_int_equal(server.have, 0);
    assert_int_equal(send(stranger, name_message + PIECE, sizeof name_message - 1 - PIECE, 0),
                     sizeof name_message - 1 - PIECE);
    assert_true(hooks.receive(server.fd, &message, 0, &got));
    assert_int_equal(got, -1);
    assert_int_equal(errno, EFAULT);
    for (int i = 0; i < ROUNDS; i++) {
        get(&server);
    }
    assert_int_equal(server.have, sizeof name_message - 1);
    assert_memory_equal(server.received, name_message, server.have);
    shut(server.fd);
    shut(stranger);
    shut(listener);
}

/* --- where things listen, and connect from --- */

static size_t make_registration(char bytes[STREAM], in_port_t port)
{
    static const char head[] = "\0\16x..M\0\0\6\0\6\0\1a\0\0";

    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + 3, &port, sizeof port);
    return sizeof head - 1;
}

/* What an EPMD has received of the connection that waits there. */
static size_t received_by(int epmd, char bytes[STREAM])
{
    int fd = accept4(epmd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : recv(fd, bytes, STREAM, 0);

    if (fd >= 0) {
        close(fd);
    }
    return got > 0 ? (size_t)got : 0;
}

/* A node listens everywhere and registers its port; the policy wants it at loopback. Who is told of
 * the port is told of a listener at the right place. */
static void register_node(void)
{
    struct sockaddr_in loopback = at(INADDR_LOOPBACK, 0);
    int epmd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int listener = open_listener(INADDR_ANY);
    struct end client = {.fd = -1};
    char request[STREAM] = "", received[STREAM] = "";
    bool announced;

    assert_int_equal(bind(epmd, (struct sockaddr *)&loopback, sizeof loopback), 0);
    assert_int_equal(listen(epmd, 1), 0);
    dg_core.program.epmd_port = ntohs(address_of(epmd).sin_port);
    if (listener >= 0) {
        client.message = request;
        client.size = make_registration(request, address_of(listener).sin_port);
        client.fd = open_client(epmd);
    }
    for (int i = 0; i < ROUNDS && client.fd >= 0; i++) {
        give(&client);
    }
    armed = false;
    announced = received_by(epmd, received) == client.size && client.size > 0 &&
                memcmp(request, received, client.size) == 0;
    if (!has_failed && !announced) {
        fail_msg("nothing has failed, and yet %zu bytes of %zu were sent", client.sent,
                 client.size);
    }
    if (announced && address_of(listener).sin_addr.s_addr != htonl(INADDR_LOOPBACK)) {
        SAW("%s", "a listener is announced that is open to everybody");
    }
    shut(client.fd);
    shut(listener);
    close(epmd);
}

static void test_a_registration(void **state)
{
    (void)state;
    be("beam.smp", "unknown");
    exhaust("a registration", register_node);
}

/* Whether a connection comes from where the policy wants it cannot be told: then it does not. */
static void test_an_unknown_source(void **state)
{
    const struct dg_rules *rules;
    struct sockaddr_in peer = at(0xC0000207, htons(9100)); /* 192.0.2.7 */
    struct sockaddr_storage there = {0};
    struct dg_error error = {""};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    be("beam.smp", "source");
    memcpy(&there, &peer, sizeof peer);
    rules = dg_rules_hold();
    calls = 0;
    variant = 0;
    failing = 1;
    armed = true;
    assert_false(dg_is_source_right(rules->policy, fd, &there, &error));
    armed = false;
    failing = 0;
    assert_true(error.text[0] != '\0');
    dg_rules_release(rules);
    shut(fd); /* it was there at the start, and is watched */
}

/* --- epmd --- */

static const char names_request[] = "\0\1n";
static const char names_answer[] = "\0\0\x11\x11name a at port 9100\n";

static ssize_t plain_receive(int fd, void *bytes, size_t size, bool peek)
{
    return recv(fd, bytes, size, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

static ssize_t plain_send(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct dg_transport unguarded = {
    .receive = plain_receive, .send = plain_send, .shutdown = shutdown};

/* What epmd's loop does when select has answered. */
static void serve(int listener, struct end *epmd)
{
    struct timeval timeout = {.tv_usec = 5000};
    fd_set readable;
    int found;

    FD_ZERO(&readable);
    FD_SET(listener, &readable);
    if (epmd->fd >= 0 && !epmd->over) {
        FD_SET(epmd->fd, &readable);
    }
    found = hooks.select(FD_SETSIZE, &readable, NULL, NULL, &timeout);
    if (found < 0) {
        SAW("select answers %d, of which epmd may end", errno);
    }
    if (found <= 0) {
        return;
    }
    if (FD_ISSET(listener, &readable)) {
        epmd->fd = hooks.accept(listener, NULL, NULL, 0);
    } else {
        get(epmd);
        give(epmd);
    }
}

/* The client's end, whose own calls never fail. */
static void ask(struct dg_channel *channel, int fd, struct end *client)
{
    struct iovec out = {.iov_len = sizeof names_request - 1};
    struct iovec in = {.iov_base = client->received + client->have,
                       .iov_len = sizeof client->received - client->have};
    const char *request = names_request;
    ssize_t got;

    memcpy(&out.iov_base, &request, sizeof request);
    armed = false;
    if (client->sent == 0) {
        client->sent = dg_channel_send(channel, fd, &out, 1) > 0 ? 1 : 0;
    }
    got = dg_channel_receive(channel, fd, &in, 1, false);
    client->have += got > 0 ? (size_t)got : 0;
    client->over = got == 0 || (got < 0 && errno != EAGAIN);
    armed = true;
}

static void ask_epmd(void)
{
    const struct dg_rules *rules = dg_rules_hold();
    int listener = open_listener(INADDR_LOOPBACK);
    struct end epmd = {.fd = -1, .message = names_answer, .size = sizeof names_answer - 1};
    struct end client = {.fd = -1};
    struct dg_channel *channel =
        dg_channel_new(rules->credentials, DG_CHANNEL_CLIENT, &unguarded, 60);

    if (listener >= 0) {
        client.fd = open_stranger(listener, "", 0);
    }
    for (int i = 0; i < ROUNDS && client.fd >= 0 && client.have < epmd.size && !client.over; i++) {
        ask(channel, client.fd, &client);
        serve(listener, &epmd);
        if (epmd.have > 0 && (epmd.have != 3 || memcmp(epmd.received, names_request, 3) != 0)) {
            SAW("epmd receives %zu bytes that are not the request", epmd.have);
        }
    }
    armed = false;
    if (!has_failed && client.have != epmd.size) {
        fail_msg("nothing has failed, and yet %zu bytes came of %zu", client.have, epmd.size);
    }
    shut(epmd.fd);
    shut(listener);
    dg_channel_free(channel);
    if (client.fd >= 0) {
        close(client.fd);
    }
    dg_rules_release(rules);
}

static void test_epmd(void **state)
{
    (void)state;
    be("epmd", "known");
    peers_are_remote = true;
    exhaust("epmd is asked", ask_epmd);
    peers_are_remote = false;
}

/* --- the start, a reload --- */

static void start_once(void)
{
    char reason[DG_REASON_SIZE] = "";
    enum dg_core_verdict verdict = start("beam.smp", "known", reason);
    bool guarding = verdict == DG_CORE_GUARDING;

    armed = false;
    if (guarding ? reason[0] != '\0' : verdict != DG_CORE_REFUSED || reason[0] == '\0') {
        SAW("start says %d, '%s'", (int)verdict, reason);
    }
    if (!has_failed && !guarding) {
        fail_msg("nothing has failed, and yet: %s", reason);
    }
    if (guarding && dg_core.program.epmd_port != 5369) {
        SAW("the port on the command line is not known: %u", dg_core.program.epmd_port);
    }
}

static void test_the_start(void **state)
{
    (void)state;
    exhaust("the start", start_once);
}

/* --- all of it --- */

static void write_policy(void)
{
    char written[2048];

    (void)snprintf(
        written, sizeof written,
        "version = 1; default_profile = \"known\"; profiles: {\n"
        "unknown: { mode = \"require\"; local = \"deny\"; node_names = \"off\";\n"
        "log: { target = \"%s\"; };\n"
        "tls: { certificate = \"%s\"; private_key = \"%s\"; ca = \"%s\"; }; };\n"
        "known: { inherit = \"unknown\"; distribution: { ports = [ \"1024-65535\" ]; }; };\n"
        "local: { inherit = \"known\"; local = \"same-user\"; };\n"
        "source: { inherit = \"unknown\"; distribution: { connect_from = \"192.0.2.1\"; }; };\n"
        "};\n",
        pki_path("log"), pki_path("ours/node.pem"), pki_path("ours/node.key"),
        pki_path("ours/ca.pem"));
    pki_write("shim.conf", written);
}

static int set_up(void **state)
{
    int made = pki_make(state);

    write_policy();
    return made;
}

static int tear_down(void **state)
{
    dg_rules_drop();
    (void)unlink(pki_path("shim.conf"));
    (void)unlink(pki_path("log"));
    return pki_remove(state);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_nodes),
        cmocka_unit_test(test_a_stranger),
        cmocka_unit_test(test_a_stranger_where_nobody_expects_him),
        cmocka_unit_test(test_a_program_of_this_host),
        cmocka_unit_test(test_what_is_kept_goes_nowhere),
        cmocka_unit_test(test_a_registration),
        cmocka_unit_test(test_an_unknown_source),
        cmocka_unit_test(test_epmd),
        cmocka_unit_test(test_the_start),
    };

    /* The core reads the command line of its process. */
    if (count == 1) {
        execl("/proc/self/exe", arguments[0], "-epmd_port", "5369", NULL);
        return 1;
    }
    return cmocka_run_group_tests_name("system calls that fail", tests, set_up, tear_down);
}
