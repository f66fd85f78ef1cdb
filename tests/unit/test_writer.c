/*
 * The thread that writes the log where a write may block: who logs never waits for it, the order
 * and the count are kept, and it is there only where it is needed. Each test is a process of its
 * own, as the log of a program is started once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/report/log.h"
#include "shim/core/report/writer.h"

#define PATH_SIZE 256
#define TEXT_SIZE (1 << 20)

static char folder[PATH_SIZE];
static char log_path[2 * PATH_SIZE];
static char text[TEXT_SIZE];

/* --- a disk that can hang --- */

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static atomic_int at_the_disk; /* writes begun so far */
static _Atomic int disk_error;

static ssize_t write_to_disk(int fd, const void *bytes, size_t size)
{
    ssize_t written = -1;

    at_the_disk++;
    pthread_mutex_lock(&disk);
    errno = disk_error;
    if (errno == 0) {
        written = write(fd, bytes, size);
    }
    pthread_mutex_unlock(&disk);
    return written;
}

static const struct dg_log_calls calls = {
    .write = write_to_disk,
    .close = close,
    .socket = socket,
    .connect = connect,
    .send = send,
};

static void freeze(void)
{
    pthread_mutex_lock(&disk);
}

static void thaw(void)
{
    pthread_mutex_unlock(&disk);
}

