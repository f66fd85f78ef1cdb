/* The audit log: what a line looks like, where it goes, and what happens when it cannot go there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/core/report/log.h"
#include "shim/core/report/timestamp.h"

#define PATH_SIZE 256
#define LINE_SIZE 4096
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char folder[PATH_SIZE];
static char log_path[2 * PATH_SIZE];
static char syslog_path[2 * PATH_SIZE]; /* stands for /dev/log */
static int saved_stderr = -1;
static atomic_int opened_sockets, closed_descriptors; /* by whichever thread logs */

/* The calls, counted; a connection to /dev/log goes to our own socket. */

static int counting_socket(int domain, int type, int protocol)
{
    assert_int_equal(domain, AF_UNIX);
    assert_int_equal(type, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    opened_sockets++;
    return socket(domain, type, protocol);
}

static int counting_close(int fd)
{
    closed_descriptors++;
    return close(fd);
}

static int redirected_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};

    assert_int_equal(size, sizeof own);
    assert_string_equal(((const struct sockaddr_un *)(const void *)address)->sun_path, "/dev/log");
    memcpy(own.sun_path, syslog_path, strlen(syslog_path) + 1);
    return connect(fd, (const struct sockaddr *)&own, sizeof own);
}

static const struct dg_log_calls calls = {
    .write = write,
    .close = counting_close,
    .socket = counting_socket,
    .connect = redirected_connect,
    .send = send,
};

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_log.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(log_path, sizeof log_path, "%s/log", folder);
    (void)snprintf(syslog_path, sizeof syslog_path, "%s/dev", folder);
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    return saved_stderr < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    unlink(log_path);
    unlink(syslog_path);
    return rmdir(folder);
}

static void start(enum dg_log_target target, enum dg_log_level level)
{
    const struct dg_log_policy policy = {
        .target = target, .file = target == DG_LOG_TO_FILE ? log_path : NULL, .level = level};

    dg_log_start(&policy, "beam.smp", &calls);
    opened_sockets = closed_descriptors = 0;
}

/* Lets fd 2 be `fd`, which is closed under its own number. */
static void make_stderr(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
}

