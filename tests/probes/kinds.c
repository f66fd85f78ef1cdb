/* Descriptors of every kind that distguard has no business with. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/probes/probe.h"

enum { LOOPBACK_MILLISECONDS = 5000, NEVER_OPENED = 900 };

bool wait_for_bytes(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    return poll(&ready, 1, LOOPBACK_MILLISECONDS) == 1;
}

void close_ends(struct ends ends)
{
    if (ends.from >= 0) {
        (void)close(ends.from);
    }
    if (ends.to >= 0 && ends.to != ends.from) {
        (void)close(ends.to);
    }
}

/* Two descriptors of one file, so that each has its own offset. */
static struct ends file_ends(void)
{
    char path[] = "/tmp/distguard-probe-XXXXXX";
    struct ends ends = {.to = mkstemp(path)};

    ends.from = open(path, O_RDONLY);
    if (ends.to < 0 || ends.from < 0 || unlink(path) != 0) {
        give_up(path);
    }
    return ends;
}

static struct ends pipe_ends(void)
{
    int ends[2];

    if (pipe(ends) != 0) {
        give_up("pipe");
    }
    return (struct ends){.from = ends[0], .to = ends[1]};
}

static struct ends unix_ends(int type)
{
    int ends[2];

    if (socketpair(AF_UNIX, type, 0, ends) != 0) {
        give_up("socketpair");
    }
    return (struct ends){.from = ends[0], .to = ends[1]};
}

static struct ends unix_stream_ends(void)
{
    return unix_ends(SOCK_STREAM);
}

static struct ends unix_datagram_ends(void)
{
    return unix_ends(SOCK_DGRAM);
}

static struct ends unix_packet_ends(void)
{
    return unix_ends(SOCK_SEQPACKET);
}

static int bound(int type, struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, type, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof *address) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) != 0) {
        give_up("socket on loopback");
    }
    return fd;
}

static struct ends udp_ends(void)
{
    struct sockaddr_in address;
    struct ends ends = {.from = bound(SOCK_DGRAM, &address)};

    ends.to = socket(AF_INET, SOCK_DGRAM, 0);
    if (ends.to < 0 || connect(ends.to, (struct sockaddr *)&address, sizeof address) != 0) {
        give_up("udp");
    }
    return ends;
}

struct ends tcp_ends(void)
{
    struct sockaddr_in address;
    int listener = bound(SOCK_STREAM, &address);
    struct ends ends;

    if (listen(listener, 1) != 0) {
        give_up("listen");
    }
    ends.to = socket(AF_INET, SOCK_STREAM, 0);
    if (ends.to < 0 || connect(ends.to, (struct sockaddr *)&address, sizeof address) != 0) {
        give_up("connect");
    }
    ends.from = accept(listener, NULL, NULL);
    if (ends.from < 0 || close(listener) != 0) {
        give_up("accept");
    }
    return ends;
}

static struct ends tcp_backwards_ends(void)
{
    struct ends ends = tcp_ends();

    return (struct ends){.from = ends.to, .to = ends.from};
}

static struct ends tcp_listener_ends(void)
{
    struct sockaddr_in address;
    int fd = bound(SOCK_STREAM, &address);

    if (listen(fd, 1) != 0) {
        give_up("listen");
    }
    return (struct ends){.from = fd, .to = fd};
}

static struct ends tcp_fresh_ends(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return (struct ends){.from = fd, .to = fd};
}

static struct ends null_ends(void)
{
    int fd = open("/dev/null", O_RDWR);

    return (struct ends){.from = fd, .to = fd};
}

/* Its counter counts down from 7, so that nothing waits. */
static struct ends eventfd_ends(void)
{
    int fd = eventfd(7, EFD_SEMAPHORE);

    return (struct ends){.from = fd, .to = fd};
}

static struct ends no_ends(void)
{
    return (struct ends){.from = -1, .to = -1};
}

static struct ends never_opened_ends(void)
{
    return (struct ends){.from = NEVER_OPENED, .to = NEVER_OPENED};
}

static struct ends closed_ends(void)
{
    struct ends ends = tcp_ends();

    close_ends(ends);
    return ends;
}

const struct kind kinds[] = {
    {"file", file_ends, true, false},
    {"pipe", pipe_ends, true, false},
    {"Unix stream", unix_stream_ends, true, false},
    {"Unix datagram", unix_datagram_ends, true, false},
    {"Unix packets", unix_packet_ends, true, false},
    {"UDP", udp_ends, true, false},
    {"TCP client to server", tcp_ends, true, true},
    {"TCP server to client", tcp_backwards_ends, true, true},
    {"TCP listener", tcp_listener_ends, false, true},
    {"TCP socket, not connected", tcp_fresh_ends, false, true},
    {"/dev/null", null_ends, false, false},
    {"eventfd", eventfd_ends, false, false},
    {"-1", no_ends, false, false},
    {"descriptor never opened", never_opened_ends, false, false},
    {"descriptor closed", closed_ends, false, true},
};
const size_t kind_count = sizeof kinds / sizeof kinds[0];

#define PAYLOAD(name, text)                                                                        \
    {                                                                                              \
        name, text, sizeof(text) - 1                                                               \
    }
const struct payload payloads[] = {
    PAYLOAD("text", "hello"),
    PAYLOAD("a TLS record's head", "\x16\x03\x01\x02\x00"),
    PAYLOAD("one TLS byte", "\x16"),
    PAYLOAD("one zero byte", "\0"),
    PAYLOAD("a length that a name message may have", "\0\x20"),
    PAYLOAD("length and tag of a name message", "\0\x20N"),
    PAYLOAD("length and another tag", "\0\x20X"),
    PAYLOAD("length and tag of an old name message", "\0\x15n"),
    PAYLOAD("an old name message of another version", "\0\x15n\0\6"),
    PAYLOAD("a name message's head without its flags", "\0\x20N\0\0\0\0\0\0\0\0\0\0\0\0\0\3a@b"),
    PAYLOAD("a request line", "GET / HTTP/1.1\r\n\r\n"),
    PAYLOAD("one high byte", "\x83"),
};
const size_t payload_count = sizeof payloads / sizeof payloads[0];
