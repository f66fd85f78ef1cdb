/* How the numbers of watched sockets are copied and closed, and what may not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/core/core.h"
#include "shim/core/rules.h"
#include "shim/core/socket/descriptors.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/table.h"

enum { COPY = 900, OTHER = 901 };

static int last_closed;
static int copies; /* made by the real call */

static int close_noted(int fd)
{
    last_closed = fd;
    return close(fd);
}

static int dup3_counted(int from, int to, int flags)
{
    copies++;
    return dup3(from, to, flags);
}

/* A descriptor that is in the table. */
static int open_watched(enum dg_role role)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct dg_socket *socket = dg_table_watch(fd, role);

    assert_non_null(socket);
    dg_table_unlock(socket);
    return fd;
}

static void assert_stands_for(int fd, enum dg_role role)
{
    struct dg_socket *socket = dg_table_lock(fd);

    assert_non_null(socket);
    assert_int_equal(socket->role, role);
    dg_table_unlock(socket);
}

static void close_hooked(int fd)
{
    int result = -1;

    assert_true(dg_hook_close(fd, &result));
    assert_int_equal(result, 0);
    assert_int_equal(last_closed, fd);
    assert_null(dg_table_lock(fd));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_a_number_that_is_closed_stands_for_nothing(void **state)
{
    int fd = open_watched(DG_ROLE_LISTENER);
    int result;

    (void)state;
    errno = 4711;
    close_hooked(fd);
    assert_false(dg_hook_close(fd, &result));
}

static void test_a_copy_beyond_the_table_is_refused_before_it_is_made(void **state)
{
    int fd = open_watched(DG_ROLE_NEW);
    int result = 0;

    (void)state;
    copies = 0;
    errno = 0;
    assert_true(dg_hook_replace(fd, DG_TABLE_SIZE, 0, &result));
    assert_int_equal(result, -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(copies, 0);
    assert_stands_for(fd, DG_ROLE_NEW);
    close_hooked(fd);
}

static void test_a_copy_that_the_kernel_put_beyond_the_table_is_closed(void **state)
{
    int fd = open_watched(DG_ROLE_NEW);

    (void)state;
    errno = 0;
    last_closed = -1;
    assert_int_equal(dg_hook_duplicated(fd, DG_TABLE_SIZE), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(last_closed, DG_TABLE_SIZE);
    assert_stands_for(fd, DG_ROLE_NEW);
    close_hooked(fd);
}

static void test_a_number_takes_over_what_it_is_given(void **state)
{
    int listener = open_watched(DG_ROLE_LISTENER);
    int fd = open_watched(DG_ROLE_NEW);
    int result;

    (void)state;
    assert_true(dg_hook_replace(fd, COPY, 0, &result)); /* over nothing */
    assert_int_equal(result, COPY);
    assert_stands_for(COPY, DG_ROLE_NEW);
    assert_true(dg_hook_replace(listener, COPY, 0, &result)); /* over another of ours */
    assert_stands_for(COPY, DG_ROLE_LISTENER);
    assert_stands_for(fd, DG_ROLE_NEW);
    assert_true(dg_hook_replace(listener, COPY, 0, &result)); /* over a copy of itself */
    assert_stands_for(COPY, DG_ROLE_LISTENER);
    assert_true(dg_hook_replace(STDIN_FILENO, COPY, 0, &result)); /* by what is not ours */
    assert_int_equal(result, COPY);
    assert_null(dg_table_lock(COPY));
    (void)close(COPY);
    close_hooked(listener);
    close_hooked(fd);
}

static int dup3_failing(int from, int to, int flags)
{
    (void)from;
    (void)to;
    (void)flags;
    errno = EBUSY;
    return -1;
}

static void test_a_copy_that_fails_takes_nothing_over(void **state)
{
    int fd = open_watched(DG_ROLE_NEW);
    int result = 0;

    (void)state;
    dg_core.real.dup3 = dup3_failing;
    assert_true(dg_hook_replace(fd, COPY, 0, &result));
    assert_int_equal(result, -1);
    assert_int_equal(errno, EBUSY);
    assert_null(dg_table_lock(COPY));
    assert_false(dg_hook_replace(-1, fd, 0, &result)); /* EBADF is the kernel's to say */
    assert_stands_for(fd, DG_ROLE_NEW);
    dg_core.real.dup3 = dup3_counted;
    close_hooked(fd);
}

static bool ends_at_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void test_no_number_of_a_guarded_connection_survives_exec(void **state)
{
    int fd = open_watched(DG_ROLE_OUTGOING);
    struct dg_socket *socket;
    int result;

    (void)state;
    assert_true(dg_hook_replace(fd, COPY, 0, &result));
    assert_false(dg_hook_ends_at_exec(fd));
    assert_false(ends_at_exec(fd));
    socket = dg_table_lock(fd);
    socket->role = DG_ROLE_FOREIGN; /* as GUARDED, but there is no channel to be closed */
    dg_end_at_exec(socket, fd);
    dg_table_unlock(socket);
    assert_true(ends_at_exec(fd));
    assert_true(ends_at_exec(COPY));
    assert_true(dg_hook_ends_at_exec(COPY));
    assert_true(dg_hook_replace(fd, OTHER, 0, &result)); /* and no copy of it */
    assert_true(ends_at_exec(OTHER));
    assert_true(dg_hook_replace(fd, OTHER, 0, &result)); /* nor one made again */
    assert_true(ends_at_exec(OTHER));
    dg_hook_close_range(COPY, OTHER);
    assert_null(dg_table_lock(COPY));
    assert_null(dg_table_lock(OTHER));
    close_hooked(fd);
}

static void test_a_call_does_not_go_on_with_what_took_the_place_of_its_number(void **state)
{
    int fd = open_watched(DG_ROLE_INCOMING);
    struct dg_socket *socket;
    uint64_t serial = 0;

    (void)state;
    assert_true(dg_table_lock_same(fd, &serial, &socket));
    dg_table_unlock(socket);
    assert_true(dg_table_lock_same(fd, &serial, &socket));
    assert_non_null(socket);
    dg_table_forget(fd, socket); /* decided: none of our business */
    assert_true(dg_table_lock_same(fd, &serial, &socket));
    assert_null(socket);
    (void)close(fd);

    serial = 0;
    fd = open_watched(DG_ROLE_INCOMING);
    assert_true(dg_table_lock_same(fd, &serial, &socket));
    dg_table_unlock(socket);
    close_hooked(fd);
    assert_false(dg_table_lock_same(fd, &serial, &socket));
    assert_int_equal(open_watched(DG_ROLE_INCOMING), fd);
    assert_false(dg_table_lock_same(fd, &serial, &socket));
    close_hooked(fd);
    assert_false(dg_table_lock_same(fd, &serial, &socket)); /* nor with what comes after that */
}

static int set_up(void **state)
{
    (void)state;
    dg_core.real.close = close_noted;
    dg_core.real.dup3 = dup3_counted;
    return dg_table_start();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_that_is_closed_stands_for_nothing),
        cmocka_unit_test(test_a_copy_beyond_the_table_is_refused_before_it_is_made),
        cmocka_unit_test(test_a_copy_that_the_kernel_put_beyond_the_table_is_closed),
        cmocka_unit_test(test_a_number_takes_over_what_it_is_given),
        cmocka_unit_test(test_a_copy_that_fails_takes_nothing_over),
        cmocka_unit_test(test_no_number_of_a_guarded_connection_survives_exec),
        cmocka_unit_test(test_a_call_does_not_go_on_with_what_took_the_place_of_its_number),
    };

    return cmocka_run_group_tests_name("socket/descriptors", tests, set_up, NULL);
}
