/* Whose socket is at the other end: asked of this machine's kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/core/socket/owner.h"
#include "tests/unit/support/address.h"

#define SOMEBODY 12345
#define NOBODY 65534

static const struct dg_real real = {.socket = socket, .send = send, .recv = recv, .close = close};

static struct sockaddr_storage name_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return address;
}

static int listen_at(const char *host, struct sockaddr_storage *address)
{
    struct sockaddr_storage any = address_of(host, 0);
    int fd = socket(any.ss_family, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 8), 0);
    *address = name_of(fd);
    return fd;
}

static int connect_to(const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

static void assert_own_connection(const char *host)
{
    struct sockaddr_storage own;
    struct sockaddr_storage peer;
    int listener = listen_at(host, &own);
    int client = connect_to(&own);
    uid_t user = (uid_t)-1;

    peer = name_of(client);
    if (dg_socket_owner(&real, &peer, &own, &user) != 0) {
        fail_msg("%s: no owner: %s", host, strerror(errno));
    }
    assert_int_equal(user, geteuid());
    (void)close(client);
    (void)close(listener);
}

static void test_a_connection_of_ours_is_ours(void **state)
{
    (void)state;
    assert_own_connection("127.0.0.1");
    assert_own_connection("::1");
}

/* Connects as somebody else, and stays until the pipe closes. */
static _Noreturn void connect_as_somebody(const struct sockaddr_storage *address, int ready,
                                          int wait_for)
{
    struct sockaddr_storage name;
    char byte;
    int fd;

    if (setuid(SOMEBODY) != 0) {
        _exit(1);
    }
    fd = connect_to(address);
    name = name_of(fd);
    if (write(ready, &name, sizeof name) != (ssize_t)sizeof name) {
        _exit(1);
    }
    _exit(read(wait_for, &byte, 1) == 0 ? 0 : 1);
}

static void test_a_connection_of_somebody_else_is_theirs(void **state)
{
    struct sockaddr_storage own;
    struct sockaddr_storage peer;
    int listener = listen_at("127.0.0.1", &own);
    int ready[2];
    int wait_for[2];
    uid_t user = (uid_t)-1;
    int status;
    pid_t child;

    (void)state;
    if (geteuid() != 0) {
        (void)close(listener);
        skip();
    }
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(wait_for), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(wait_for[1]);
        connect_as_somebody(&own, ready[1], wait_for[0]);
    }
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &peer, sizeof peer), sizeof peer);
    assert_int_equal(dg_socket_owner(&real, &peer, &own, &user), 0);
    assert_int_equal(user, SOMEBODY);
    (void)close(wait_for[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)close(ready[0]);
    (void)close(wait_for[0]);
    (void)close(listener);
}

/* In a user namespace of its own, as this user, who alone has a place in it. */
static _Noreturn void ask_in_a_namespace(const struct sockaddr_storage *peer,
                                         const struct sockaddr_storage *own, uid_t we, int ready,
                                         int go)
{
    uid_t user = 4711;
    char byte = 0;

    if (unshare(CLONE_NEWUSER) != 0 || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1 ||
        setuid(we) != 0) {
        _exit(99);
    }
    if (dg_socket_owner(&real, peer, own, &user) == 0) {
        _exit(user == we ? 0 : 1);
    }
    _exit(errno == EOVERFLOW ? 2 : 3);
}

static void give_a_place(pid_t child, uid_t user)
{
    char path[64];
    FILE *map;

    (void)snprintf(path, sizeof path, "/proc/%d/uid_map", (int)child);
    map = fopen(path, "we");
    assert_non_null(map);
    (void)fprintf(map, "%u %u 1\n", (unsigned)user, (unsigned)user);
    assert_int_equal(fclose(map), 0);
}

/* What a process that runs as `we` in a user namespace says of this connection: ask_in_a_namespace.
 */
