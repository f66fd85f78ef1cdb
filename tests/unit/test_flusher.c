/*
 * When what is held is sent though nobody writes any more: as the program polls, and by the thread,
 * which must be there when it is needed and rest when it is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/core/socket/flusher.h"
#include "shim/core/socket/hooks.h"
#include "shim/core/socket/table.h"
#include "tests/unit/support/guarded.h"
#include "tests/unit/support/pace.h"

/* ThreadSanitizer lets no child have threads whose parent has. */
#ifdef __SANITIZE_THREAD__
enum { NO_THREADS_IN_CHILDREN = 1 };
#else
enum { NO_THREADS_IN_CHILDREN = 0 };
#endif

enum { MOST = 256, FLOOD = 64, STEP_US = 200, STEPS = 50000 };

/* With so much held that the flusher does not know of yet. */
static struct guarded open_holding(size_t size)
{
    struct guarded guarded = guarded_open();

    guarded_flood(&guarded);
    guarded_write(&guarded, size);
    assert_int_equal(guarded_held(&guarded), size);
    guarded_assert_received(&guarded, FLOOD);
    return guarded;
}

static bool is_watched(const struct guarded *guarded)
{
    struct dg_socket *socket = dg_table_lock(guarded->fd);
    bool watched = socket != NULL && socket->gathering.watched;

    if (socket != NULL) {
        dg_table_unlock(socket);
    }
    return watched;
}

/* The flusher at its own pace, until it has nothing to watch. */
static void rest(const struct guarded *guarded)
{
    pace_advance(PACE_A_WHILE);
    pace_run(true);
    for (int i = 0; i < STEPS && is_watched(guarded); i++) {
        (void)usleep(STEP_US);
    }
    assert_false(is_watched(guarded));
}

/* --- who sends --- */

static void test_what_is_held_goes_out_by_itself(void **state)
{
    struct guarded guarded = open_holding(100);

    (void)state;
    pace_run(true);
    guarded_assert_delivered(&guarded);
    pace_run(false);
    guarded_close(&guarded);
}

static void test_what_is_held_goes_out_at_once_when_the_program_polls(void **state)
{
    struct guarded first = open_holding(100);
    struct guarded second = open_holding(200);

    (void)state;
    errno = 4711;
    dg_hook_polls();
    assert_int_equal(errno, 4711);
    guarded_assert_received(&first, FLOOD + 100);
    guarded_assert_received(&second, FLOOD + 200);
    dg_hook_polls(); /* with nothing held */
    guarded_write(&first, 50);
    dg_hook_polls();
    guarded_assert_received(&first, FLOOD + 150);
    guarded_close(&first);
    dg_hook_polls(); /* with one of them gone */
    guarded_close(&second);
}

/* Who has the lock may be the very thread's other call; nobody waits for it. */
static void test_polling_does_not_wait_for_a_connection_that_is_in_use(void **state)
{
    struct guarded busy = open_holding(100);
    struct guarded other = open_holding(100);
    struct dg_socket *socket = dg_table_lock(busy.fd);

    (void)state;
    dg_hook_polls();
    guarded_assert_received(&busy, FLOOD);
    guarded_assert_received(&other, FLOOD + 100);
    dg_table_unlock(socket);
    dg_hook_polls();
    guarded_assert_received(&busy, FLOOD + 100);
    guarded_close(&busy);
    guarded_close(&other);
}

/* --- what is watched --- */

/* Numbers that stand for nothing fill the list: nothing is watched there, and they are forgotten at
 * the next tick. How many there are. */
static int fill(void)
{
    int many = 0;

    while (dg_flusher_watch(DG_TABLE_SIZE - 1)) {
        many++;
    }
    return many;
}

static void test_the_thread_rests_after_a_flood(void **state)
{
    struct guarded guarded = open_holding(100);
    unsigned ticks;

    (void)state;
    pace_tick();
    pace_advance(PACE_A_WHILE - 1);
    pace_tick(); /* which is soon: it may go on */
    assert_true(is_watched(&guarded));
    pace_advance(1);
    rest(&guarded);
    (void)usleep(2000); /* it may be on its way */
    ticks = pace_ticks();
    (void)usleep(20000);
    assert_int_equal(pace_ticks(), ticks);
    guarded_assert_received(&guarded, FLOOD + 100);
    guarded_flood(&guarded); /* and the next flood finds it */
    guarded_write(&guarded, 100);
    guarded_assert_delivered(&guarded);
    assert_true(is_watched(&guarded));
    pace_run(false);
    guarded_close(&guarded);
}

static void test_one_too_many_sends_by_itself(void **state)
{
    struct guarded watched = open_holding(100);
    struct guarded late = guarded_open();

    (void)state;
    pace_tick(); /* what earlier tests have closed is forgotten */
    (void)fill();
    guarded_flood(&late);
    guarded_write(&late, 1000);
    assert_int_equal(guarded_held(&late), 0);
    assert_int_equal(guarded_memory(&late), 0);
    assert_false(is_watched(&late));
    guarded_assert_received(&late, late.sent);
    guarded_write(&watched, 100); /* who is watched has its place */
    assert_int_equal(guarded_held(&watched), 100);
    pace_tick();
    guarded_assert_delivered(&watched);
    guarded_write(&late, 1000);
    assert_int_equal(guarded_held(&late), 1000);
    pace_tick();
    guarded_assert_delivered(&late);
    guarded_close(&late);
    guarded_close(&watched);
}

