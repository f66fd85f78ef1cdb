/* Connections that pass from program to program: over a Unix socket, or through exec. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/probes/peer.h"

static const char text[] = MARKER MARKER;

/* As another program would have made it, which nobody guards. */
static int connect_unseen(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);

    want("connect", syscall(SYS_connect, fd, &address, sizeof address), 0);
    return fd;
}

/* `length` is what the message says of itself: CMSG_LEN(sizeof fd), or a lie. */
static struct outcome hand_on_as(int way, int fd, size_t length)
{
    char byte = 'h';
    struct iovec vector = {&byte, 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {.head = {length, SOL_SOCKET, SCM_RIGHTS}};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector,
                                          .msg_iovlen = 1,
                                          .msg_control = &control,
                                          .msg_controllen = sizeof control}};

    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    return strcmp(variant, "many") == 0 ? CALL(sendmmsg(way, &message, 1, 0))
                                        : CALL(sendmsg(way, &message.msg_hdr, 0));
}

static struct outcome hand_on(int way, int fd)
{
    return hand_on_as(way, fd, CMSG_LEN(sizeof fd));
}

static int take(int way)
{
    char byte;
    struct iovec vector = {&byte, 1};
    int fd = -1;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control;
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector,
                                          .msg_iovlen = 1,
                                          .msg_control = &control,
                                          .msg_controllen = sizeof control}};

    want("recvmsg",
         strcmp(variant, "many") == 0 ? recvmmsg(way, &message, 1, 0, NULL)
                                      : recvmsg(way, &message.msg_hdr, 0),
         1);
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

/* The connection as a node uses it, from its first bytes on. */
static void use(int fd)
{
    begin_on(fd);
    ask(fd, text, sizeof text);
}

void handed_client(int port)
{
    const char *inherited = getenv("HANDED");
    char number[16];
    int ways[2];
    int fd;

    if (inherited != NULL) {
        use((int)strtol(inherited, NULL, 10));
        return;
    }
    fd = connect_unseen(port);
    if (strcmp(variant, "exec") == 0) {
        (void)snprintf(number, sizeof number, "%d", fd);
        (void)setenv("HANDED", number, 1);
        (void)execl("/proc/self/exe", "peer", "client", "0", "handed", NULL);
        give_up("exec");
    }
    want("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ways), 0);
    want_errno("a length beyond the message", hand_on_as(ways[0], fd, (size_t)1 << 30), EINVAL);
    want_errno("a length beyond the memory", hand_on_as(ways[0], fd, SIZE_MAX), EINVAL);
    want("handing on what is not guarded", hand_on(ways[0], fd).result, 1);
    (void)syscall(SYS_close, fd);
    fd = take(ways[1]);
    use(fd);
    want_errno("handing on what is guarded", hand_on(ways[0], fd), EOPNOTSUPP);
}

void handed_server(int listener)
{
    int fd = let_in(listener);
    char byte;

    answer(fd, "by what was handed on", text, sizeof text);
    want("the end", read(fd, &byte, 1) <= 0, 1);
}