static int asked_in_a_namespace(const struct sockaddr_storage *peer,
                                const struct sockaddr_storage *own, uid_t we)
{
    int ready[2];
    int go[2];
    char byte = 0;
    int status;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        ask_in_a_namespace(peer, own, we, ready[1], go[0]);
    }
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) == 1) {
        give_a_place(child, we);
        assert_int_equal(write(go[1], &byte, 1), 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(ready[0]);
    (void)close(go[0]);
    (void)close(go[1]);
    return WEXITSTATUS(status);
}

/* There all who have no place in it are shown as the overflow user, whom a service may run as. */
static void test_in_a_user_namespace_nobody_is_not_taken_for_us(void **state)
{
    struct sockaddr_storage own;
    struct sockaddr_storage peer;
    int listener = listen_at("127.0.0.1", &own);
    int client = connect_to(&own);

    (void)state;
    peer = name_of(client);
    if (geteuid() != 0) {
        (void)close(client);
        (void)close(listener);
        skip();
    }
    assert_int_equal(asked_in_a_namespace(&peer, &own, NOBODY), 2);
    assert_int_equal(asked_in_a_namespace(&peer, &own, SOMEBODY), 2);
    assert_int_equal(asked_in_a_namespace(&peer, &own, 0), 0);
    (void)close(client);
    (void)close(listener);
}

/* An orphan belongs to nobody any more, and the kernel would call it root's. */
static void test_a_peer_that_has_closed_is_nobodys(void **state)
{
    struct sockaddr_storage own;
    struct sockaddr_storage peer;
    int listener = listen_at("127.0.0.1", &own);
    int client = connect_to(&own);
    uid_t user = 4711;

    (void)state;
    peer = name_of(client);
    (void)close(client);
    assert_int_equal(dg_socket_owner(&real, &peer, &own, &user), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(user, 4711);
    (void)close(listener);
}

static void test_a_connection_that_is_not_there_is_nobodys(void **state)
{
    struct sockaddr_storage peer = address_of("192.0.2.1", 40000);
    struct sockaddr_storage own = address_of("192.0.2.2", 9100);
    uid_t user = 4711;

    (void)state;
    assert_int_equal(dg_socket_owner(&real, &peer, &own, &user), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(user, 4711);
}

static int no_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    errno = EMFILE;
    return -1;
}

static ssize_t no_answer(int fd, void *bytes, size_t size, int flags)
{
    (void)fd;
    (void)bytes;
    (void)size;
    (void)flags;
    errno = EAGAIN;
    return -1;
}

static ssize_t short_answer(int fd, void *bytes, size_t size, int flags)
{
    (void)fd;
    (void)flags;
    memset(bytes, 0, size);
    return 7;
}

static void assert_no_owner(const struct dg_real *calls, int error)
{
    struct sockaddr_storage peer = address_of("127.0.0.1", 40000);
    uid_t user = 4711;

    assert_int_equal(dg_socket_owner(calls, &peer, &peer, &user), -1);
    assert_int_equal(errno, error);
    assert_int_equal(user, 4711);
}

static void test_without_an_answer_there_is_no_owner(void **state)
{
    struct dg_real calls = real;

    (void)state;
    calls.recv = no_answer;
    assert_no_owner(&calls, EAGAIN);
    calls.recv = short_answer;
    assert_no_owner(&calls, EPROTO);
    calls.socket = no_socket;
    assert_no_owner(&calls, EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_of_ours_is_ours),
        cmocka_unit_test(test_a_connection_of_somebody_else_is_theirs),
        cmocka_unit_test(test_in_a_user_namespace_nobody_is_not_taken_for_us),
        cmocka_unit_test(test_a_peer_that_has_closed_is_nobodys),
        cmocka_unit_test(test_a_connection_that_is_not_there_is_nobodys),
        cmocka_unit_test(test_without_an_answer_there_is_no_owner),
    };

    return cmocka_run_group_tests_name("socket/owner", tests, NULL, NULL);
}
