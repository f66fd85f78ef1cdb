/* Every call that reads, and every call that writes, as functions of one shape. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/probes/probe.h"

enum { PIECES = 5 };

/* The bytes in two halves, among empty entries. */
static void cut(struct iovec vector[PIECES], void *bytes, size_t size)
{
    size_t half = size / 2;

    vector[0] = (struct iovec){.iov_base = NULL, .iov_len = 0};
    vector[1] = (struct iovec){.iov_base = bytes, .iov_len = half};
    vector[2] = (struct iovec){.iov_base = bytes, .iov_len = 0};
    vector[3] = (struct iovec){.iov_base = (char *)bytes + half, .iov_len = size - half};
    vector[4] = (struct iovec){.iov_base = NULL, .iov_len = 0};
}

static ssize_t call_readv(int fd, void *bytes, size_t size)
{
    struct iovec vector[PIECES];

    cut(vector, bytes, size);
    return readv(fd, vector, PIECES);
}

static ssize_t call_recv(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, 0);
}

static ssize_t call_recvfrom(int fd, void *bytes, size_t size)
{
    struct sockaddr_storage address;
    socklen_t address_size = sizeof address;

    return recvfrom(fd, bytes, size, 0, (struct sockaddr *)&address, &address_size);
}

static ssize_t call_recvmsg(int fd, void *bytes, size_t size)
{
    struct iovec vector[PIECES];
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = PIECES};

    cut(vector, bytes, size);
    return recvmsg(fd, &message, 0);
}

static ssize_t call_recvmmsg(int fd, void *bytes, size_t size)
{
    struct iovec vector[PIECES];
    struct mmsghdr message = {.msg_hdr = {.msg_iov = vector, .msg_iovlen = PIECES}};
    int count;

    cut(vector, bytes, size);
    count = recvmmsg(fd, &message, 1, MSG_WAITFORONE, NULL);
    return count == 1 ? (ssize_t)message.msg_len : count;
}

static ssize_t call_writev(int fd, const void *bytes, size_t size)
{
    struct iovec vector[PIECES];

    cut(vector, (void *)bytes, size);
    return writev(fd, vector, PIECES);
}

static ssize_t call_send(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, 0);
}

static ssize_t call_sendto(int fd, const void *bytes, size_t size)
{
    return sendto(fd, bytes, size, 0, NULL, 0);
}

static ssize_t call_sendmsg(int fd, const void *bytes, size_t size)
{
    struct iovec vector[PIECES];
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = PIECES};

    cut(vector, (void *)bytes, size);
    return sendmsg(fd, &message, 0);
}

static ssize_t call_sendmmsg(int fd, const void *bytes, size_t size)
{
    struct iovec vector[PIECES];
    struct mmsghdr message = {.msg_hdr = {.msg_iov = vector, .msg_iovlen = PIECES}};
    int count;

    cut(vector, (void *)bytes, size);
    count = sendmmsg(fd, &message, 1, 0);
    return count == 1 ? (ssize_t)message.msg_len : count;
}

/* From a file of its own; without an offset, so that the file's is moved. */
static ssize_t call_sendfile(int fd, const void *bytes, size_t size)
{
    int file = memfd_create("distguard-probe", MFD_CLOEXEC);
    ssize_t result;
    int error;

    if (file < 0 || pwrite(file, bytes, size, 0) != (ssize_t)size) {
        give_up("memfd_create");
    }
    errno = ERRNO_BEFORE;
    result = sendfile(fd, file, NULL, size);
    error = errno;
    if (result > 0 && lseek(file, 0, SEEK_CUR) != result) {
        error = EBADMSG;
    }
    (void)close(file);
    errno = error;
    return result;
}

const struct reader readers[] = {
    {"read", read, false},
    {"readv", call_readv, false},
    {"recv", call_recv, true},
    {"recvfrom", call_recvfrom, true},
    {"recvmsg", call_recvmsg, true},
    {"recvmmsg", call_recvmmsg, true},
    {"fortified read", read_fortified, false},
    {"fortified recv", recv_fortified, true},
    {"fortified recvfrom", recvfrom_fortified, true},
};
const size_t reader_count = sizeof readers / sizeof readers[0];

const struct writer writers[] = {
    {"write", write, false},
    {"writev", call_writev, false},
    {"send", call_send, true},
    {"sendto", call_sendto, true},
    {"sendmsg", call_sendmsg, true},
    {"sendmmsg", call_sendmmsg, true},
    {"sendfile", call_sendfile, false},
};
const size_t writer_count = sizeof writers / sizeof writers[0];
