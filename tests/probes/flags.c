/* Flags of the data calls, O_NONBLOCK, time limits. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/probes/probe.h"

static const char digits[] = "0123456789";

static void probe_peek(const char *on, struct ends ends)
{
    char bytes[16];

    (void)wait_for_bytes(ends.from);
    report_bytes("recv MSG_PEEK", on, CALL(recv(ends.from, bytes, 3, MSG_PEEK)), bytes);
    report_bytes("recv MSG_PEEK again", on, CALL(recv(ends.from, bytes, 16, MSG_PEEK)), bytes);
    report_bytes("recv MSG_DONTWAIT", on, CALL(recv(ends.from, bytes, 4, MSG_DONTWAIT)), bytes);
    report("recv MSG_TRUNC", on, CALL(recv(ends.from, bytes, 2, MSG_TRUNC | MSG_DONTWAIT)));
    report_bytes("recv the rest", on, CALL(recv(ends.from, bytes, 16, MSG_DONTWAIT)), bytes);
    report("recv MSG_DONTWAIT of nothing", on, CALL(recv(ends.from, bytes, 4, MSG_DONTWAIT)));
    report("recv MSG_PEEK of nothing", on,
           CALL(recv(ends.from, bytes, 4, MSG_PEEK | MSG_DONTWAIT)));
    report("recv MSG_OOB", on, CALL(recv(ends.from, bytes, 1, MSG_OOB | MSG_DONTWAIT)));
    report("recv MSG_ERRQUEUE", on, CALL(recv(ends.from, bytes, 1, MSG_ERRQUEUE | MSG_DONTWAIT)));
}

static void probe_no_wait(const char *on, struct ends ends)
{
    const struct timeval limit = {.tv_usec = 5000};
    char bytes[16];
    bool limited = setsockopt(ends.from, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0;

    for (size_t i = 0; limited && i < reader_count; i++) {
        report(readers[i].name, "SO_RCVTIMEO", CALL(readers[i].call(ends.from, bytes, 16)));
    }
    (void)fcntl(ends.from, F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < reader_count; i++) {
        report(readers[i].name, on, CALL(readers[i].call(ends.from, bytes, 16)));
    }
}

static void probe_send_flags(const char *on, struct ends ends)
{
    report("send MSG_DONTWAIT", on, CALL(send(ends.to, digits, 10, MSG_DONTWAIT)));
    report("send MSG_NOSIGNAL", on, CALL(send(ends.to, digits, 10, MSG_NOSIGNAL)));
    report("send MSG_MORE", on, CALL(send(ends.to, digits, 10, MSG_MORE)));
    report("send MSG_EOR", on, CALL(send(ends.to, digits, 10, MSG_EOR)));
    report("shutdown SHUT_WR", on, CALL(shutdown(ends.to, SHUT_WR)));
    report("send after shutdown", on, CALL(send(ends.to, digits, 10, MSG_NOSIGNAL)));
}

/* Writes what is missing a little later. */
static void *write_later(void *argument)
{
    (void)usleep(20000);
    (void)!write(*(int *)argument, digits, 9);
    return NULL;
}

/* MSG_WAITALL, the first byte and the rest in two writes. */
static void probe_wait_all(const char *on, struct ends ends, const char *first)
{
    pthread_t thread;
    char bytes[16];

    if (write(ends.to, first, 1) != 1 || !wait_for_bytes(ends.from) ||
        pthread_create(&thread, NULL, write_later, &ends.to) != 0) {
        give_up("MSG_WAITALL");
    }
    report_bytes("recv MSG_WAITALL", on, CALL(recv(ends.from, bytes, 10, MSG_WAITALL)), bytes);
    (void)pthread_join(thread, NULL);
}

/* Without MSG_WAITFORONE every message is waited for. */
static void probe_messages(const char *on, struct ends ends, int flags)
{
    char bytes[2][1];
    struct iovec vectors[2] = {{bytes[0], 1}, {bytes[1], 1}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &vectors[0], .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = &vectors[1], .msg_iovlen = 1}}};
    pthread_t thread;

    if (write(ends.to, "", 1) != 1 || !wait_for_bytes(ends.from) ||
        pthread_create(&thread, NULL, write_later, &ends.to) != 0) {
        give_up("recvmmsg");
    }
    report("recvmmsg of two", on, CALL(recvmmsg(ends.from, messages, 2, flags, NULL)));
    (void)pthread_join(thread, NULL);
}

static void on_each(void (*probe)(const char *on, struct ends ends), bool with_bytes)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct ends ends = kinds[i].open();

        if (!with_bytes || (kinds[i].carries_bytes && write(ends.to, digits, 10) == 10)) {
            probe(kinds[i].name, ends);
        }
        close_ends(ends);
    }
}

static void on_each_that_carries(void (*probe)(const char *on, struct ends ends))
{
    for (size_t i = 0; i < kind_count; i++) {
        if (kinds[i].carries_bytes && kinds[i].open != kinds[0].open) {
            struct ends ends = kinds[i].open();

            probe(kinds[i].name, ends);
            close_ends(ends);
        }
    }
}

void probe_flags(void)
{
    static const char *const firsts[] = {"h", "\0", "\x16"};

    on_each(probe_peek, true);
    on_each(probe_send_flags, false);
    on_each_that_carries(probe_no_wait);
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        struct ends ends = tcp_ends();

        probe_wait_all("TCP", ends, firsts[i]);
        close_ends(ends);
    }
    for (int flags = 0; flags <= MSG_WAITFORONE; flags += MSG_WAITFORONE) {
        struct ends ends = tcp_ends();

        probe_messages(flags == 0 ? "all" : "MSG_WAITFORONE", ends, flags);
        close_ends(ends);
    }
}
