/*
 * Memory that is out once, at each place in turn: OpenSSL's allocations and our own fail one after
 * the other under everything that a peer or a changed file can set going. Nothing may crash or leak
 * (this runs under the sanitizers, too), no plaintext may come out, and who is told of it must be
 * able to make sense of what he is told.
 *
 * The linker leads our calls here (tests.mk); OpenSSL is asked to use ours. DG_STRIDE=1 tries every
 * allocation of OpenSSL's, which are many, and not only every so-manieth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/rules.h"
#include "shim/core/socket/joining.h"
#include "shim/core/tls/internal.h"
#include "tests/unit/support/kernel.h"
#include "tests/unit/support/pki.h"

enum {
    CLIENT = KERNEL_CLIENT,
    SERVER = KERNEL_SERVER,
    STRIDE = 37,
    ROUNDS = 12,
    PIECE = 40000,
    PATIENCE = 20
};

/* --- allocations --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whose allocations count, how many there were, and which of them fails; 0: none. */
static enum { NOBODYS, OURS, OPENSSLS } counted;
static unsigned long count, failing;
static bool has_failed;

static bool fails(int whose)
{
    if ((int)counted != whose || ++count != failing) {
        return false;
    }
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails(OURS) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size)
{
    return fails(OURS) ? NULL : __real_calloc(number, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails(OURS) ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(OURS) ? NULL : __real_strdup(text);
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    int size;

    if (fails(OURS)) {
        return -1;
    }
    va_start(arguments, format);
    size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size == 0 || fails(OPENSSLS) ? NULL : __real_malloc(size);
}

static void *openssl_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails(OPENSSLS) ? NULL : __real_realloc(memory, size);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

static unsigned long stride_of(int whose)
{
    const char *wanted = getenv("DG_STRIDE");

    return whose == OURS ? 1 : wanted != NULL ? strtoul(wanted, NULL, 10) : STRIDE;
}

static int whose_turn;

static void armed(void)
{
    count = 0;
    has_failed = false;
    counted = (unsigned)whose_turn;
}

static void disarmed(void)
{
    counted = NOBODYS;
}

/* Runs it with no failure, and then with each one of those allocations failing. `operation` calls
 * armed() where they begin to count, and disarmed() before it judges. */
static void exhaust(const char *name, int whose, void (*operation)(void))
{
    unsigned long all;

    whose_turn = whose;
    failing = 0;
    operation(); /* what is made only once is made */
    operation();
    all = count;
    for (unsigned long next = 1; next <= all; next += stride_of(whose)) {
        failing = next;
        operation();
    }
    failing = 0;
    print_message("%s: %lu allocations of %s\n", name, all, whose == OURS ? "ours" : "OpenSSL's");
    assert_true(whose == OPENSSLS || all > 0);
}

/* --- channels --- */

/* The simulated kernel's own memory is never out. */

static ssize_t kernel_receive(int fd, void *bytes, size_t size, bool peek)
{
    int was = (int)counted;
    ssize_t result;

    disarmed();
    result = kernel_transport.receive(fd, bytes, size, peek);
    counted = (unsigned)was;
    return result;
}

static ssize_t kernel_send(int fd, const void *bytes, size_t size)
{
    int was = (int)counted;
    ssize_t result;

    disarmed();
    result = kernel_transport.send(fd, bytes, size);
    counted = (unsigned)was;
    return result;
}

static int kernel_shutdown(int fd, int how)
{
    return kernel_transport.shutdown(fd, how);
}

static const struct dg_transport transport = {
    .receive = kernel_receive, .send = kernel_send, .shutdown = kernel_shutdown};

static struct dg_policy policy;
static struct dg_credentials *credentials;
static uint8_t text[PIECE], received[2 * PIECE];

static bool is_in_order(int error)
{
    return error == EAGAIN || error == ECONNRESET || error == EPIPE;
}

static void check_channel(struct dg_channel *channel)
{
    if ((dg_channel_get_state(channel) == DG_CHANNEL_FAILED) !=
        (dg_channel_reason(channel)[0] != '\0')) {
        fail_msg("allocation %lu: state %d, reason '%s'", failing, dg_channel_get_state(channel),
                 dg_channel_reason(channel));
    }
}

/* Sixteen bytes of the text in what waits at either end. */
static void check_wire(void)
{
    for (int fd = 0; fd < 2; fd++) {
        if (kernel_ends[fd].size > 0 &&
            memmem(kernel_waiting(fd), kernel_ends[fd].size, text, 16) != NULL) {
            fail_msg("allocation %lu: plaintext on its way to end %d", failing, fd);
        }
    }
}

/* One end gets what there is, of a stream that is `text`. Returns how much it has by now. */
static size_t get(struct dg_channel *channel, int fd, size_t have)
{
    struct iovec vector = {.iov_base = received + have, .iov_len = sizeof received - have};
    ssize_t got = dg_channel_receive(channel, fd, &vector, 1, false);

    if (got < 0 && !is_in_order(errno)) {
        fail_msg("allocation %lu: receive failed (%s)", failing, strerror(errno));
    }
    if (got > 0 &&
        (have + (size_t)got > PIECE || memcmp(text, received, have + (size_t)got) != 0)) {
        fail_msg("allocation %lu: what was received is not what was sent", failing);
    }
    return have + (got > 0 ? (size_t)got : 0);
}

static size_t put(struct dg_channel *channel, int fd, size_t done)
{
    /* Little, before the handshake is through. */
    size_t most = dg_channel_get_state(channel) == DG_CHANNEL_HANDSHAKE ? 100 : PIECE;
    struct iovec vector = {.iov_base = text + done, .iov_len = PIECE - done};
    ssize_t taken;

    vector.iov_len = vector.iov_len < most ? vector.iov_len : most;
    taken = dg_channel_send(channel, fd, &vector, 1);
    if (taken < 0 && !is_in_order(errno)) {
        fail_msg("allocation %lu: send failed (%s)", failing, strerror(errno));
    }
    check_wire();
    return done + (taken > 0 ? (size_t)taken : 0);
}

static void talk(struct dg_channel *channel[2])
{
    size_t sent = 0, have = 0;

    for (int i = 0; i < ROUNDS; i++) {
        if (sent < PIECE) {
            sent = put(channel[CLIENT], CLIENT, sent);
        }
        have = get(channel[SERVER], SERVER, have);
        (void)get(channel[CLIENT], CLIENT, 0);
    }
    disarmed();
    check_channel(channel[CLIENT]);
    check_channel(channel[SERVER]);
    if (have < PIECE && dg_channel_get_state(channel[CLIENT]) != DG_CHANNEL_FAILED &&
        dg_channel_get_state(channel[SERVER]) != DG_CHANNEL_FAILED) {
        fail_msg("allocation %lu: %zu bytes of %d, and nobody has failed", failing, have, PIECE);
    }
    if (!has_failed && have < PIECE) {
        fail_msg("all went well, and yet: '%s', '%s'", dg_channel_reason(channel[CLIENT]),
                 dg_channel_reason(channel[SERVER]));
    }
}

static void connect_and_talk(void)
{
    struct dg_channel *channel[2];

    kernel_reset((size_t)1024 * 1024, 1);
    armed();
    channel[CLIENT] = dg_channel_new(credentials, DG_CHANNEL_CLIENT, &transport, 60);
    channel[SERVER] = dg_channel_new(credentials, DG_CHANNEL_SERVER, &transport, 60);
    if (channel[CLIENT] != NULL && channel[SERVER] != NULL) {
        talk(channel);
    }
    disarmed();
    dg_channel_free(channel[CLIENT]);
    dg_channel_free(channel[SERVER]);
    kernel_free();
}

static void test_a_handshake_and_data(void **state)
{
    (void)state;
    exhaust("a connection", OURS, connect_and_talk);
    exhaust("a connection", OPENSSLS, connect_and_talk);
}

/* --- joining --- */

#define NAME "\0\0\0\41N\x00\x00\x00\x0D\x07\xDF\x7F\xBD\x12\x34\x56\x78\0\22a@node.example.org"

static struct dg_socket guarded;

static void open_channels(struct dg_channel *channel[2])
{
    kernel_reset((size_t)1024 * 1024, 1);
    channel[CLIENT] = dg_channel_new(credentials, DG_CHANNEL_CLIENT, &transport, 60);
    channel[SERVER] = dg_channel_new(credentials, DG_CHANNEL_SERVER, &transport, 60);
    for (int i = 0; i < 4; i++) {
        (void)get(channel[CLIENT], CLIENT, 0);
        (void)get(channel[SERVER], SERVER, 0);
    }
    assert_int_equal(dg_channel_get_state(channel[SERVER]), DG_CHANNEL_OPEN);
}

static void send_all(struct dg_channel *channel, int fd, const char *bytes, size_t size)
{
    struct iovec vector = {.iov_len = size};

    memcpy(&vector.iov_base, &bytes, sizeof bytes);
    (void)dg_channel_send(channel, fd, &vector, 1);
}

/* What the program does: reads the name, answers, each with a pair of calls that may fail. */
static void accept_name(void)
{
    static char answer[] = "\0\3sok";
    struct iovec in = {.iov_base = received, .iov_len = sizeof received};
    struct iovec out = {.iov_base = answer, .iov_len = sizeof answer - 1};

    for (int i = 0; i < 3; i++) {
        ssize_t got = dg_joining_receive(&guarded, SERVER, &in, 1, false);

        if (got > 0 && !guarded.admitted) {
            fail_msg("allocation %lu: %zd bytes of a node that was not admitted", failing, got);
        }
        if (got < 0 && !is_in_order(errno)) {
            fail_msg("allocation %lu: receive failed (%s)", failing, strerror(errno));
        }
    }
    if (dg_joining_send(&guarded, SERVER, &out, 1) < 0 && !is_in_order(errno)) {
        fail_msg("allocation %lu: send failed (%s)", failing, strerror(errno));
    }
}

static void join(void)
{
    static struct dg_rules rules = {.policy = &policy};
    struct sockaddr_in *peer = (struct sockaddr_in *)&guarded.peer;
    struct dg_channel *channel[2];

    open_channels(channel);
    memset(&guarded, 0, sizeof guarded);
    *peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xC0000201)};
    guarded.incoming = true;
    guarded.rules = &rules;
    guarded.channel = channel[SERVER];
    armed();
    guarded.joining = dg_joining_new(true);
    if (guarded.joining != NULL) {
        send_all(channel[CLIENT], CLIENT, NAME, sizeof NAME - 1);
        accept_name();
        disarmed();
        check_channel(channel[SERVER]);
        assert_true(has_failed || guarded.admitted);
    }
    disarmed();
    dg_joining_free(guarded.joining);
    free(guarded.node);
    dg_channel_free(channel[CLIENT]);
    dg_channel_free(channel[SERVER]);
    kernel_free();
}

