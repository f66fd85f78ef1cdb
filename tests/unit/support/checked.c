#include "tests/unit/support/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

uint64_t checked_seed;

#define SEED ((unsigned long long)checked_seed)

struct ends ends_new(const struct dg_credentials *client, const struct dg_credentials *server)
{
    struct ends ends;

    ends.channel[KERNEL_CLIENT] = dg_channel_new(client, DG_CHANNEL_CLIENT, &kernel_transport, 60);
    ends.channel[KERNEL_SERVER] = dg_channel_new(server, DG_CHANNEL_SERVER, &kernel_transport, 60);
    assert_non_null(ends.channel[KERNEL_CLIENT]);
    assert_non_null(ends.channel[KERNEL_SERVER]);
    return ends;
}

void ends_free(struct ends *ends)
{
    dg_channel_free(ends->channel[KERNEL_CLIENT]);
    dg_channel_free(ends->channel[KERNEL_SERVER]);
}

static bool is_open(const struct ends *ends, int fd)
{
    return dg_channel_get_state(ends->channel[fd]) == DG_CHANNEL_OPEN;
}

void ends_handshake(struct ends *ends)
{
    for (int i = 0; i < 4; i++) {
        assert_eagain(ends, KERNEL_CLIENT);
        assert_eagain(ends, KERNEL_SERVER);
    }
    if (!is_open(ends, KERNEL_CLIENT) || !is_open(ends, KERNEL_SERVER)) {
        fail_msg("no handshake; client: '%s', server: '%s'",
                 dg_channel_reason(ends->channel[KERNEL_CLIENT]),
                 dg_channel_reason(ends->channel[KERNEL_SERVER]));
    }
}

/* What somebody else on this thread, the VM's crypto application, could have left. */
static void spoil_error_queue(void)
{
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
}

/* It may be there still, where nothing but records were made or opened. */
static bool is_the_spoil(unsigned long error)
{
    return ERR_GET_LIB(error) == ERR_LIB_SSL &&
           ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
}

static void check_error_queue(const char *call)
{
    unsigned long error = ERR_get_error();

    if (is_the_spoil(error)) {
        error = ERR_get_error();
    }
    if (error != 0) {
        fail_msg("seed %llu: after %s OpenSSL's error queue holds %lx, which was not there before",
                 SEED, call, error);
    }
}

/* Whether a receive would give plaintext although the kernel gave nothing. */
static bool holds_plaintext(struct ends *ends, int fd)
{
    struct kernel_end *end = &kernel_ends[fd];
    char byte;
    ssize_t got;

    if (!is_open(ends, fd)) {
        return false;
    }
    end->frozen = true;
    got = dg_channel_receive(ends->channel[fd], fd,
                             &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1, true);
    end->frozen = false;
    return got > 0;
}

static void check_receive_promise(struct ends *ends, int fd, ssize_t got, const char *call)
{
    size_t in_kernel = kernel_ends[fd].size;

    if (got < 0 && errno == EAGAIN && in_kernel > 0) {
        fail_msg("seed %llu: %s answered EAGAIN with %zu bytes in the kernel", SEED, call,
                 in_kernel);
    }
    if (in_kernel == 0 && holds_plaintext(ends, fd)) {
        fail_msg("seed %llu: %s returned %zd and left plaintext decrypted, but nothing in the "
                 "kernel to wake the poller",
                 SEED, call, got);
    }
}

ssize_t checked_receive(struct ends *ends, int fd, const struct iovec *vector, int count, bool peek)
{
    size_t room = 0;
    ssize_t got;
    int error;

    for (int i = 0; i < count; i++) {
        room += vector[i].iov_len;
    }
    if (room > 0 && dg_channel_get_state(ends->channel[fd]) <= DG_CHANNEL_OPEN) {
        spoil_error_queue();
    }
    got = dg_channel_receive(ends->channel[fd], fd, vector, count, peek);
    error = errno;
    check_error_queue("receive");
    check_receive_promise(ends, fd, got, peek ? "peek" : "receive");
    errno = error;
    return got;
}

ssize_t checked_readable(struct ends *ends, int fd)
{
    ssize_t got;
    int error;

    if (dg_channel_get_state(ends->channel[fd]) <= DG_CHANNEL_OPEN) {
        spoil_error_queue();
    }
    got = dg_channel_readable(ends->channel[fd], fd);
    error = errno;
    check_error_queue("readable");
    check_receive_promise(ends, fd, got, "readable");
    errno = error;
    return got;
}