static void test_so_many_are_watched_at_once(void **state)
{
    enum { EARLIER = 16 }; /* that had the number of `watched`, at most */
    struct guarded watched = open_holding(100);
    int many;

    (void)state;
    pace_tick();
    many = fill();
    assert_in_range(many, MOST - EARLIER, MOST - 1);
    assert_int_equal(fill(), 0);
    pace_tick();
    assert_int_equal(fill(), many); /* all of them were forgotten */
    pace_tick();
    guarded_close(&watched);
}

/* Its number stands for another that holds nothing, then for one that does, then for a listener. */
static void test_a_number_that_is_used_again_is_another_connections(void **state)
{
    struct guarded keeper = open_holding(10);
    struct guarded old = open_holding(100);
    int number = old.fd;
    struct guarded now;
    struct dg_socket *socket;

    (void)state;
    guarded_close(&old);
    now = guarded_open();
    assert_int_equal(now.fd, number);
    dg_hook_polls();
    pace_tick();
    guarded_assert_received(&now, 0);
    guarded_close(&now);

    now = open_holding(100);
    assert_int_equal(now.fd, number);
    guarded_close(&now);
    now = open_holding(200);
    assert_int_equal(now.fd, number);
    pace_tick();
    guarded_assert_received(&now, FLOOD + 200);
    guarded_close(&now);

    now = open_holding(100);
    guarded_close(&now);
    socket = dg_table_watch(number, DG_ROLE_LISTENER);
    assert_non_null(socket);
    dg_table_unlock(socket);
    dg_hook_polls();
    pace_tick();
    dg_table_evict(number);
    guarded_close(&keeper);
}

/* --- a child --- */

