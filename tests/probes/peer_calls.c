/* Each call on a guarded connection: what passes, in which form, and what is refused. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/probes/peer.h"

static const char text[] = "0123456789 " MARKER " 0123456789";

/* --- every writing call against every reading one --- */

static void exchange(int fd, const struct writer *writer, const struct reader *reader, bool first)
{
    char bytes[sizeof text] = "";

    for (int turn = 0; turn < 4; turn++) {
        if ((turn % 2 == 0) == first) {
            struct outcome outcome = CALL(writer->call(fd, text, sizeof text));

            want(writer->name, outcome.result, sizeof text);
            want("errno of a call that succeeds", outcome.error, ERRNO_BEFORE);
        } else {
            receive_all_by(reader, fd, bytes, sizeof bytes);
            want_bytes(reader->name, bytes, text, sizeof text);
        }
    }
}

void calls_client(int port)
{
    for (size_t i = 0; i < writer_count * reader_count; i++) {
        const struct writer *writer = &writers[i % writer_count];
        /* A handshake does not come from a file. */
        bool from_file = strcmp(writer->name, "sendfile") == 0;
        int fd = from_file ? join(port) : join_by(port, writer);

        exchange(fd, writer, &readers[i / writer_count], true);
        want_end(fd);
        (void)close(fd);
    }
}

void calls_server(int listener)
{
    for (size_t i = 0; i < writer_count * reader_count; i++) {
        int fd = let_in(listener);

        exchange(fd, &writers[i % writer_count], &readers[i / writer_count], false);
        (void)close(fd);
    }
}

/* --- flags --- */

void flags_server(int listener)
{
    int fd = let_in(listener);
    char go;

    send_all(fd, text, 10);
    receive_all(fd, &go, 1);
    send_all(fd, text, 5);
    (void)usleep(20000); /* so that the client's MSG_WAITALL begins with a part */
    send_all(fd, text + 5, 5);
    receive_all(fd, &go, 1);
    (void)close(fd);
}

static void want_peek(int fd, size_t size)
{
    char bytes[16] = "";

    want("MSG_PEEK", recv(fd, bytes, size, MSG_PEEK), (ssize_t)size);
    want_bytes("MSG_PEEK", bytes, text, size);
    want("still readable after MSG_PEEK", wait_for_bytes(fd), 1);
}

void flags_client(int port)
{
    int fd = join(port);
    char bytes[16] = "";
    int readable = 0;

    want("something comes", wait_for_bytes(fd), 1);
    want_peek(fd, 1);
    want_peek(fd, 10);
    want("FIONREAD", ioctl(fd, FIONREAD, &readable), 0);
    want("FIONREAD", readable, 10);
    want("read of 0 bytes", read(fd, bytes, 0), 0);
    for (int i = 0; i < 10; i++) {
        want("readable", wait_for_bytes(fd), 1);
        want("one byte", recv(fd, bytes, 1, i % 2 == 0 ? MSG_DONTWAIT : 0), 1);
        want_bytes("one byte", bytes, text + i, 1);
    }
    want_errno("MSG_DONTWAIT of nothing", CALL(recv(fd, bytes, 1, MSG_DONTWAIT)), EAGAIN);
    want("FIONREAD of nothing", ioctl(fd, FIONREAD, &readable), 0);
    want("FIONREAD of nothing", readable, 0);
    send_all(fd, "g", 1);
    want("MSG_WAITALL", recv(fd, bytes, 10, MSG_WAITALL), 10);
    want_bytes("MSG_WAITALL", bytes, text, 10);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    want_errno("O_NONBLOCK", CALL(read(fd, bytes, 1)), EAGAIN);
    want_errno("read to NULL", CALL(read(fd, *(void *volatile[]){NULL}, 1)), EFAULT);
    send_all(fd, "g", 1);
    want("the end comes", wait_for_bytes(fd), 1);
    want_end(fd);
}

/* --- copies --- */

void copies_server(int listener)
{
    for (int i = 0; i < 5; i++) {
        int fd = let_in(listener);

        answer(fd, "by the copy", text, sizeof text);
        want_end(fd);
        (void)close(fd);
    }
}

static int copy_of(int fd, int way)
{
    enum { FAR = 500 };

    switch (way) {
    case 0:
        return dup(fd);
    case 1:
        return dup2(fd, FAR);
    case 2:
        return dup3(fd, FAR, O_CLOEXEC);
    case 3:
        return fcntl(fd, F_DUPFD, FAR);
    default:
        return fcntl(fd, F_DUPFD_CLOEXEC, FAR);
    }
}

void copies_client(int port)
{
    for (int way = 0; way < 5; way++) {
        int fd = join(port);
        int copy = copy_of(fd, way);
        char bytes[sizeof text];

        want("a copy", copy >= 0, 1);
        send_all(copy, text, 10);
        send_all(fd, text + 10, 10);
        want("close of the original", close(fd), 0);
        want_errno("dup3 with odd flags", CALL(dup3(STDOUT_FILENO, copy, 7)), EINVAL);
        want_errno("close_range with odd flags",
                   CALL(close_range((unsigned)copy, (unsigned)copy, 0x100)), EINVAL);
        send_all(copy, text + 20, sizeof text - 20);
        receive_all(copy, bytes, sizeof text);
        want_bytes("by the copy", bytes, text, sizeof text);
        if (way % 2 == 0) {
            (void)close(copy);
        } else {
            (void)close_range((unsigned)copy, (unsigned)copy, 0);
        }
    }
}

