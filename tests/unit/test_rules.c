/* Reloading: what changes on the disk counts soon, what is broken does not, and nobody who holds
 * rules notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/expiry.h"
#include "shim/core/report/log.h"
#include "shim/core/rules.h"
#include "shim/core/tls/channel.h"
#include "tests/unit/support/pki.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RELOADS = 300 };
#else
enum { RELOADS = 10000 };
#endif

#define DAY ((time_t)24 * 60 * 60)

/* The modules' clocks, which this definition, before libc's, replaces: the one that says when to
 * look goes by our word alone, and the time of day can be stopped. */
static _Atomic time_t ahead = 1;
static struct timespec stopped;

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock == CLOCK_MONOTONIC_COARSE) {
        *time = (struct timespec){.tv_sec = ahead};
        return 0;
    }
    if (clock == CLOCK_REALTIME && stopped.tv_sec != 0) {
        *time = stopped;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}

/* --- the policy, its files, the log --- */

static char *log_file;
static long log_read; /* how much of it was looked at */

static void write_policy(const char *settings)
{
    char text[2048];

    (void)snprintf(text, sizeof text,
                   "version = 1; profiles: { p: { mode = \"require\";\n"
                   "tls: { certificate = \"%s\"; private_key = \"%s\"; ca = \"%s\"; };\n%s } };",
                   pki_path("live/node.pem"), pki_path("live/node.key"), pki_path("live/ca.pem"),
                   settings);
    pki_write("live/shim.conf", text);
}

static void install(const char *authority)
{
    static const char *const files[] = {"node.pem", "node.key", "ca.pem"};
    char from[64];
    char to[64];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(from, sizeof from, "%s/%s", authority, files[i]);
        (void)snprintf(to, sizeof to, "live/%s", files[i]);
        pki_copy(from, to);
    }
}

/* What the log has got since it was last asked; good until then. */
static const char *news(void)
{
    static char text[16 * 1024];
    FILE *file;
    size_t size = 0;

    dg_log_flush();
    file = fopen(log_file, "r");
    if (file != NULL) {
        (void)fseek(file, log_read, SEEK_SET);
        size = fread(text, 1, sizeof text - 1, file);
        log_read += (long)size;
        (void)fclose(file);
    }
    text[size] = '\0';
    return text;
}

static int forget_log(void)
{
    log_read = 0;
    dg_log_flush();
    return truncate(log_file, 0);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (; (text = strstr(text, word)) != NULL; text += strlen(word)) {
        count++;
    }
    return count;
}

static void assert_has(const char *text, const char *word, size_t times)
{
    if (count_of(text, word) != times) {
        fail_msg("\"%s\" is to be there %zu times; there is:\n%s", word, times, text);
    }
}

/* As if a connection were made a second later; the generation that counts then. */
static unsigned renew(void)
{
    const struct dg_rules *rules;
    unsigned generation;

    ahead++;
    dg_rules_renew();
    rules = dg_rules_hold();
    generation = rules->generation;
    dg_rules_release(rules);
    return generation;
}

/* Behind the grain of the file system's clock: what is written by now is not read twice. */
static void settle(void)
{
    usleep(30000);
}

static void start_log(void)
{
    static struct dg_log_policy policy = {.target = DG_LOG_TO_FILE, .level = DG_LOG_INFO};
    static const struct dg_log_calls calls = {
        .write = write, .close = close, .socket = socket, .connect = connect, .send = send};

    log_file = strdup(pki_path("live/log"));
    policy.file = log_file;
    dg_log_start(&policy, "beam.smp", &calls);
}

static int set_up(void **state)
{
    struct dg_error error = {""};

    if (pki_make(state) != 0 || mkdir(pki_path("live"), 0700) != 0) {
        return -1;
    }
    start_log();
    install("ours");
    write_policy("");
    setenv("DISTGUARD_CONF", pki_path("live/shim.conf"), 1);
    unsetenv("DISTGUARD_PROFILE");
    settle();
    if (dg_rules_read(&error) != 0 || dg_rules_start(&error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"node.pem", "node.key", "ca.pem", "shim.conf", "log"};
    char name[64];

    dg_rules_drop();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(name, sizeof name, "live/%s", files[i]);
        (void)unlink(pki_path(name));
    }
    (void)rmdir(pki_path("live"));
    free(log_file);
    return pki_remove(state);
}

