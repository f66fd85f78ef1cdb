/* The table of descriptors: who stands for what, also under several threads and across fork(2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/core/rules.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/naming.h"
#include "shim/core/socket/table.h"
#include "tests/unit/support/kernel.h"
#include "tests/unit/support/pki.h"

/* Numbers for descriptors; the table opens and closes none, so that any will do. */
enum { FIRST = 1000, OTHER = 1001, COPY = 1002 };

static struct dg_credentials *credentials;

static struct dg_socket *watched(int fd, enum dg_role role)
{
    struct dg_socket *socket = dg_table_watch(fd, role);

    assert_non_null(socket);
    return socket;
}

static void watch(int fd, enum dg_role role)
{
    dg_table_unlock(watched(fd, role));
}

static void forget(int fd)
{
    struct dg_socket *socket = dg_table_lock(fd);

    assert_non_null(socket);
    dg_table_forget(fd, socket);
}

static void assert_role(int fd, enum dg_role role)
{
    struct dg_socket *socket = dg_table_lock(fd);

    assert_non_null(socket);
    assert_int_equal(socket->role, role);
    dg_table_unlock(socket);
}

static void test_a_number_stands_for_nothing_until_it_is_watched(void **state)
{
    (void)state;
    assert_null(dg_table_lock(FIRST));
    watch(FIRST, DG_ROLE_LISTENER);
    assert_role(FIRST, DG_ROLE_LISTENER);
    assert_null(dg_table_lock(OTHER));
    forget(FIRST);
    assert_null(dg_table_lock(FIRST));
    dg_table_evict(FIRST);
}

static void test_numbers_that_cannot_be_descriptors_are_refused(void **state)
{
    struct dg_socket *socket = watched(FIRST, DG_ROLE_NEW);

    (void)state;
    assert_null(dg_table_lock(-1));
    assert_null(dg_table_lock(DG_TABLE_SIZE));
    dg_table_evict(-1);
    dg_table_evict(DG_TABLE_SIZE);
    assert_null(dg_table_watch(-1, DG_ROLE_NEW));
    assert_int_equal(errno, EMFILE);
    assert_null(dg_table_watch(DG_TABLE_SIZE, DG_ROLE_NEW));
    assert_int_equal(errno, EMFILE);
    assert_false(dg_table_share(socket, -1));
    assert_false(dg_table_share(socket, DG_TABLE_SIZE));
    dg_table_forget(FIRST, socket);
    watch(DG_TABLE_SIZE - 1, DG_ROLE_NEW);
    assert_int_equal(dg_table_end(), DG_TABLE_SIZE);
    forget(DG_TABLE_SIZE - 1);
}

static void test_a_recycled_socket_remembers_nothing(void **state)
{
    struct dg_socket *first = watched(FIRST, DG_ROLE_OUTGOING);
    struct dg_socket *again;

    (void)state;
    first->incoming = first->expected = true;
    first->port = 9100;
    first->first_size = 7;
    first->peer.ss_family = AF_INET;
    dg_table_forget(FIRST, first);
    again = watched(OTHER, DG_ROLE_INCOMING);
    assert_ptr_equal(again, first);
    assert_int_equal(again->role, DG_ROLE_INCOMING);
    assert_int_equal(again->descriptors, 1);
    assert_false(again->incoming || again->expected);
    assert_int_equal(again->port, 0);
    assert_int_equal(again->first_size, 0);
    assert_int_equal(again->peer.ss_family, AF_UNSPEC);
    assert_null(again->channel);
    dg_table_forget(OTHER, again);
}

/* Makes a number stand for a guarded connection. That its channel is freed with it,
 * AddressSanitizer sees. */
static void watch_guarded(int fd)
{
    struct dg_socket *socket = watched(fd, DG_ROLE_GUARDED);

    socket->channel = dg_channel_new(credentials, DG_CHANNEL_CLIENT, &kernel_transport, 60);
    assert_non_null(socket->channel);
    dg_table_unlock(socket);
}