/* --- what the tests share --- */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Until the condition holds, for ten seconds at most. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        double deadline = seconds() + 10;                                                          \
        while (!(condition)) {                                                                     \
            if (seconds() > deadline)                                                              \
                fail_msg("gave up waiting until %s", #condition);                                  \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

static void start(enum dg_log_target target)
{
    const struct dg_log_policy policy = {
        .target = target, .file = target == DG_LOG_TO_FILE ? log_path : NULL, .level = DG_LOG_INFO};

    dg_log_start(&policy, "beam.smp", &calls);
}

static void say(const char *event, unsigned number)
{
    char value[16];

    (void)snprintf(value, sizeof value, "%u", number);
    dg_log(DG_LOG_INFO, event, "n", value, NULL);
}

static const char *read_log(void)
{
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    assert_true(size >= 0 && (size_t)size < sizeof text - 1);
    text[size] = '\0';
    (void)close(fd);
    return text;
}

/* The thread's entry in /proc/self/task; 0 where there is none. */
static pid_t writer(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    pid_t found = 0;

    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        char path[PATH_SIZE * 2], name[32] = "";
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        if (fgets(name, sizeof name, file) != NULL && strcmp(name, DG_WRITER_NAME "\n") == 0) {
            found = (pid_t)strtol(task->d_name, NULL, 10);
        }
        (void)fclose(file);
    }
    (void)closedir(tasks);
    return found;
}

/* The lines are `event` 0, 1, 2 and so on, some left out; returns how many are there or are told as
 * dropped, in the right place. */
static unsigned count_in_order(const char *lines, const char *event)
{
    char wanted[64];
    unsigned next = 0;

    (void)snprintf(wanted, sizeof wanted, "event=%s n=", event);
    while ((lines = strstr(lines, wanted)) != NULL) {
        char *end;
        unsigned number = (unsigned)strtoul(lines + strlen(wanted), &end, 10), lost = 0;

        if (strncmp(end, " dropped=", 9) == 0) {
            lost = (unsigned)strtoul(end + 9, &end, 10);
        }
        if (number != next + lost || *end != '\n') {
            fail_msg("%s%u comes with dropped=%u where %u was next, and is followed by \"%.20s\"",
                     wanted, number, lost, next, end);
        }
        next = number + 1;
        lines = end;
    }
    return next;
}

/* --- the tests, each in a child --- */

static void test_hangs(void **state)
{
    double before;

    (void)state;
    start(DG_LOG_TO_FILE);
    freeze();
    say("line", 0);
    WAIT_FOR(at_the_disk == 1);
    before = seconds();
    errno = EXDEV;
    for (unsigned i = 1; i < 1000; i++) {
        say("line", i);
    }
    assert_int_equal(errno, EXDEV);
    if (seconds() - before > 5) {
        fail_msg("999 lines took %.1f s: somebody waited for the disk", seconds() - before);
    }
    assert_string_equal(read_log(), "");
    thaw();
    dg_log_flush();
    assert_int_equal(count_in_order(read_log(), "line"), 1000);
    assert_null(strstr(text, "dropped"));
}

/* The lines that found room come out, then the next one tells how many did not. */
static void test_full(void **state)
{
    enum { MANY = 20000 };

    (void)state;
    start(DG_LOG_TO_FILE);
    freeze();
    say("line", 0);
    WAIT_FOR(at_the_disk == 1); /* from here on it takes no more, and makes no room */
    for (unsigned i = 1; i < MANY; i++) {
        say("line", i);
    }
    thaw();
    dg_log_flush();
    assert_in_range(count_in_order(read_log(), "line"), 1000, MANY - 1);
    assert_null(strstr(text, "dropped"));
    say("line", MANY);
    dg_log_flush();
    assert_int_equal(count_in_order(read_log(), "line"), MANY + 1);
}

/* What the disk does not take is counted with what found no room. */
static void test_full_disk(void **state)
{
    (void)state;
    start(DG_LOG_TO_FILE);
    disk_error = ENOSPC;
    for (unsigned i = 0; i < 7; i++) {
        say("line", i);
    }
    dg_log_flush();
    assert_string_equal(read_log(), "");
    disk_error = 0;
    say("line", 7);
    dg_log_flush();
    assert_int_equal(count_in_order(read_log(), "line"), 8);
    assert_non_null(strstr(text, "dropped=7"));
}

static void test_flush_is_bounded(void **state)
{
    double before;

    (void)state;
    start(DG_LOG_TO_FILE);
    freeze();
    say("line", 0);
    before = seconds();
    dg_log_flush();
    if (seconds() - before < 0.9 || seconds() - before > 5) {
        fail_msg("it took %.1f s, wanted one", seconds() - before);
    }
    thaw();
}

/* exit(3) waits for what is to be written. */
static void test_exit(void **state)
{
    pid_t child;
    int status;

    (void)state;
    child = fork();
    if (child == 0) {
        start(DG_LOG_TO_FILE);
        for (unsigned i = 0; i < 500; i++) {
            say("line", i);
        }
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_in_order(read_log(), "line"), 500);
}

/* The child writes what it says and nothing of its parent's, which goes on as it was. */
static void test_fork(void **state)
{
    pid_t child;
    int status;

    (void)state;
    start(DG_LOG_TO_FILE);
    freeze();
    for (unsigned i = 0; i < 20000; i++) {
        say("parents", i);
    }
    child = fork();
    if (child == 0) {
        if (writer() != 0) {
            _exit(1);
        }
        pthread_mutex_init(&disk, NULL); /* the child's thaws */
        say("childs", 0);
        dg_log_flush();
        exit(writer() != 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_in_order(read_log(), "childs"), 1);
    assert_null(strstr(text, "parents"));
    thaw();
    dg_log_flush();
    say("parents", 20000);
    dg_log_flush();
    assert_int_equal(count_in_order(read_log(), "parents"), 20001);
    assert_int_equal(count_in_order(text, "childs"), 1);
}

/* A child that was made behind the fork handlers' back says nothing, and waits for nothing. */
static void test_child_without_handlers(void **state)
{
    pid_t child;
    int status;

    (void)state;
    start(DG_LOG_TO_FILE);
    say("parents", 0);
    dg_log_flush();
    child = _Fork();
    if (child == 0) {
        say("childs", 0);
        dg_log_flush();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    say("parents", 1);
    dg_log_flush();
    assert_int_equal(count_in_order(read_log(), "parents"), 2);
    assert_null(strstr(text, "childs"));
}

static atomic_int handled_by;

static void note_thread(int signal)
{
    (void)signal;
    /* A system call and no more. NOLINTNEXTLINE(bugprone-signal-handler,cert-sig30-c) */
    handled_by = gettid();
}

/* Whose descriptors are not the program's, and which no signal finds. */
static void test_keeps_apart(void **state)
{
    char path[PATH_SIZE * 2];
    sigset_t usr1;
    DIR *descriptors;
    struct dirent *entry;

    (void)state;
    start(DG_LOG_TO_FILE);
    assert_int_equal(writer(), 0);
    say("line", 0);
    dg_log_flush();
    WAIT_FOR(writer() != 0);
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/fd", (int)writer());
    descriptors = opendir(path);
    assert_non_null(descriptors);
    while ((entry = readdir(descriptors)) != NULL) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "2") != 0) {
            fail_msg("it has descriptor %s", entry->d_name);
        }
    }
    (void)closedir(descriptors);

    (void)signal(SIGUSR1, note_thread);
    (void)sigemptyset(&usr1);
    (void)sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    say("line", 1); /* wakes it: a pending signal that it could take, it would */
    dg_log_flush();
    assert_int_equal(handled_by, 0);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    assert_int_equal(handled_by, getpid());
}

