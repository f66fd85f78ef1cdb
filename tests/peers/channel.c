/*
 * One channel of ours as a program of its own, for the tests that let it talk to other people's
 * TLS.
 *
 *     channel POLICY echo         listens on a port of 127.0.0.1, which it prints first, and sends
 * back to the one who connects whatever comes channel POLICY client PORT  connects there; standard
 * input goes out, what comes goes to standard output
 *
 * Polls level-triggered, as the VM does, and reads and writes only what the poller says. In the end
 * a line on standard error: how the channel ended, and what was agreed. Status 0 where both sides
 * have said close_notify.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/tls/channel.h"

static void need(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "channel: %s: %s\n", what, strerror(errno));
        exit(2);
    }
}

/* --- the kernel's side --- */

static ssize_t receive_now(int fd, void *bytes, size_t size, bool peek)
{
    return recv(fd, bytes, size, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

static ssize_t send_now(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const struct dg_transport transport = {
    .receive = receive_now, .send = send_now, .shutdown = shutdown};

static int listen_and_accept(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd;

    need(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
             listen(listener, 1) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &size) == 0,
         "listening");
    (void)printf("%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    fd = accept(listener, NULL, NULL);
    need(fd >= 0, "accept");
    (void)close(listener);
    return fd;
}

static int connect_to(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    need(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    return fd;
}

/* --- what passes --- */

/* Bytes on their way in one direction. */
struct pipe_end {
    int fd; /* -1: ended */
    char bytes[65536];
    size_t start;
    size_t end;
};

static bool is_empty(const struct pipe_end *side)
{
    return side->start == side->end;
}

struct relay {
    struct dg_channel *channel;
    int socket;
    struct pipe_end from; /* what is to be sent is read here */
    struct pipe_end to;   /* what was received is written here */
};

static bool has_ended(const struct relay *relay)
{
    return dg_channel_get_state(relay->channel) > DG_CHANNEL_OPEN;
}

/* Nothing is to be taken from the input before it can be sent. */
static bool wants_input(const struct relay *relay)
{
    return is_empty(&relay->from) && dg_channel_get_state(relay->channel) != DG_CHANNEL_HANDSHAKE;
}

static void read_input(struct relay *relay)
{
    struct pipe_end *from = &relay->from;
    ssize_t count = read(from->fd, from->bytes, sizeof from->bytes);

    if (count <= 0) {
        from->fd = -1;
        dg_channel_end_sending(relay->channel, relay->socket);
        return;
    }
    from->start = 0;
    from->end = (size_t)count;
}

static void send_more(struct relay *relay)
{
    struct pipe_end *from = &relay->from;
    struct iovec vector = {.iov_base = from->bytes + from->start,
                           .iov_len = from->end - from->start};
    ssize_t count = dg_channel_send(relay->channel, relay->socket, &vector, 1);

    from->start += count > 0 ? (size_t)count : 0;
}

static void receive_more(struct relay *relay)
{
    struct pipe_end *to = &relay->to;
    struct iovec vector = {.iov_base = to->bytes, .iov_len = sizeof to->bytes};
    ssize_t count = dg_channel_receive(relay->channel, relay->socket, &vector, 1, false);

    if (count > 0) {
        to->start = 0;
        to->end = (size_t)count;
    }
}

static void write_output(struct relay *relay)
{
    struct pipe_end *to = &relay->to;
    ssize_t count = write(to->fd, to->bytes + to->start, to->end - to->start);

    need(count >= 0, "write");
    to->start += (size_t)count;
}

static void wait_and_pass(struct relay *relay)
{
    short socket_events = (short)((is_empty(&relay->to) && !has_ended(relay) ? POLLIN : 0) |
                                  (is_empty(&relay->from) ? 0 : POLLOUT));
    struct pollfd polled[] = {
        {.fd = socket_events != 0 ? relay->socket : -1, .events = socket_events},
        {.fd = wants_input(relay) ? relay->from.fd : -1, .events = POLLIN},
        {.fd = is_empty(&relay->to) ? -1 : relay->to.fd, .events = POLLOUT},
    };

    need(poll(polled, 3, -1) > 0, "poll");
    if (polled[1].revents != 0) {
        read_input(relay);
    }
    if (polled[2].revents != 0) {
        write_output(relay);
    }
    if ((polled[0].revents & POLLOUT) != 0) {
        send_more(relay);
    }
    if ((polled[0].revents & ~POLLOUT) != 0 && is_empty(&relay->to)) {
        receive_more(relay);
    }
}

/* Until the peer has ended and, if it wants its echo, has all of it. */
static void run(struct relay *relay, bool echo)
{
    while (dg_channel_get_state(relay->channel) != DG_CHANNEL_FAILED) {
        if (has_ended(relay) && is_empty(&relay->to) && relay->to.fd >= 0) {
            (void)close(relay->to.fd);
            relay->to.fd = -1;
        }
        if (relay->to.fd < 0 && (!echo || (relay->from.fd < 0 && is_empty(&relay->from)))) {
            break;
        }
        wait_and_pass(relay);
    }
}

static struct relay the_relay; /* too large for the stack */

/* What comes goes into a pipe, and out of it again. */
static void make_echo(void)
{
    int ends[2];

    need(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    the_relay.from.fd = ends[0];
    the_relay.to.fd = ends[1];
}

static struct dg_credentials *load(const char *path, struct dg_policy **policy)
{
    struct dg_credentials *credentials;
    struct dg_error error;

    if (dg_tls_start(&error) != 0 || dg_policy_load(path, NULL, policy, &error) != 0 ||
        dg_credentials_load(*policy, &credentials, &error) != 0) {
        (void)fprintf(stderr, "channel: %s\n", error.text);
        exit(2);
    }
    return credentials;
}

int main(int count, char **arguments)
{
    bool echo = count == 3 && strcmp(arguments[2], "echo") == 0;
    struct dg_credentials *credentials;
    struct dg_policy *policy;
    int status;

    if (!echo && (count != 4 || strcmp(arguments[2], "client") != 0)) {
        (void)fprintf(stderr, "usage: channel POLICY echo | channel POLICY client PORT\n");
        return 2;
    }
    credentials = load(arguments[1], &policy);
    the_relay.from.fd = STDIN_FILENO;
    the_relay.to.fd = STDOUT_FILENO;
    if (echo) {
        make_echo();
    }
    the_relay.socket = echo ? listen_and_accept() : connect_to(arguments[3]);
    the_relay.channel = dg_channel_new(credentials, echo ? DG_CHANNEL_SERVER : DG_CHANNEL_CLIENT,
                                       &transport, policy->tls.handshake_timeout);
    need(the_relay.channel != NULL, "channel");
    if (!echo) {
        receive_more(&the_relay); /* sends the ClientHello */
    }
    run(&the_relay, echo);
    status = dg_channel_get_state(the_relay.channel) == DG_CHANNEL_PEER_CLOSED ? 0 : 1;
    (void)fprintf(stderr, "%s %s %s %s\n",
                  status == 0 ? "closed" : dg_channel_reason(the_relay.channel),
                  dg_channel_version(the_relay.channel), dg_channel_cipher(the_relay.channel),
                  dg_channel_group(the_relay.channel));
    dg_channel_close(the_relay.channel, the_relay.socket);
    (void)close(the_relay.socket);
    dg_channel_free(the_relay.channel);
    dg_credentials_free(credentials);
    dg_policy_free(policy);
    return status;
}