/* Each test begins with what is good, read and told. */
static int begin(void **state)
{
    (void)state;
    install("ours");
    write_policy("");
    settle();
    (void)renew();
    return forget_log();
}

/* --- what is noticed --- */

static void test_untouched_files_are_left_alone(void **state)
{
    unsigned generation = renew();

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(renew(), generation);
    }
    assert_string_equal(news(), "");
}

static void test_new_certificates_count(void **state)
{
    const struct dg_rules *held = dg_rules_hold();
    unsigned generation = renew();

    (void)state;
    install("other");
    settle();
    assert_int_equal(renew(), generation + 1);
    assert_has(news(), "event=reloaded", 1);
    assert_int_equal(renew(), generation + 1);
    assert_int_equal(held->generation, generation);
    dg_rules_release(held);
}

static void test_a_second_is_not_looked_at_twice(void **state)
{
    unsigned generation = renew();

    (void)state;
    write_policy("local = \"deny\";");
    settle();
    for (int i = 0; i < 100; i++) {
        const struct dg_rules *rules;

        dg_rules_renew();
        rules = dg_rules_hold();
        assert_int_equal(rules->generation, generation);
        dg_rules_release(rules);
    }
    assert_int_equal(renew(), generation + 1);
}

static void test_files_as_fresh_as_the_look_are_read_again(void **state)
{
    unsigned generation = renew();
    struct stat status;

    (void)state;
    write_policy("local = \"allow\";");
    assert_int_equal(stat(pki_path("live/shim.conf"), &status), 0);
    stopped = status.st_ctim;
    assert_int_equal(renew(), generation + 1);
    /* Written on within the same tick they would look the same. */
    stopped.tv_sec += 1;
    assert_int_equal(renew(), generation + 2);
    assert_int_equal(renew(), generation + 2);
    stopped.tv_sec = 0;
}

/* --- what is broken --- */

/* After the damage: told once with this reason, the old kept; once mended, all is well. */
static void assert_kept(const char *reason)
{
    const struct dg_rules *rules = dg_rules_hold();
    const char *told;

    settle();
    for (int i = 0; i < 4; i++) {
        if (renew() != rules->generation) {
            fail_msg("a broken set counts: %s", news());
        }
    }
    assert_non_null(rules->credentials);
    told = news();
    assert_has(told, "event=reload_failed", 1);
    assert_has(told, reason, 1);
    begin(NULL);
    assert_int_equal(renew(), rules->generation + 1);
    dg_rules_release(rules);
}

static void test_garbage_is_not_taken(void **state)
{
    (void)state;
    pki_write("live/node.pem", "-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n");
    assert_kept("or a broken one (PEM is expected)");
    pki_write("live/ca.pem", "");
    assert_kept("holds no certificate");
    pki_write("live/shim.conf", "version = 1; profiles: { p: { mode = \"requir");
    assert_kept("shim.conf:1");
}

static void test_the_key_of_another_is_not_taken(void **state)
{
    (void)state;
    pki_copy("ours/peer.key", "live/node.key");
    assert_kept("private key does not belong to the certificate");
}

static void test_a_certificate_that_no_peer_would_accept_is_not_taken(void **state)
{
    (void)state;
    pki_copy("other/node.pem", "live/node.pem");
    pki_copy("other/node.key", "live/node.key");
    assert_kept("no peer would accept this certificate");
}

static void test_a_half_written_file_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(truncate(pki_path("live/node.pem"), 300), 0);
    assert_kept("or a broken one");
    assert_int_equal(truncate(pki_path("live/node.key"), 100), 0);
    assert_kept("private key cannot be used");
}

static void test_a_missing_file_is_not_the_end(void **state)
{
    (void)state;
    assert_int_equal(unlink(pki_path("live/ca.pem")), 0);
    assert_kept("No such file or directory");
    assert_int_equal(unlink(pki_path("live/shim.conf")), 0);
    assert_kept("No such file or directory");
}

static void test_a_key_that_others_can_read_is_not_taken(void **state)
{
    (void)state;
    assert_int_equal(chmod(pki_path("live/node.key"), 0644), 0);
    assert_kept("open to others (mode 0644)");
    assert_int_equal(chmod(pki_path("live/node.key"), 0600), 0);
}