static void test_a_node_that_joins(void **state)
{
    (void)state;
    exhaust("joining", OURS, join);
}

/* --- what is read from files --- */

static void check_result(int result, const struct dg_error *error)
{
    disarmed();
    if (result != 0 ? !has_failed || error->text[0] == '\0' : error->text[0] != '\0') {
        fail_msg("allocation %lu: result %d, '%s'", failing, result, error->text);
    }
}

/* What makes credentials strict. Of one type, so that nothing lies between to be compared. */
struct strictness {
    long anchors;
    long verify_mode;
    long security_level;
    long depth;
    long min_version;
    long options;
    long suites;
};

static struct strictness strictness_of(const struct dg_credentials *loaded)
{
    SSL_CTX *context = loaded->context;

    return (struct strictness){
        .anchors = sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(context))),
        .verify_mode = SSL_CTX_get_verify_mode(context),
        .security_level = SSL_CTX_get_security_level(context),
        .depth = X509_VERIFY_PARAM_get_depth(SSL_CTX_get0_param(context)),
        .min_version = SSL_CTX_get_min_proto_version(context),
        .options = (long)SSL_CTX_get_options(context),
        .suites = sk_SSL_CIPHER_num(SSL_CTX_get_ciphers(context)),
    };
}

static void load_credentials(void)
{
    static struct strictness wanted;
    struct dg_credentials *loaded = NULL;
    struct dg_error error = {.text = ""};
    struct strictness found;
    int result;

    armed();
    result = dg_credentials_load(&policy, &loaded, &error);
    check_result(result, &error);
    if (result == 0) {
        found = strictness_of(loaded);
        wanted = has_failed ? wanted : found;
        if (memcmp(&found, &wanted, sizeof found) != 0) {
            fail_msg("allocation %lu: credentials of %ld anchors, wanted %ld, or laxer otherwise",
                     failing, found.anchors, wanted.anchors);
        }
    }
    dg_credentials_free(loaded);
}