static void test_a_number_used_anew_evicts_what_was_closed_behind_our_back(void **state)
{
    struct dg_socket *stale;
    struct dg_socket *fresh;

    (void)state;
    watch_guarded(FIRST);
    stale = dg_table_lock(FIRST);
    dg_table_unlock(stale);
    fresh = watched(FIRST, DG_ROLE_LISTENER);
    assert_ptr_equal(fresh, stale); /* recycled at once: nothing was lost */
    assert_int_equal(fresh->role, DG_ROLE_LISTENER);
    assert_null(fresh->channel);
    dg_table_unlock(fresh);
    dg_table_evict(FIRST);
    assert_null(dg_table_lock(FIRST));
}

static void test_a_copy_is_the_same_socket_until_the_last_is_forgotten(void **state)
{
    struct dg_socket *socket;

    (void)state;
    watch_guarded(FIRST);
    socket = dg_table_lock(FIRST);
    assert_true(dg_table_share(socket, COPY));
    dg_table_unlock(socket);
    assert_ptr_equal(dg_table_lock(COPY), socket);
    dg_table_unlock(socket);
    forget(FIRST);
    assert_null(dg_table_lock(FIRST));
    socket = dg_table_lock(COPY);
    assert_int_equal(socket->role, DG_ROLE_GUARDED);
    assert_non_null(socket->channel);
    dg_table_unlock(socket);
    forget(COPY);
    assert_null(dg_table_lock(COPY));
}

static void test_the_end_is_behind_every_number_that_was_watched(void **state)
{
    struct dg_socket *socket = watched(FIRST, DG_ROLE_NEW);
    int end = dg_table_end();

    (void)state;
    assert_true(end > FIRST);
    if (end < DG_TABLE_SIZE) {
        assert_true(dg_table_share(socket, end + 5));
        assert_int_equal(dg_table_end(), end + 6);
        dg_table_forget(end + 5, socket);
        socket = dg_table_lock(FIRST);
    }
    dg_table_forget(FIRST, socket);
}

static void *lock_first(void *unused)
{
    (void)unused;
    return dg_table_lock(FIRST);
}

static void test_who_waited_for_a_socket_that_was_closed_gets_none(void **state)
{
    pthread_t thread;
    void *got = state;

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct dg_socket *socket = watched(FIRST, DG_ROLE_NEW);

        assert_int_equal(pthread_create(&thread, NULL, lock_first, NULL), 0);
        dg_table_forget(FIRST, socket);
        assert_int_equal(pthread_join(thread, &got), 0);
        assert_null(got);
    }
}

/* --- several threads: each opens and closes numbers of its own, and looks at everybody's */

enum { THREADS = 4, NUMBERS = 8, ROUNDS = 20000, STORM = 2000 };

static atomic_int marks, found;

static void *storm(void *argument)
{
    int own = *(const int *)argument;
    struct random random = {.state = (uint64_t)own};

    for (int round = 0; round < ROUNDS; round++) {
        int fd = own + (int)random_below(&random, NUMBERS);
        int any = STORM + (int)random_below(&random, (size_t)THREADS * NUMBERS);
        struct dg_socket *socket = dg_table_lock(any);

        if (socket != NULL) {
            socket->port++;
            atomic_fetch_add(&marks, 1);
            dg_table_unlock(socket);
        }
        socket = dg_table_lock(fd);
        if (socket == NULL) {
            socket = dg_table_watch(fd, DG_ROLE_NEW);
            dg_table_unlock(socket);
        } else {
            atomic_fetch_add(&found, socket->port);
            dg_table_forget(fd, socket);
        }
    }
    return NULL;
}

static void start_storm(pthread_t threads[THREADS])
{
    static int own[THREADS]; /* the first of each thread's numbers */

    for (int i = 0; i < THREADS; i++) {
        own[i] = STORM + i * NUMBERS;
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &own[i]), 0);
    }
}

static void end_storm(const pthread_t threads[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int fd = STORM; fd < STORM + THREADS * NUMBERS; fd++) {
        struct dg_socket *socket = dg_table_lock(fd);

        if (socket != NULL) {
            atomic_fetch_add(&found, socket->port);
            dg_table_forget(fd, socket);
        }
    }
}

static void test_no_mark_is_lost_when_threads_open_close_and_look(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    atomic_store(&marks, 0);
    atomic_store(&found, 0);
    start_storm(threads);
    end_storm(threads);
    assert_true(atomic_load(&marks) > 0);
    assert_int_equal(atomic_load(&found), atomic_load(&marks));
}

/* --- fork */

