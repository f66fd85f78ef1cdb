/* Another preloaded library, whose constructor makes calls before ours may have run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    char line[80];
    int size = snprintf(line, sizeof line, "constructor: %s: %ld\n", what, result);

    (void)!write(STDOUT_FILENO, line, (size_t)size);
}

/* A connection within this process: the listener, the client, the server. */
static void connect_pair(int pair[3])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    say("bind", bind(pair[0], (struct sockaddr *)&address, size));
    say("listen", listen(pair[0], 1));
    (void)getsockname(pair[0], (struct sockaddr *)&address, &size);
    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    say("connect", connect(pair[1], (struct sockaddr *)&address, size));
    pair[2] = accept(pair[0], NULL, NULL);
}

__attribute__((constructor)) static void start(void)
{
    char bytes[8] = "";
    int pair[3];
    int copy;

    connect_pair(pair);
    copy = dup(pair[1]);
    say("write", write(copy, "hello", 5));
    say("close", close(pair[1]));
    say("fcntl", fcntl(pair[2], F_GETFD));
    say("read", read(pair[2], bytes, sizeof bytes));
    say("bytes", memcmp(bytes, "hello", 5));
    copy = dup2(copy, pair[2]);
    say("dup2", copy == pair[2] ? 0 : -1);
    say("close", close(copy));
    say("close twice", close(copy));
    say("errno", errno);
}