static void test_credentials(void **state)
{
    (void)state;
    exhaust("credentials", OURS, load_credentials);
    exhaust("credentials", OPENSSLS, load_credentials);
}

static void load_policy(void)
{
    struct dg_policy *loaded = NULL;
    struct dg_error error = {.text = ""};
    int result;

    armed();
    result = dg_policy_load(pki_path("shim.conf"), NULL, &loaded, &error);
    check_result(result, &error);
    assert_true(has_failed == (result != 0)); /* whole, or not at all */
    dg_policy_free(loaded);
}

static void test_a_policy(void **state)
{
    (void)state;
    exhaust("a policy", OURS, load_policy);
}

/* --- a reload --- */

/* The clock by which rules.c looks for changes: a second later at each look. And it finds them a
 * minute after they were made: what has just changed is read again in any case. */
static _Atomic time_t looks = 1;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock == CLOCK_MONOTONIC_COARSE) {
        *now = (struct timespec){.tv_sec = looks};
        return 0;
    }
    if (syscall(SYS_clock_gettime, clock, now) != 0) {
        return -1;
    }
    now->tv_sec += clock == CLOCK_REALTIME ? 60 : 0;
    return 0;
}

static void change_a_file(void)
{
    static time_t modified = 1000000000;
    struct timespec times[2] = {{.tv_sec = ++modified}, {.tv_sec = modified}};

    assert_int_equal(utimensat(AT_FDCWD, pki_path("ours/ca.pem"), times, 0), 0);
}