static void test_the_same_damage_after_a_repair_is_told_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rename(pki_path("live/ca.pem"), pki_path("live/log.aside")), 0);
        (void)renew();
        assert_has(news(), "event=reload_failed", 1);
        assert_int_equal(rename(pki_path("live/log.aside"), pki_path("live/ca.pem")), 0);
        settle();
        (void)renew();
        assert_has(news(), "event=reload", 1);
    }
}

/* --- what waits for a restart --- */

static void test_what_waits_is_measured_by_the_start(void **state)
{
    const char *told;

    (void)state;
    write_policy("distribution: { bind = \"any\"; };");
    settle();
    (void)renew();
    told = news();
    assert_has(told, "event=needs_restart", 1);
    assert_has(told, "keys=\"distribution.bind, epmd.bind\"", 1);
    write_policy("distribution: { bind = \"any\"; }; local = \"deny\";");
    settle();
    (void)renew();
    assert_has(news(), "event=needs_restart", 0);
    /* Back to what the program has started with. */
    write_policy("");
    settle();
    (void)renew();
    told = news();
    assert_has(told, "event=reloaded", 1);
    assert_has(told, "event=needs_restart", 0);
}

/* --- what the caller notices --- */

static void test_errno_and_the_error_queue_stay(void **state)
{
    static const char *const sets[] = {"other", "ours"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        install(sets[i]);
        if (i == 1) {
            pki_write("live/node.key", "garbage");
        }
        ahead++;
        errno = EPROTO;
        dg_rules_renew();
        assert_int_equal(errno, EPROTO);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* --- many times, many at once --- */

static size_t in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void test_reloads_leave_nothing_behind(void **state)
{
    /* OpenSSL keeps some tables of its own, those of 3.5 some 50 KB in the long run; a block lost
     * by each reload would be 32 bytes at least. */
    enum { WARM = RELOADS / 10, SLACK = 4 * 1024 + 8 * RELOADS };
    unsigned first = renew();
    size_t before = 0;
    size_t after;

    (void)state;
    for (unsigned i = 1; i <= RELOADS; i++) {
        /* Each changes what a look sees: the time of one file. */
        const struct timespec times[2] = {{.tv_sec = 1000000000 + i}, {.tv_sec = 1000000000 + i}};

        assert_int_equal(utimensat(0, pki_path("live/ca.pem"), times, 0), 0);
        assert_true(renew() >= first + i);
        if (i == WARM) {
            before = in_use();
        }
        if (i % 100 == 0) {
            assert_int_equal(forget_log(), 0);
        }
    }
    after = in_use();
    if (after > before + SLACK) {
        fail_msg("%d reloads: %zu bytes in use before, %zu after", RELOADS, before, after);
    }
}

static atomic_bool over;
static atomic_uint held;

static ssize_t receive_nothing(int fd, void *bytes, size_t size, bool peek)
{
    (void)fd;
    (void)bytes;
    (void)size;
    (void)peek;
    errno = EAGAIN;
    return -1;
}

static ssize_t send_all(int fd, const void *bytes, size_t size)
{
    (void)fd;
    (void)bytes;
    return (ssize_t)size;
}

static int shut_nothing(int fd, int how)
{
    (void)fd;
    (void)how;
    return 0;
}

/* Begins handshakes under rules that may be replaced at any moment. */
static void *holder(void *unused)
{
    static const struct dg_transport transport = {receive_nothing, send_all, shut_nothing};

    (void)unused;
    while (!atomic_load(&over)) {
        const struct dg_rules *rules = dg_rules_hold();
        struct dg_channel *channel =
            dg_channel_new(rules->credentials, DG_CHANNEL_CLIENT, &transport, 5.0);
        struct iovec vector = {.iov_base = (char[]){"x"}, .iov_len = 1};

        assert_non_null(channel);
        dg_rules_renew();
        assert_true(dg_channel_send(channel, -1, &vector, 1) >= 0);
        assert_int_equal(rules->policy->mode, DG_MODE_REQUIRE);
        dg_channel_free(channel);
        dg_rules_refresh(&rules);
        dg_rules_release(rules);
        atomic_fetch_add(&held, 1);
    }
    return NULL;
}

static void test_rules_are_held_while_others_replace_them(void **state)
{
    enum { HOLDERS = 4, SWAPS = 100 };
    pthread_t holders[HOLDERS];
    unsigned first = renew();

    (void)state;
    for (size_t i = 0; i < HOLDERS; i++) {
        assert_int_equal(pthread_create(&holders[i], NULL, holder, NULL), 0);
    }
    for (int i = 1; i <= SWAPS; i++) {
        const struct timespec times[2] = {{.tv_sec = 1100000000 + i}, {.tv_sec = 1100000000 + i}};

        assert_int_equal(utimensat(0, pki_path("live/ca.pem"), times, 0), 0);
        (void)renew();
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < HOLDERS; i++) {
        assert_int_equal(pthread_join(holders[i], NULL), 0);
    }
    assert_true(renew() > first);
    assert_true(held > 0);
}

/* --- expiry --- */

static void test_an_end_is_told_at_each_threshold(void **state)
{
    const struct pki_special special = {
        .name = "soon", .from = -400L * DAY, .until = 40L * DAY, .usages = "serverAuth,clientAuth"};
    struct dg_policy policy = {.mode = DG_MODE_REQUIRE};
    struct dg_credentials *credentials;
    time_t now = time(NULL);
    const char *told;

    (void)state;
    pki_special("ours", &special);
    policy.tls = pki_policy("ours", "soon", "ours");
    credentials = pki_credentials_of(&policy);
    dg_expiry_begin(credentials, now);
    told = news();
    assert_has(told, "what=certificate", 0);
    dg_expiry_again(credentials, now + 11 * DAY);
    told = news();
    assert_has(told, "event=expires what=certificate name=DNS:node.example.org file=", 1);
    assert_has(told, "soon.pem days=29 expires=", 1);
    /* Not before an hour has passed, and then nothing that was told. */
    dg_expiry_again(credentials, now + 11 * DAY + 3599);
    dg_expiry_again(credentials, now + 12 * DAY);
    assert_has(news(), "what=certificate", 0);
    dg_expiry_again(credentials, now + 34 * DAY);
    assert_has(news(), "what=certificate name=DNS:node.example.org", 1);
    dg_expiry_again(credentials, now + 39 * DAY + 60);
    assert_has(news(), "days=0 ", 1);
    dg_expiry_again(credentials, now + 42 * DAY);
    assert_has(news(), "days=-2 ", 1);
    dg_expiry_again(credentials, now + 50 * DAY);
    assert_has(news(), "event=expires", 0);
    /* A set that is loaded anew is told of anew. */
    dg_expiry_begin(credentials, now + 50 * DAY);
    assert_has(news(), "what=certificate name=DNS:node.example.org", 1);
    dg_expiry_begin(NULL, now);
    assert_string_equal(news(), "");
    dg_credentials_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_untouched_files_are_left_alone, begin),
        cmocka_unit_test_setup(test_new_certificates_count, begin),
        cmocka_unit_test_setup(test_a_second_is_not_looked_at_twice, begin),
        cmocka_unit_test_setup(test_files_as_fresh_as_the_look_are_read_again, begin),
        cmocka_unit_test_setup(test_garbage_is_not_taken, begin),
        cmocka_unit_test_setup(test_the_key_of_another_is_not_taken, begin),
        cmocka_unit_test_setup(test_a_certificate_that_no_peer_would_accept_is_not_taken, begin),
        cmocka_unit_test_setup(test_a_half_written_file_is_not_taken, begin),
        cmocka_unit_test_setup(test_a_missing_file_is_not_the_end, begin),
        cmocka_unit_test_setup(test_a_key_that_others_can_read_is_not_taken, begin),
        cmocka_unit_test_setup(test_the_same_damage_after_a_repair_is_told_again, begin),
        cmocka_unit_test_setup(test_what_waits_is_measured_by_the_start, begin),
        cmocka_unit_test_setup(test_errno_and_the_error_queue_stay, begin),
        cmocka_unit_test_setup(test_reloads_leave_nothing_behind, begin),
        cmocka_unit_test_setup(test_rules_are_held_while_others_replace_them, begin),
        cmocka_unit_test_setup(test_an_end_is_told_at_each_threshold, begin),
    };

    return cmocka_run_group_tests_name("rules", tests, set_up, tear_down);
}
