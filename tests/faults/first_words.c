/*
 * A program that is guarded and does what a node does first: it connects and sends its name. What
 * of that reaches the other end says whether it is guarded: "tls", "plaintext" (which must never
 * be), "nothing", or the "alert" of a handshake for which there was no memory.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char name[] = "\0\41N\x00\x00\x00\x0D\x07\xDF\x7F\xBD\x12\x34\x56\x78\0\22"
                           "a@node.example.org";

/* The other end's calls pass by every library. */
static int open_listener(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || syscall(SYS_bind, fd, address, size) != 0 || syscall(SYS_listen, fd, 1) != 0 ||
        syscall(SYS_getsockname, fd, address, &size) != 0) {
        perror("the other end");
        _exit(1);
    }
    return fd;
}

static const char *what_came(int listener)
{
    enum { ALERT = 0x15, HANDSHAKE = 0x16 }; /* content types, RFC 8446 section 5.1 */
    static const char its_text[] = "example.org";
    char bytes[4096];
    long fd = syscall(SYS_accept4, listener, NULL, NULL, 0);
    long size = syscall(SYS_recvfrom, fd, bytes, sizeof bytes, 0, NULL, NULL);

    if (size <= 0) {
        return "nothing";
    }
    if (memmem(bytes, (size_t)size, its_text, sizeof its_text - 1) != NULL) {
        return "plaintext";
    }
    return bytes[0] == HANDSHAKE ? "tls" : bytes[0] == ALERT ? "alert" : "plaintext";
}

int main(void)
{
    struct sockaddr_in address;
    int listener = open_listener(&address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 &&
                   send(fd, "", 0, MSG_NOSIGNAL) != 0)) {
        puts("nothing");
        return 0;
    }
    (void)send(fd, name, sizeof name - 1, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    puts(what_came(listener));
    return 0;
}