static void make_stderr(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    (void)close(fd);
}

/* Behind what the program itself has written there, and before what it writes next. */
static void test_stderr_is_a_file(void **state)
{
    (void)state;
    make_stderr(open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    start(DG_LOG_TO_STDERR);
    assert_int_equal(write(STDERR_FILENO, "before\n", 7), 7);
    say("line", 0);
    dg_log_flush();
    assert_int_equal(write(STDERR_FILENO, "after\n", 6), 6);
    assert_string_equal(read_log(), "before\ndistguard[beam.smp]: event=line n=0\nafter\n");
    WAIT_FOR(writer() != 0); /* it names itself */
}

/* A terminal that is paused, or whose window hangs: a write would wait, poll(2) or not. */
static void test_stderr_is_a_terminal(void **state)
{
    int terminal, screen;
    double before = seconds();

    (void)state;
    assert_int_equal(openpty(&screen, &terminal, NULL, NULL, NULL), 0);
    make_stderr(terminal);
    start(DG_LOG_TO_STDERR);
    for (unsigned i = 0; i < 5000; i++) {
        say("line", i);
    }
    if (seconds() - before > 5) {
        fail_msg("it took %.1f s: somebody waited", seconds() - before);
    }
    WAIT_FOR(writer() != 0); /* it names itself */
    (void)close(screen);
}

/* What cannot block needs no thread. */
static void test_needs_no_thread(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    make_stderr(ends[1]);
    start(DG_LOG_TO_SYSLOG);
    say("line", 0);
    dg_log_tell("a sentence");
    start(DG_LOG_TO_STDERR);
    say("line", 1);
    (void)close(ends[0]);
    make_stderr(open("/dev/null", O_WRONLY | O_CLOEXEC));
    start(DG_LOG_TO_STDERR);
    say("line", 2);
    usleep(50000);
    assert_int_equal(writer(), 0);
}

/* Nobody reads the pipe, and two write to it at the same time: whom poll(2) told that there is room
 * may find none. */
static void *flood(void *unused)
{
    for (unsigned i = 0; i < 3000; i++) {
        say("flood", i);
    }
    return unused;
}

static void test_crowd_at_a_pipe(void **state)
{
    pthread_t threads[4];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    make_stderr(ends[1]);
    start(DG_LOG_TO_STDERR);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, flood, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(writer(), 0);
}

/* The pipe of another user, which cannot be opened anew: the writer may wait for it, nobody else.
 */
static void test_pipe_of_another_user(void **state)
{
    enum { NOBODY = 65534 };
    int ends[2];
    double before = seconds();

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fchown(ends[1], NOBODY, NOBODY), 0);
    assert_int_equal(fchmod(ends[1], 0600), 0);
    make_stderr(ends[1]);
    if (setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1) != 0) {
        return;
    }
    start(DG_LOG_TO_STDERR);
    for (unsigned i = 0; i < 5000; i++) {
        say("line", i);
    }
    if (seconds() - before > 5) {
        fail_msg("it took %.1f s: somebody waited", seconds() - before);
    }
    WAIT_FOR(writer() != 0);
}