/* In the child: every number can be locked, and what was guarded is not ours to use. */
static int look_around(void)
{
    struct dg_socket *socket;

    for (int fd = STORM; fd < STORM + THREADS * NUMBERS; fd++) {
        socket = dg_table_lock(fd);
        if (socket != NULL) {
            dg_table_forget(fd, socket);
        }
    }
    socket = dg_table_lock(FIRST);
    if (socket == NULL || socket->role != DG_ROLE_FOREIGN || socket->channel != NULL) {
        return 1;
    }
    dg_table_unlock(socket);
    socket = dg_table_lock(OTHER);
    if (socket == NULL || socket->role != DG_ROLE_LISTENER) {
        return 2;
    }
    dg_table_unlock(socket);
    socket = dg_table_watch(COPY, DG_ROLE_NEW);
    if (socket == NULL || !dg_table_is_ours()) {
        return 3;
    }
    forget(FIRST);
    forget(OTHER);
    return 0;
}

static void assert_child_looks_around(void)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        (void)alarm(20); /* a lock that nobody holds any more would be waited for for ever */
        _exit(look_around());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* As another thread has the socket that is just about to change it: freed, and not yet forgotten.
 */
static void free_parts(struct dg_socket *socket)
{
    socket->node = malloc(32);
    free(socket->node);
    socket->request = malloc(sizeof *socket->request);
    free(socket->request);
    socket->joining = dg_joining_new(true);
    dg_joining_free(socket->joining);
    socket->naming = dg_naming_new(true);
    dg_naming_free(socket->naming);
}

static void forget_parts(struct dg_socket *socket)
{
    socket->node = NULL;
    socket->request = NULL;
    socket->joining = NULL;
    socket->naming = NULL;
}

static void test_a_child_forked_in_the_middle_can_use_the_table(void **state)
{
    pthread_t threads[THREADS];
    struct dg_socket *socket;

    (void)state;
    watch_guarded(FIRST);
    watch(OTHER, DG_ROLE_LISTENER);
    start_storm(threads);
    socket = dg_table_lock(FIRST);
    free_parts(socket);
    for (int i = 0; i < 10; i++) {
        assert_child_looks_around();
    }
    forget_parts(socket);
    assert_int_equal(socket->role, DG_ROLE_GUARDED);
    assert_non_null(socket->channel);
    dg_table_unlock(socket);
    end_storm(threads);
    forget(FIRST);
    forget(OTHER);
}

/* A thread that found a socket as it was closed holds its lock for a moment, though it is free. */
static void test_a_child_can_use_a_free_socket_whose_lock_was_held(void **state)
{
    struct dg_socket *freed = watched(COPY, DG_ROLE_NEW);

    (void)state;
    watch_guarded(FIRST);
    watch(OTHER, DG_ROLE_LISTENER);
    dg_table_forget(COPY, freed);
    pthread_mutex_lock(&freed->lock);
    assert_child_looks_around();
    pthread_mutex_unlock(&freed->lock);
    forget(FIRST);
    forget(OTHER);
}

static int set_up(void **state)
{
    (void)pki_make(state);
    credentials = pki_credentials("ours", "node", "ours");
    /* As the core does: the table holds rules, under a lock of their own. */
    return pthread_atfork(NULL, NULL, dg_rules_forked) == 0 ? dg_table_start() : -1;
}

static int tear_down(void **state)
{
    dg_credentials_free(credentials);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_stands_for_nothing_until_it_is_watched),
        cmocka_unit_test(test_a_recycled_socket_remembers_nothing),
        cmocka_unit_test(test_a_number_used_anew_evicts_what_was_closed_behind_our_back),
        cmocka_unit_test(test_a_copy_is_the_same_socket_until_the_last_is_forgotten),
        cmocka_unit_test(test_the_end_is_behind_every_number_that_was_watched),
        cmocka_unit_test(test_who_waited_for_a_socket_that_was_closed_gets_none),
        cmocka_unit_test(test_no_mark_is_lost_when_threads_open_close_and_look),
        cmocka_unit_test(test_a_child_forked_in_the_middle_can_use_the_table),
        cmocka_unit_test(test_a_child_can_use_a_free_socket_whose_lock_was_held),
        cmocka_unit_test(test_numbers_that_cannot_be_descriptors_are_refused),
    };

    return cmocka_run_group_tests_name("socket/table", tests, set_up, tear_down);
}