/* --- children --- */

void children_server(int listener)
{
    int fd = let_in(listener);

    for (int i = 0; i < 3; i++) {
        answer(fd, "from the parent", text, sizeof text);
    }
    want_end(fd);
}

static void try_as_child(int fd)
{
    char byte;

    if (write(fd, text, sizeof text) >= 0 || recv(fd, &byte, 1, MSG_DONTWAIT) >= 0) {
        _exit(1);
    }
    (void)close(fd);
    closefrom(3);
    _exit(0);
}

static void want_child(pid_t child)
{
    int status = -1;

    (void)waitpid(child, &status, 0);
    want("exit status of the child, which must neither send nor receive", status, 0);
}

void children_client(int port)
{
    int fd = join(port);
    pid_t child;

    ask(fd, text, sizeof text);
    child = fork();
    if (child == 0) {
        try_as_child(fd);
    }
    want_child(child);
    ask(fd, text, sizeof text);
    /* It shares our memory: what it closes must not be forgotten by us.
     * NOLINTBEGIN(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
    child = vfork();
    if (child == 0) {
        (void)close(fd);
        _exit(0);
    }
    /* NOLINTEND(clang-analyzer-security.insecureAPI.vfork,clang-analyzer-unix.Vfork) */
    want_child(child);
    ask(fd, text, sizeof text);
    (void)close(fd);
}

/* --- the end of one direction --- */

void ending_server(int listener)
{
    int fd = let_in(listener);
    char bytes[sizeof text];

    receive_all(fd, bytes, sizeof text);
    send_all(fd, "h", 1);
    want_end(fd);
    want_end(fd);
    for (int i = 0; i < 3; i++) {
        send_all(fd, text, sizeof text);
    }
    (void)close(fd);
}

void ending_client(int port)
{
    int fd = join(port);
    char bytes[sizeof text];

    send_all(fd, text, sizeof text);
    receive_all(fd, bytes, 1); /* the handshake is through */
    want("shutdown", shutdown(fd, SHUT_WR), 0);
    want_errno("write after shutdown", CALL(write(fd, text, 1)), EPIPE);
    for (int i = 0; i < 3; i++) {
        receive_all(fd, bytes, sizeof text);
        want_bytes("after shutdown", bytes, text, sizeof text);
    }
    want_end(fd);
    (void)close(fd);
}

/* --- what is refused --- */

void refused_server(int listener)
{
    int fd = let_in(listener);

    answer(fd, "after all that was refused", text, sizeof text);
    want_end(fd);
}

static void want_refused(const char *what, struct outcome outcome)
{
    want_errno(what, outcome, EOPNOTSUPP);
}

static void want_streams_refused(int fd)
{
    struct aiocb request = {.aio_fildes = fd, .aio_buf = (char *)text, .aio_nbytes = 5};
    struct aiocb *const list[] = {&request};

    want_refused("dprintf", CALL(dprintf(fd, "%s", text)));
    want_refused("fortified dprintf", CALL(print_fortified(fd, text)));
    want_refused("fdopen", CALL(fdopen(fd, "r+") == NULL ? -1 : 0));
    want_refused("aio_write", CALL(aio_write(&request)));
    want_refused("aio_read", CALL(aio_read(&request)));
    request.aio_lio_opcode = LIO_WRITE;
    want_refused("lio_listio", CALL(lio_listio(LIO_WAIT, list, 1, NULL)));
}

static void want_calls_refused(int fd)
{
    struct iovec vector = {(char *)text, 5};
    const int on = 1;
    char bytes[8];
    int ends[2];

    if (pipe(ends) != 0) {
        give_up("pipe");
    }
    send_all(ends[1], text, 5);
    want_refused("splice to it", CALL(splice(ends[0], NULL, fd, NULL, 5, 0)));
    want_refused("splice from it", CALL(splice(fd, NULL, ends[1], NULL, 5, 0)));
    want_refused("pwritev2", CALL(pwritev2(fd, &vector, 1, -1, 0)));
    want_refused("preadv2", CALL(preadv2(fd, &vector, 1, -1, RWF_NOWAIT)));
    want_refused("send MSG_OOB", CALL(send(fd, text, 1, MSG_OOB)));
    want_refused("send MSG_ZEROCOPY", CALL(send(fd, text, 1, MSG_ZEROCOPY)));
    want_refused("recv MSG_OOB", CALL(recv(fd, bytes, 1, MSG_OOB)));
    want_refused("recv MSG_TRUNC", CALL(recv(fd, bytes, 1, MSG_TRUNC | MSG_DONTWAIT)));
    want_refused("TCP_ULP", CALL(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4)));
    want_refused("SO_ZEROCOPY", CALL(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on)));
    want_refused("SO_RCVLOWAT", CALL(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &on, sizeof on)));
}

void refused_client(int port)
{
    int fd = join(port);
    char bytes[sizeof text];

    want_streams_refused(fd);
    want_calls_refused(fd);
    send_all(fd, text, sizeof text);
    receive_all(fd, bytes, sizeof text);
    want_streams_refused(fd);
    want_calls_refused(fd);
    (void)close(fd);
}