/* What is told on stderr comes before what the program says next; but it does not wait for ever for
 * a disk either, however much there is to tell. */
static void test_sentence(void **state)
{
    double before;

    (void)state;
    make_stderr(open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    start(DG_LOG_TO_SYSLOG);
    dg_log_tell("this cannot start: see there");
    assert_int_equal(write(STDERR_FILENO, "badarg\n", 7), 7);
    assert_string_equal(read_log(), "distguard[beam.smp]: this cannot start: see there\nbadarg\n");
    freeze();
    before = seconds();
    for (unsigned i = 0; i < 200; i++) {
        dg_log_tell("nor this");
    }
    if (seconds() - before > 5) {
        fail_msg("it took %.1f s, wanted a tenth of one", seconds() - before);
    }
    assert_null(strstr(read_log(), "nor"));
    thaw();
    dg_log_flush();
    assert_non_null(strstr(read_log(), "badarg\ndistguard[beam.smp]: nor this\n"));
}

/* --- running them --- */

/* By itself that sanitizer ends a child that starts a thread. */
#ifdef __SANITIZE_THREAD__
const char *__tsan_default_options(void);

__attribute__((visibility("default"))) const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_writer.XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)chmod(folder, 0755);
    (void)snprintf(log_path, sizeof log_path, "%s/log", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(log_path);
    return rmdir(folder);
}

enum { PATIENCE = 60 }; /* seconds */

static void become(FILE *output, const struct CMUnitTest *test)
{
    const struct CMUnitTest alone[] = {*test};

    (void)dup2(fileno(output), STDOUT_FILENO);
    (void)dup2(fileno(output), STDERR_FILENO);
    (void)alarm(PATIENCE);
    exit(cmocka_run_group_tests_name("child", alone, NULL, NULL));
}

/* The test that is the state, in a process of its own. */
static void in_child(void **state)
{
    FILE *output = tmpfile();
    int status;
    pid_t child;

    assert_non_null(output);
    child = fork();
    if (child == 0) {
        become(output, *state);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0) {
        rewind(output);
        text[fread(text, 1, sizeof text - 1, output)] = '\0';
        fail_msg("status 0x%x; it said:\n%s", status, text);
    }
    (void)fclose(output);
}

static struct CMUnitTest tests[] = {
    cmocka_unit_test(test_hangs),
    cmocka_unit_test(test_full),
    cmocka_unit_test(test_full_disk),
    cmocka_unit_test(test_flush_is_bounded),
    cmocka_unit_test(test_exit),
    cmocka_unit_test(test_fork),
    cmocka_unit_test(test_child_without_handlers),
    cmocka_unit_test(test_keeps_apart),
    cmocka_unit_test(test_stderr_is_a_file),
    cmocka_unit_test(test_stderr_is_a_terminal),
    cmocka_unit_test(test_needs_no_thread),
    cmocka_unit_test(test_crowd_at_a_pipe),
    cmocka_unit_test(test_pipe_of_another_user),
    cmocka_unit_test(test_sentence),
};

enum { TESTS = sizeof tests / sizeof tests[0] };

int main(void)
{
    struct CMUnitTest guarded[TESTS];

    assert_int_equal(pthread_atfork(NULL, NULL, dg_log_forked), 0);
    (void)setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1); /* which goes to stdout, whatever stderr is */
    for (size_t i = 0; i < TESTS; i++) {
        guarded[i] = (struct CMUnitTest){.name = tests[i].name,
                                         .test_func = in_child,
                                         .setup_func = set_up,
                                         .teardown_func = tear_down,
                                         .initial_state = &tests[i]};
    }
    return cmocka_run_group_tests_name("report/writer", guarded, NULL, NULL);
}