/* All that can be read without waiting, as text. */
static const char *drain(int fd)
{
    static char text[1 << 19];
    size_t used = 0;
    ssize_t got;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((got = read(fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    return text;
}

static const char *log_file(void)
{
    int fd;
    const char *text;

    dg_log_flush();
    fd = open(log_path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    text = drain(fd);
    close(fd);
    return text;
}

/* What stands behind the time of a line in the log file. */
static const char *behind_time(const char *line)
{
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

    for (size_t i = 0; pattern[i] != '\0'; i++)
        if (pattern[i] == 'd' ? line[i] < '0' || line[i] > '9' : line[i] != pattern[i])
            fail_msg("no RFC 3339 time at the start of \"%s\"", line);
    return line + sizeof pattern - 1;
}

/* The format. */

static size_t format(char *line, size_t size, const char *event, ...)
{
    va_list pairs;
    size_t length;

    va_start(pairs, event);
    length = dg_log_format(line, size, event, pairs);
    va_end(pairs);
    return length;
}

static void test_pairs(void **state)
{
    char line[LINE_SIZE];
    size_t length = format(line, sizeof line, "refused", "peer", "10.0.0.1:4711", "reason",
                           "no certificate", "name", NULL, "role", "epmd", NULL);

    (void)state;
    assert_string_equal(line,
                        "event=refused peer=10.0.0.1:4711 reason=\"no certificate\" role=epmd");
    assert_int_equal(length, strlen(line));
}

static void test_quoting(void **state)
{
    static const char *const values[][2] = {
        {"", "\"\""},
        {"a", "a"},
        {"[::1]:4369", "[::1]:4369"},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"\\x0a", "\"\\\\x0a\""},
        {"a\nevent=admitted", "\"a\\x0aevent=admitted\""},
        {"\t\r\x1b[2J\x7f", "\"\\x09\\x0d\\x1b[2J\\x7f\""},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xff", "\"\\xff\""},
        {"\x80", "\"\\x80\""},
        {"\xc3", "\"\\xc3\""},
        {"\xc3(", "\"\\xc3(\""},
        {"\xc0\xaf", "\"\\xc0\\xaf\""},
        {"\xe0\x80\xaf", "\"\\xe0\\x80\\xaf\""},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
        {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
        {"\xf8\x88\x80\x80\x80", "\"\\xf8\\x88\\x80\\x80\\x80\""},
        {"\xc2\x9b", "\"\\xc2\\x9b\""},
        {"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""},
        {"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        char line[LINE_SIZE], wanted[LINE_SIZE];

        (void)snprintf(wanted, sizeof wanted, "event=e v=%s", values[i][1]);
        format(line, sizeof line, "e", "v", values[i][0], NULL);
        assert_string_equal(line, wanted);
    }
}

static void test_every_byte(void **state)
{
    (void)state;
    for (unsigned byte = 1; byte < 256; byte++) {
        char line[LINE_SIZE], value[] = {(char)byte, '\0'};

        format(line, sizeof line, "e", "v", value, NULL);
        for (const char *c = line; *c != '\0'; c++)
            if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
                fail_msg("byte 0x%02x came through: %s", byte, line);
    }
}

/* Whatever the size, a line is within it, ends no quotation early and cuts no escape in two. */
static void test_cut(void **state)
{
    static const char whole[] =
        "event=refused a=\"x\\x0a\\\"\xc3\xbc y\" b=\xe2\x82\xac\xe2\x82\xac c=1";

    (void)state;
    for (size_t size = 0; size <= sizeof whole; size++) {
        char line[sizeof whole + 1];
        size_t length, quotes = 0;

        memset(line, '#', sizeof line);
        length = format(line, size, "refused", "a", "x\n\"\xc3\xbc y", "b",
                        "\xe2\x82\xac\xe2\x82\xac", "c", "1", NULL);
        if (size == 0) {
            assert_int_equal(line[0], '#');
            continue;
        }
        assert_true(length < size);
        assert_int_equal(line[length], '\0');
        assert_int_equal(line[size], '#');
        for (size_t i = 0; i < length; i++) {
            if (line[i] == '\\')
                i += line[i + 1] == 'x' ? 3 : 1;
            else if (line[i] == '"')
                quotes++;
        }
        if (quotes % 2 != 0)
            fail_msg("cut at %zu, the quotation is open: %s", size, line);
        if (size == sizeof whole)
            assert_string_equal(line, whole);
    }
}

static void test_timestamps(void **state)
{
    static const struct {
        long seconds;
        const char *text;
    } times[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782399, "2000-02-28T23:59:59.000Z"},
        {951782400, "2000-02-29T00:00:00.000Z"},
        {951868800, "2000-03-01T00:00:00.000Z"},
        {1735689599, "2024-12-31T23:59:59.000Z"},
        {4107542400, "2100-03-01T00:00:00.000Z"},
        {253402300799, "9999-12-31T23:59:59.000Z"},
    };
    const struct timespec odd = {.tv_sec = 1, .tv_nsec = 7999999};
    char text[DG_TIMESTAMP_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        const struct timespec time = {.tv_sec = times[i].seconds};

        dg_timestamp(&time, text);
        assert_string_equal(text, times[i].text);
    }
    dg_timestamp(&odd, text);
    assert_string_equal(text, "1970-01-01T00:00:01.007Z");
}

/* The targets. */

static void test_file(void **state)
{
    static const char first[] = "distguard[beam.smp]: event=first a=1\n";
    struct stat status;
    const char *line;

    (void)state;
    start(DG_LOG_TO_FILE, DG_LOG_INFO);
    umask(0);
    dg_log(DG_LOG_INFO, "first", "a", "1", NULL);
    dg_log(DG_LOG_DEBUG, "unheard", NULL);
    dg_log(DG_LOG_ERROR, "second", NULL);
    line = log_file();
    assert_string_equal(behind_time(strchr(line, '\n') + 1), "distguard[beam.smp]: event=second\n");
    assert_int_equal(strncmp(behind_time(line), first, strlen(first)), 0);
    assert_int_equal(stat(log_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(closed_descriptors, 2);
}

static void test_file_gone_and_back(void **state)
{
    (void)state;
    start(DG_LOG_TO_FILE, DG_LOG_INFO);
    dg_log(DG_LOG_INFO, "first", NULL);
    dg_log_flush();
    assert_int_equal(unlink(log_path), 0);
    dg_log(DG_LOG_INFO, "rotated", NULL);
    assert_string_equal(behind_time(log_file()), "distguard[beam.smp]: event=rotated\n");
    /* Now the path leads elsewhere: nothing is written there, and the lines lost are told. */
    assert_int_equal(rename(log_path, syslog_path), 0);
    assert_int_equal(symlink(syslog_path, log_path), 0);
    errno = EXDEV;
    dg_log(DG_LOG_INFO, "lost", NULL);
    dg_log(DG_LOG_INFO, "lost", NULL);
    assert_int_equal(errno, EXDEV);
    dg_log_flush();
    assert_int_equal(unlink(log_path), 0);
    dg_log(DG_LOG_INFO, "third", "a", "b", NULL);
    assert_string_equal(behind_time(log_file()),
                        "distguard[beam.smp]: event=third a=b dropped=2\n");
    dg_log(DG_LOG_INFO, "fourth", NULL);
    assert_string_equal(behind_time(strchr(log_file(), '\n') + 1),
                        "distguard[beam.smp]: event=fourth\n");
}

/* A line is cut so that there is room for the greatest count. */
static void test_long_line(void **state)
{
    static const char end[] = "xxx\" dropped=1\n";
    const size_t longest = 1000 - strlen("18446744073709551615") + strlen("1");
    char value[LINE_SIZE];
    const char *line;

    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    value[10] = ' ';
    start(DG_LOG_TO_FILE, DG_LOG_INFO);
    mkdir(log_path, 0700);
    dg_log(DG_LOG_INFO, "lost", NULL);
    dg_log_flush();
    rmdir(log_path);
    dg_log(DG_LOG_INFO, "long", "v", value, NULL);
    line = log_file();
    assert_in_range(strlen(line), longest - 1, longest);
    assert_string_equal(line + strlen(line) - strlen(end), end);
}

static int bind_syslog(void)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(own.sun_path, syslog_path, strlen(syslog_path) + 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&own, sizeof own), 0);
    return fd;
}

static void test_syslog(void **state)
{
    static const int priorities[] = {31, 30, 28, 27}; /* facility daemon, severity by RFC 3164 */
    int fd = bind_syslog();

    (void)state;
    start(DG_LOG_TO_SYSLOG, DG_LOG_DEBUG);
    for (enum dg_log_level level = DG_LOG_DEBUG; level <= DG_LOG_ERROR; level++) {
        char wanted[LINE_SIZE];

        dg_log(level, "refused", "peer", "::1", NULL);
        (void)snprintf(wanted, sizeof wanted,
                       "<%d>distguard[%ld]: program=beam.smp event=refused "
                       "peer=::1",
                       priorities[level], (long)getpid());
        assert_string_equal(drain(fd), wanted);
    }
    assert_int_equal(opened_sockets, 4);
    assert_int_equal(closed_descriptors, 4);
    close(fd);
}

static void test_no_syslog(void **state)
{
    const char *line;
    int fd;

    (void)state;
    start(DG_LOG_TO_SYSLOG, DG_LOG_INFO);
    errno = EXDEV;
    dg_log(DG_LOG_INFO, "lost", NULL);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(closed_descriptors, 1);
    fd = bind_syslog();
    dg_log(DG_LOG_INFO, "heard", NULL);
    line = drain(fd);
    if (strstr(line, "event=heard dropped=1") == NULL)
        fail_msg("got \"%s\"", line);
    close(fd);
}

/* A daemon that does not read: we do not wait for it. */
static void test_full_syslog(void **state)
{
    int fd = bind_syslog();
    char byte;

    (void)state;
    start(DG_LOG_TO_SYSLOG, DG_LOG_INFO);
    for (int i = 0; i < 10000; i++)
        dg_log(DG_LOG_INFO, "flood", NULL);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
    drain(fd);
    dg_log(DG_LOG_INFO, "heard", NULL);
    if (strstr(drain(fd), "event=heard dropped=") == NULL)
        fail_msg("the lost lines were not told");
    assert_int_equal(opened_sockets, closed_descriptors);
    close(fd);
}

static void test_stderr(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    make_stderr(ends[1]);
    start(DG_LOG_TO_STDERR, DG_LOG_WARNING);
    dg_log(DG_LOG_INFO, "unheard", NULL);
    dg_log(DG_LOG_WARNING, "refused", "peer", "x", NULL);
    assert_string_equal(drain(ends[0]), "distguard[beam.smp]: event=refused peer=x\n");
    assert_int_equal(closed_descriptors, 1);
    close(ends[0]);
}

/* As under systemd, whose journal is a stream. */
static void test_stderr_is_a_socket(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    make_stderr(pair[1]);
    start(DG_LOG_TO_STDERR, DG_LOG_INFO);
    for (int i = 0; i < 10000; i++) /* more than it takes; a write would block for ever */
        dg_log(DG_LOG_INFO, "flood", NULL);
    drain(pair[0]);
    dg_log(DG_LOG_INFO, "heard", NULL);
    if (strstr(drain(pair[0]), "event=heard dropped=") == NULL)
        fail_msg("the lost lines were not told");
    close(pair[0]);
}

static void test_full_pipe(void **state)
{
    static const char filling[PIPE_BUF];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    make_stderr(ends[1]);
    start(DG_LOG_TO_STDERR, DG_LOG_INFO);
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, filling, sizeof filling) > 0)
        continue;
    fcntl(STDERR_FILENO, F_SETFL, 0);
    errno = EXDEV;
    dg_log(DG_LOG_INFO, "lost", NULL); /* a write would block for ever */
    assert_int_equal(errno, EXDEV);
    drain(ends[0]);
    dg_log(DG_LOG_INFO, "heard", NULL);
    assert_string_equal(drain(ends[0]), "distguard[beam.smp]: event=heard dropped=1\n");
    close(ends[0]);
}

/* Without a reader, a write would raise SIGPIPE, whose default is death. */
static void test_pipe_without_reader(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    make_stderr(ends[1]);
    start(DG_LOG_TO_STDERR, DG_LOG_INFO);
    close(ends[0]);
    dg_log(DG_LOG_INFO, "lost", NULL);
}

static void test_closed_stderr(void **state)
{
    int ends[2];

    (void)state;
    close(STDERR_FILENO);
    start(DG_LOG_TO_STDERR, DG_LOG_INFO);
    errno = EXDEV;
    dg_log(DG_LOG_INFO, "lost", NULL);
    assert_int_equal(errno, EXDEV);
    /* It was closed when we started, so whatever gets the number later is not ours. */
    assert_int_equal(pipe(ends), 0);
    if (ends[1] != STDERR_FILENO)
        assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    dg_log(DG_LOG_INFO, "lost", NULL);
    if (ends[0] != STDERR_FILENO)
        assert_string_equal(drain(ends[0]), "");
    dup2(saved_stderr, STDERR_FILENO);
    for (size_t i = 0; i < 2; i++)
        if (ends[i] != STDERR_FILENO)
            close(ends[i]);
}

/* The bug of many a daemon: its log lines in somebody's connection. */
static void test_stderr_replaced_by_a_socket(void **state)
{
    int before[2], pair[2];

    (void)state;
    assert_int_equal(pipe(before), 0);
    make_stderr(before[1]);
    start(DG_LOG_TO_STDERR, DG_LOG_INFO);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    make_stderr(pair[1]);
    errno = EXDEV;
    dg_log(DG_LOG_INFO, "lost", NULL);
    assert_int_equal(errno, EXDEV);
    assert_string_equal(drain(pair[0]), "");
    close(pair[0]);
    close(before[0]);
}

static void *write_many(void *unused)
{
    for (int i = 0; i < 500; i++)
        dg_log(DG_LOG_INFO, "line", "v", "some words to make it longer", NULL);
    return unused;
}

/* How many lines this one stands for: itself, and those that it says were dropped. */
static unsigned lines_told(const char *line, const char *event)
{
    const char *rest = behind_time(line), *dropped;

    assert_memory_equal(rest, event, strlen(event));
    rest += strlen(event);
    dropped = strncmp(rest, " dropped=", 9) == 0 ? rest + 9 : NULL;
    if (*rest != '\n' && dropped == NULL)
        fail_msg("the line does not end where it should: %.200s", line);
    return 1 + (dropped == NULL ? 0 : (unsigned)strtoul(dropped, NULL, 10));
}

/* Faster than any disk: some are dropped, each is whole, and the count is right. */
static void test_threads(void **state)
{
    static const char event[] =
        "distguard[beam.smp]: event=line v=\"some words to make it longer\"";
    static const char last[] = "distguard[beam.smp]: event=last";
    pthread_t threads[4];
    const char *line;
    unsigned told = 0;

    (void)state;
    start(DG_LOG_TO_FILE, DG_LOG_INFO);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    dg_log_flush();
    dg_log(DG_LOG_INFO, "last", NULL);
    for (line = log_file(); strncmp(behind_time(line), last, strlen(last)) != 0;
         line = strchr(line, '\n') + 1)
        told += lines_told(line, event);
    told += lines_told(line, last);
    assert_int_equal(told, 2001);
}

/* Runs first: the log has not been started. */
static void test_not_started(void **state)
{
    (void)state;
    dg_log(DG_LOG_ERROR, "unheard", NULL);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_started),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_timestamps),
        IN_FOLDER(test_file),
        IN_FOLDER(test_file_gone_and_back),
        IN_FOLDER(test_long_line),
        IN_FOLDER(test_syslog),
        IN_FOLDER(test_no_syslog),
        IN_FOLDER(test_full_syslog),
        IN_FOLDER(test_stderr),
        IN_FOLDER(test_stderr_is_a_socket),
        IN_FOLDER(test_full_pipe),
        IN_FOLDER(test_pipe_without_reader),
        IN_FOLDER(test_closed_stderr),
        IN_FOLDER(test_stderr_replaced_by_a_socket),
        IN_FOLDER(test_threads),
    };

    return cmocka_run_group_tests_name("report/log", tests, NULL, NULL);
}