/* How much ciphertext a call that has nothing else to do still hands to the kernel. */
static size_t unsent(struct ends *ends, int fd)
{
    struct kernel_end *end = &kernel_ends[fd];
    struct kernel_end *to = &kernel_ends[1 - fd];
    size_t before = end->sent;
    size_t capacity = to->capacity;
    char byte;

    if (!is_open(ends, fd) || holds_plaintext(ends, fd) || kernel_readable(fd)) {
        return 0;
    }
    to->capacity = SIZE_MAX / 4;
    (void)dg_channel_receive(ends->channel[fd], fd,
                             &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1, true);
    to->capacity = capacity;
    return end->sent - before;
}

static void check_send_promise(struct ends *ends, int fd, ssize_t taken, size_t size,
                               unsigned refused_before)
{
    enum { SEND_MAX = 4 * 1024 * 1024 };
    bool refused = kernel_ends[fd].refused_sends > refused_before;
    size_t left;

    if (taken == (ssize_t)size && is_open(ends, fd) && (left = unsent(ends, fd)) > 0) {
        fail_msg("seed %llu: send took all %zu bytes, and kept %zu of ciphertext", SEED, size,
                 left);
    }
    if (is_open(ends, fd) && taken < (ssize_t)size && size < SEND_MAX && !refused) {
        fail_msg("seed %llu: send took %zd of %zu bytes although the kernel refused none", SEED,
                 taken, size);
    }
}

ssize_t checked_send(struct ends *ends, int fd, const struct iovec *vector, int count)
{
    bool was_open = is_open(ends, fd);
    unsigned refused = kernel_ends[fd].refused_sends;
    size_t size = 0;
    ssize_t taken;
    int error;

    for (int i = 0; i < count; i++) {
        size += vector[i].iov_len;
    }
    if (size > 0 && dg_channel_get_state(ends->channel[fd]) <= DG_CHANNEL_OPEN) {
        spoil_error_queue();
    }
    taken = dg_channel_send(ends->channel[fd], fd, vector, count);
    error = errno;
    if (taken > 0 || (taken < 0 && error == EAGAIN)) {
        check_error_queue("send");
    }
    ERR_clear_error(); /* of our own, where nothing was to be done */
    if (was_open && (taken >= 0 || error == EAGAIN)) {
        check_send_promise(ends, fd, taken, size, refused);
    }
    errno = error;
    return taken;
}

ssize_t receive_bytes(struct ends *ends, int fd, void *bytes, size_t size)
{
    return checked_receive(ends, fd, &(struct iovec){.iov_base = bytes, .iov_len = size}, 1, false);
}

ssize_t send_bytes(struct ends *ends, int fd, const void *bytes, size_t size)
{
    struct iovec vector = {.iov_len = size};

    memcpy(&vector.iov_base, &bytes, sizeof bytes); /* sending changes nothing there */
    return checked_send(ends, fd, &vector, 1);
}

void assert_eagain(struct ends *ends, int fd)
{
    char bytes[64];
    ssize_t got = receive_bytes(ends, fd, bytes, sizeof bytes);

    if (got != -1 || errno != EAGAIN) {
        fail_msg("receive gave %zd (%s; '%s'), not EAGAIN", got, got < 0 ? strerror(errno) : "",
                 dg_channel_reason(ends->channel[fd]));
    }
}

void assert_text(struct ends *ends, int fd, const char *text)
{
    char bytes[4096];
    ssize_t got = receive_bytes(ends, fd, bytes, sizeof bytes - 1);

    if (got < 0) {
        fail_msg("receive failed (%s; '%s'), wanted '%s'", strerror(errno),
                 dg_channel_reason(ends->channel[fd]), text);
    }
    bytes[got] = '\0';
    assert_string_equal(bytes, text);
}

void assert_failed(struct ends *ends, int fd, int error, const char *reason)
{
    char byte;

    /* For good: every later receive says the same. */
    for (int i = 0; i < 2; i++) {
        ssize_t got = receive_bytes(ends, fd, &byte, 1);

        if (got != -1 || errno != error) {
            fail_msg("receive gave %zd (%s), not %s", got, got < 0 ? strerror(errno) : "",
                     strerror(error));
        }
    }
    assert_int_equal(dg_channel_get_state(ends->channel[fd]), DG_CHANNEL_FAILED);
    assert_string_equal(dg_channel_reason(ends->channel[fd]), reason);
    assert_int_equal(send_bytes(ends, fd, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_true(kernel_readable(fd));
}