static unsigned generation(void)
{
    const struct dg_rules *rules = dg_rules_hold();
    unsigned now = rules->generation;

    assert_non_null(rules->credentials);
    dg_rules_release(rules);
    return now;
}

/* A reload that memory fails leaves the rules as they are. What the files say is not forgotten: it
 * counts a little later, though nobody changes them again. */
static void reload(void)
{
    unsigned before = generation();

    change_a_file();
    looks++;
    armed();
    dg_rules_renew();
    disarmed();
    assert_true(has_failed || generation() == before + 1);
    looks += PATIENCE;
    dg_rules_renew();
    if (generation() <= before) {
        fail_msg("allocation %lu: generation %u, then %u", failing, before, generation());
    }
}

static void test_a_reload(void **state)
{
    struct dg_error error;

    (void)state;
    setenv("DISTGUARD_CONF", pki_path("shim.conf"), 1);
    unsetenv("DISTGUARD_PROFILE");
    if (dg_rules_read(&error) != 0 || dg_rules_start(&error) != 0) {
        fail_msg("%s", error.text);
    }
    exhaust("a reload", OURS, reload);
    exhaust("a reload", OPENSSLS, reload);
    dg_rules_drop();
}

/* --- all of it --- */

static void write_policy(void)
{
    char written[2048];

    (void)snprintf(written, sizeof written,
                   "version = 1; profiles: { p: { mode = \"require\";\n"
                   "distribution: { bind = [ \"127.0.0.1\" ]; allow_from = [ \"10.0.0.0/8\" ];\n"
                   "ports = [ \"9100-9110\" ]; };\n"
                   "tls: { certificate = \"%s\"; private_key = \"%s\"; ca = \"%s\"; };\n"
                   "peers = ( { dns = \"*.example.org\"; nodes = \"a@*\"; } );\n"
                   "programs = [ \"beam.smp\" ]; };\n"
                   "q: { inherit = \"p\"; mode = \"off\"; }; };\n"
                   "default_profile = \"p\";\n",
                   pki_path("ours/node.pem"), pki_path("ours/node.key"), pki_path("ours/ca.pem"));
    pki_write("shim.conf", written);
}

static int set_up(void **state)
{
    int made = pki_make(state);

    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * i / 7 + i / 251);
    }
    policy.tls = pki_policy("ours", "node", "both");
    policy.tls.rekey_bytes = 20000;
    policy.node_names = DG_NODE_NAMES_HOST;
    policy.local = DG_LOCAL_DENY;
    credentials = pki_credentials_of(&policy);
    write_policy();
    return made;
}

static int tear_down(void **state)
{
    dg_credentials_free(credentials);
    (void)unlink(pki_path("shim.conf"));
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_handshake_and_data),
        cmocka_unit_test(test_a_node_that_joins),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_a_policy),
        cmocka_unit_test(test_a_reload),
    };

    /* Before OpenSSL has anything. */
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1) {
        return 1;
    }
    return cmocka_run_group_tests_name("memory that is out", tests, set_up, tear_down);
}