/* Whether this process has the thread. */
static bool has_flusher(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool found = false;

    for (struct dirent *task; tasks != NULL && !found && (task = readdir(tasks)) != NULL;) {
        char path[300], name[32] = "";
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        file = fopen(path, "re");
        if (file != NULL) {
            found = fgets(name, sizeof name, file) != NULL &&
                    strncmp(name, DG_FLUSHER_NAME, strlen(DG_FLUSHER_NAME)) == 0;
            (void)fclose(file);
        }
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    return found;
}

/* What a child does with its parent's connection; what went wrong, or NULL. */
static const char *leave_alone(struct guarded *guarded)
{
    int result;

    dg_hook_polls();
    if (has_flusher()) {
        return "there is a thread before any flood";
    }
    if (guarded_held(guarded) > 0 || is_watched(guarded)) {
        return "something of the parent's is held";
    }
    if (guarded_try_write(guarded, 8) != -1 || errno != EPIPE) {
        return "a write to the parent's connection is taken";
    }
    if (!dg_hook_close(guarded->fd, &result) || result != 0) {
        return "it cannot be closed";
    }
    return NULL;
}

/* One of its own is flushed by a thread of its own. */
static const char *flood(struct guarded *unused)
{
    struct guarded guarded = guarded_open();
    struct pollfd more = {.fd = guarded.peer_fd, .events = POLLIN};

    (void)unused;
    guarded_flood(&guarded);
    guarded_write(&guarded, 100);
    for (int i = 0; i < STEPS && !has_flusher(); i++) { /* it has yet to take its name */
        (void)usleep(STEP_US);
    }
    if (!is_watched(&guarded) || !has_flusher()) {
        return "a flood of its own is not watched";
    }
    pace_run(true);
    while (guarded_read(&guarded) == GUARDED_MORE && guarded.received < guarded.sent &&
           poll(&more, 1, 10000) > 0) {
    }
    return guarded.received == guarded.sent ? NULL : "what it holds does not go out";
}

static void in_child(struct guarded *guarded, const char *(*does)(struct guarded *))
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const char *failure;

        pace_forked();
        failure = does(guarded);
        if (failure != NULL) {
            print_error("in the child: %s\n", failure);
        }
        _exit(failure != NULL ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_child_leaves_what_is_held_to_its_parent(void **state)
{
    struct guarded guarded = open_holding(100);

    (void)state;
    in_child(&guarded, leave_alone);
    guarded_assert_received(&guarded, FLOOD);
    assert_int_equal(guarded_held(&guarded), 100);
    pace_tick();
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

static void test_a_child_has_a_thread_of_its_own_once_it_needs_one(void **state)
{
    struct guarded guarded;

    (void)state;
    if (NO_THREADS_IN_CHILDREN) {
        skip();
    }
    guarded = open_holding(100);
    in_child(&guarded, flood);
    pace_tick();
    guarded_assert_delivered(&guarded);
    guarded_close(&guarded);
}

/* --- all at once --- */

enum { WRITERS = 3, CLOSED_WRITER = WRITERS - 1, WRITES = 3000, CLOSED_AFTER = 300 };

static struct writer {
    struct guarded guarded;
    atomic_size_t sent; /* for who reads meanwhile */
    atomic_bool over;
    const char *failure;
} writers[WRITERS];

static atomic_bool all_over;

static void wait_for_room(const struct guarded *guarded)
{
    struct pollfd room = {.fd = guarded->fd, .events = POLLOUT};

    (void)poll(&room, 1, 10);
}

static void *write_much(void *argument)
{
    struct writer *writer = argument;

    for (int i = 0; i < WRITES; i++) {
        ssize_t taken =
            guarded_try_write(&writer->guarded, i % 50 == 0 ? 9000 : 20 + (size_t)i % 300);

        atomic_store(&writer->sent, writer->guarded.sent);
        if (taken < 0 && errno == EAGAIN) {
            wait_for_room(&writer->guarded);
        } else if (taken < 0) {
            writer->failure = errno == EBADF ? "closed" : "write failed";
            break;
        }
    }
    atomic_store(&writer->over, true);
    return NULL;
}

/* Its clock runs in leaps, so that floods begin and end all the time. */
static void *poll_much(void *unused)
{
    for (unsigned i = 0; !atomic_load(&all_over); i++) {
        dg_hook_polls();
        pace_advance(i % 16 == 0 ? PACE_A_WHILE : PACE_INSTANT / 8);
        (void)sched_yield();
    }
    return unused;
}

static void *close_one(void *unused)
{
    struct writer *writer = &writers[CLOSED_WRITER];
    int result;

    while (atomic_load(&writer->sent) < (size_t)CLOSED_AFTER * 100 && !atomic_load(&writer->over)) {
        (void)sched_yield();
    }
    return dg_hook_close(writer->guarded.fd, &result) ? NULL : unused;
}

/* Reads as a peer, with a view of its own of how much it has. */
static void read_along(struct guarded *peers)
{
    bool writing = true;

    while (writing) {
        writing = false;
        for (int i = 0; i < WRITERS; i++) {
            writing = writing || !atomic_load(&writers[i].over);
            assert_int_not_equal(guarded_read(&peers[i]), GUARDED_OTHERS);
        }
        (void)sched_yield();
    }
}

static void assert_read_out(struct writer *writer, struct guarded *peer)
{
    struct pollfd more = {.fd = peer->peer_fd, .events = POLLIN};
    size_t sent = writer->guarded.sent;

    for (int i = 0; i < STEPS && peer->received < sent; i++) {
        assert_int_equal(guarded_read(peer), GUARDED_MORE);
        (void)guarded_try_write(&writer->guarded, 1); /* the byte that was kept back, if one was */
        (void)poll(&more, 1, 1);
    }
    assert_in_range(peer->received, sent, writer->guarded.sent);
}

static void test_writers_a_poller_and_a_closer_at_once(void **state)
{
    struct guarded peers[WRITERS];
    pthread_t threads[WRITERS + 2];

    (void)state;
    pace_run(true);
    for (int i = 0; i < WRITERS; i++) {
        writers[i].guarded = guarded_open();
        peers[i] = writers[i].guarded;
        assert_int_equal(pthread_create(&threads[i], NULL, write_much, &writers[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[WRITERS], NULL, poll_much, NULL), 0);
    assert_int_equal(pthread_create(&threads[WRITERS + 1], NULL, close_one, &writers[0]), 0);
    read_along(peers);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < CLOSED_WRITER; i++) {
        if (writers[i].failure != NULL) {
            fail_msg("writer %d: %s", i, writers[i].failure);
        }
        assert_read_out(&writers[i], &peers[i]);
        guarded_close(&writers[i].guarded);
    }
    atomic_store(&all_over, true);
    assert_int_equal(pthread_join(threads[WRITERS], NULL), 0);
    assert_int_equal(pthread_join(threads[WRITERS + 1], NULL), 0);
    assert_int_not_equal(guarded_read(&peers[CLOSED_WRITER]), GUARDED_OTHERS);
    guarded_close(&writers[CLOSED_WRITER].guarded);
    pace_run(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_held_goes_out_by_itself),
        cmocka_unit_test(test_what_is_held_goes_out_at_once_when_the_program_polls),
        cmocka_unit_test(test_polling_does_not_wait_for_a_connection_that_is_in_use),
        cmocka_unit_test(test_the_thread_rests_after_a_flood),
        cmocka_unit_test(test_one_too_many_sends_by_itself),
        cmocka_unit_test(test_so_many_are_watched_at_once),
        cmocka_unit_test(test_a_number_that_is_used_again_is_another_connections),
        cmocka_unit_test(test_a_child_leaves_what_is_held_to_its_parent),
        cmocka_unit_test(test_a_child_has_a_thread_of_its_own_once_it_needs_one),
        cmocka_unit_test(test_writers_a_poller_and_a_closer_at_once),
    };

    return cmocka_run_group_tests_name("socket/flusher", tests, guarded_start, guarded_stop);
}
