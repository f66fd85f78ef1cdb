/* peer server SCENARIO [VARIANT], which tells its port, and peer client PORT SCENARIO [VARIANT]. */
#include "tests/probes/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SECONDS = 60 };

/* Length, 'N', the flags of an OTP 25 node, creation, length of the name, name. */
const uint8_t name_message[NAME_MESSAGE + 1] =
    "\0\x3eN\0\0\0\x0d\x07\xdf\x7f\xbd\0\0\0\1\0\x2f" MARKER "@host.example.org!!!";
/* The answer of a node that lets the other in: the challenge, and the ack that ends the handshake.
 */
enum { WELCOME = 2 + 22 + 2 + 17 };
static const uint8_t welcome[WELCOME + 1] =
    "\0\x16N\0\0\0\x0d\x07\xdf\x7f\xbd\1\2\3\4\0\0\0\1\0\3a@b"
    "\0\x11"
    "a0123456789abcdef";
const char *variant = "";

static const struct {
    const char *name;
    client_function *client;
    server_function *server;
} scenarios[] = {
    {"calls", calls_client, calls_server},          {"flags", flags_client, flags_server},
    {"copies", copies_client, copies_server},       {"children", children_client, children_server},
    {"ending", ending_client, ending_server},       {"refused", refused_client, refused_server},
    {"framed", framed_client, framed_server},       {"flood", flood_client, flood_server},
    {"stalled", stalled_client, stalled_server},    {"early", early_client, early_server},
    {"stream", stream_client, stream_server},       {"taken", taken_client, taken_server},
    {"replaced", replaced_client, replaced_server}, {"another", another_client, another_server},
    {"apart", apart_client, apart_server},          {"handed", handed_client, handed_server},
};

void want(const char *what, ssize_t saw, ssize_t wanted)
{
    if (saw != wanted) {
        fprintf(stderr, "%s: saw %zd (%s), wanted %zd\n", what, saw,
                saw < 0 ? strerrorname_np(errno) : "", wanted);
        exit(1);
    }
}

void want_errno(const char *what, struct outcome outcome, int wanted)
{
    const char *name = strerrorname_np(outcome.error);

    want(what, outcome.result, -1);
    if (outcome.error != wanted) {
        fprintf(stderr, "%s: saw %s, wanted %s\n", what, name != NULL ? name : "errno untouched",
                strerrorname_np(wanted));
        exit(1);
    }
}

void want_bytes(const char *what, const void *saw, const void *wanted, size_t size)
{
    if (memcmp(saw, wanted, size) != 0) {
        fprintf(stderr, "%s: saw \"%.*s\", wanted \"%.*s\"\n", what, (int)size, (const char *)saw,
                (int)size, (const char *)wanted);
        exit(1);
    }
}

int begin_by(int port, const struct writer *writer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    want("connect", connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    want(writer->name, writer->call(fd, name_message, NAME_MESSAGE), NAME_MESSAGE);
    return fd;
}

int begin(int port)
{
    return begin_by(port, &writers[0]);
}

static void want_welcome(int fd)
{
    uint8_t bytes[WELCOME];

    receive_all(fd, bytes, WELCOME);
    want_bytes("welcome", bytes, welcome, WELCOME);
}

int join_by(int port, const struct writer *writer)
{
    int fd = begin_by(port, writer);

    want_welcome(fd);
    return fd;
}

void begin_on(int fd)
{
    send_all(fd, name_message, NAME_MESSAGE);
    want_welcome(fd);
}

int join(int port)
{
    return join_by(port, &writers[0]);
}

int let_in(int listener)
{
    uint8_t bytes[NAME_MESSAGE];
    int fd = accept(listener, NULL, NULL);

    want("accept", fd >= 0, 1);
    receive_all(fd, bytes, NAME_MESSAGE);
    want_bytes("name message", bytes, name_message, NAME_MESSAGE);
    send_all(fd, welcome, WELCOME);
    return fd;
}

void send_all(int fd, const void *bytes, size_t size)
{
    want("write", write(fd, bytes, size), (ssize_t)size);
}

void receive_all_by(const struct reader *reader, int fd, void *bytes, size_t size)
{
    size_t got = 0;

    while (got < size) {
        struct outcome outcome = CALL(reader->call(fd, (char *)bytes + got, size - got));

        errno = outcome.error;
        if (outcome.result <= 0) {
            want(reader->name, outcome.result, (ssize_t)(size - got));
        }
        want("errno of a call that succeeds", outcome.error, ERRNO_BEFORE);
        got += (size_t)outcome.result;
    }
}

void receive_all(int fd, void *bytes, size_t size)
{
    receive_all_by(&readers[0], fd, bytes, size);
}

static void want_text(int fd, const char *what, const void *text, size_t size)
{
    char bytes[256];

    want("a text that fits", size <= sizeof bytes, 1);
    receive_all(fd, bytes, size);
    want_bytes(what, bytes, text, size);
}

void ask(int fd, const void *text, size_t size)
{
    send_all(fd, text, size);
    want_text(fd, "answer", text, size);
}

void answer(int fd, const char *what, const void *text, size_t size)
{
    want_text(fd, what, text, size);
    send_all(fd, text, size);
}

void want_end(int fd)
{
    char byte;

    want("read at the end", read(fd, &byte, 1), 0);
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        give_up("listen");
    }
    printf("port %d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

static int run(bool server, int port, const char *scenario)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, scenario) != 0) {
            continue;
        }
        if (server) {
            scenarios[i].server(listen_somewhere());
        } else {
            scenarios[i].client(port);
        }
        return 0;
    }
    return 2;
}

int main(int count, char **arguments)
{
    bool server = count > 1 && strcmp(arguments[1], "server") == 0;
    int at = server ? 2 : 3;

    if (count > 1 && strcmp(arguments[1], "inherited") == 0) {
        inherited(count - 2, arguments + 2);
        return 0;
    }
    (void)alarm(SECONDS);
    (void)signal(SIGPIPE, SIG_IGN);
    if (count <= at) {
        return 2;
    }
    if (count > at + 1) {
        variant = arguments[at + 1];
    }
    return run(server, server ? 0 : (int)strtol(arguments[2], NULL, 10), arguments[at]);
}
