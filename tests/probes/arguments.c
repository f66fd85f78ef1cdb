/* Arguments that are empty, absent or absurd. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/probes/probe.h"

/* The compiler must not know them, or it warns. */
static void *volatile nowhere;
static volatile int less_than_none = -1;
static volatile int too_many = IOV_MAX + 1;

static void probe_reads(const char *on, int fd)
{
    struct iovec vector[2] = {{nowhere, 5}, {nowhere, 5}};
    struct iovec empty[2] = {{nowhere, 0}, {nowhere, 0}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
    struct msghdr none = {.msg_iov = nowhere, .msg_iovlen = 0};

    report("read of 0 bytes", on, CALL(read(fd, nowhere, 0)));
    report("read to NULL", on, CALL(read(fd, nowhere, 5)));
    report("recv to NULL", on, CALL(recv(fd, nowhere, 5, MSG_DONTWAIT)));
    report("readv of 0 parts", on, CALL(readv(fd, nowhere, 0)));
    report("readv of empty parts", on, CALL(readv(fd, empty, 2)));
    report("readv of -1 parts", on, CALL(readv(fd, vector, less_than_none)));
    report("readv of too many parts", on, CALL(readv(fd, vector, too_many)));
    report("readv to NULL", on, CALL(readv(fd, vector, 2)));
    report("recvmsg of NULL", on, CALL(recvmsg(fd, nowhere, MSG_DONTWAIT)));
    report("recvmsg to NULL", on, CALL(recvmsg(fd, &message, MSG_DONTWAIT)));
    report("recvmsg of no parts", on, CALL(recvmsg(fd, &none, MSG_DONTWAIT)));
    report("recvmmsg of no messages", on, CALL(recvmmsg(fd, nowhere, 0, MSG_DONTWAIT, NULL)));
}

static void probe_writes(const char *on, int fd)
{
    struct iovec vector[2] = {{nowhere, 5}, {nowhere, 5}};
    struct iovec empty[2] = {{nowhere, 0}, {nowhere, 0}};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};

    report("write of 0 bytes", on, CALL(write(fd, nowhere, 0)));
    report("write from NULL", on, CALL(write(fd, nowhere, 5)));
    report("send from NULL", on, CALL(send(fd, nowhere, 5, MSG_NOSIGNAL)));
    report("sendto from NULL", on, CALL(sendto(fd, nowhere, 5, MSG_NOSIGNAL, NULL, 0)));
    report("writev of 0 parts", on, CALL(writev(fd, nowhere, 0)));
    report("writev of empty parts", on, CALL(writev(fd, empty, 2)));
    report("writev of -1 parts", on, CALL(writev(fd, vector, less_than_none)));
    report("writev of too many parts", on, CALL(writev(fd, vector, too_many)));
    report("writev from NULL", on, CALL(writev(fd, vector, 2)));
    report("sendmsg of NULL", on, CALL(sendmsg(fd, nowhere, MSG_NOSIGNAL)));
    report("sendmsg from NULL", on, CALL(sendmsg(fd, &message, MSG_NOSIGNAL)));
    report("sendmmsg of no messages", on, CALL(sendmmsg(fd, nowhere, 0, 0)));
}

/* Datagrams of no bytes would wake the reads; here only streams and what is no socket at all. */
void probe_arguments(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct ends ends = kinds[i].open();

        if (!kinds[i].carries_bytes || kinds[i].is_tcp) {
            if (kinds[i].is_tcp && kinds[i].carries_bytes) {
                report("read of 0 bytes from nothing", kinds[i].name,
                       CALL(read(ends.from, nowhere, 0)));
                report("first write", kinds[i].name, CALL(write(ends.from, "hello", 5)));
            }
            probe_writes(kinds[i].name, ends.to);
            report("write", kinds[i].name, CALL(write(ends.to, "01234567", 8)));
            (void)(kinds[i].carries_bytes && wait_for_bytes(ends.from));
            probe_reads(kinds[i].name, ends.from);
        }
        close_ends(ends);
    }
}
