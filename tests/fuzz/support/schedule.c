#include "tests/fuzz/support/schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/core/tls/channel_parts.h"
#include "tests/fuzz/support/bytes.h"
#include "tests/fuzz/support/connected.h"
#include "tests/unit/support/forge.h"

enum {
    CAPACITY = 64 * 1024,
    ROOM = 80 * 1024,
    STREAM_MOST = 256 * 1024,
    STEPS_MOST = 400,
    PIECES = 4,
    MARK_SIZE = 16,
};

/* What one end has sent, as the program knows it; it repeats, and is known from its position. */
struct stream {
    size_t sent;
    size_t received; /* by the other end */
    bool forged;     /* records of another origin, under the same keys: anything may come */
};

static struct ends ends;
static struct stream streams[2]; /* by who sends */
static uint8_t text[STREAM_MOST];
static uint8_t room[ROOM];

typedef void step(struct fuzz_bytes *bytes, int fd);

void schedule_start(void)
{
    connected_start();
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)('A' + (i * i / 7 + i / 251) % 53);
    }
}

static int cut(struct fuzz_bytes *bytes, uint8_t *memory, size_t size, struct iovec *vector)
{
    int count = 1 + fuzz_byte(bytes) % PIECES;

    for (int i = 0; i < count; i++) {
        size_t part = i + 1 < count ? fuzz_byte(bytes) : size;

        part = part < size ? part : size;
        vector[i] = (struct iovec){.iov_base = memory, .iov_len = part};
        memory += part;
        size -= part;
    }
    return count;
}

/* --- what the programs do --- */

/* Sixteen bytes of the stream, anywhere in what waits for the other end. */
static void check_wire(int fd)
{
    const struct stream *stream = &streams[fd];

    if (stream->sent >= MARK_SIZE && kernel_ends[1 - fd].size > 0 &&
        memmem(kernel_waiting(1 - fd), kernel_ends[1 - fd].size, text + stream->sent - MARK_SIZE,
               MARK_SIZE) != NULL) {
        fuzz_fail("end %d has sent plaintext", fd);
    }
}

static void step_send(struct fuzz_bytes *bytes, int fd)
{
    struct stream *stream = &streams[fd];
    size_t size = 1 + fuzz_size(bytes);
    struct iovec vector[PIECES];
    ssize_t taken;
    int count;

    if (stream->sent + size > STREAM_MOST) {
        return;
    }
    count = cut(bytes, text + stream->sent, size, vector);
    taken = checked_send(&ends, fd, vector, count);
    if (taken > (ssize_t)size || (taken < 0 && errno != EAGAIN && errno != EPIPE)) {
        fuzz_fail("send of %zu took %zd (%s)", size, taken, strerror(errno));
    }
    stream->sent += taken > 0 ? (size_t)taken : 0;
    check_wire(fd);
}

static void check_received(int fd, const uint8_t *received, size_t size)
{
    const struct stream *stream = &streams[1 - fd];
    size_t at = stream->received;

    /* One byte more than the sender was told was taken may be under way. */
    if (!stream->forged &&
        (at + size > stream->sent + 1 || memcmp(received, text + at, size) != 0)) {
        fuzz_fail("end %d received %zu bytes at %zu that are not the %zu that were sent", fd, size,
                  at, stream->sent);
    }
}

static void receive(struct fuzz_bytes *bytes, int fd, bool peek)
{
    size_t size = fuzz_size(bytes);
    struct iovec vector[PIECES];
    int count = cut(bytes, room, size, vector);
    ssize_t got = checked_receive(&ends, fd, vector, count, peek);

    if (got > (ssize_t)size) {
        fuzz_fail("receive of %zu gave %zd", size, got);
    }
    if (got > 0) {
        check_received(fd, room, (size_t)got);
        streams[1 - fd].received += peek ? 0 : (size_t)got;
    }
}

static void step_receive(struct fuzz_bytes *bytes, int fd)
{
    receive(bytes, fd, false);
}

static void step_peek(struct fuzz_bytes *bytes, int fd)
{
    receive(bytes, fd, true);
}

static void step_receive_much(struct fuzz_bytes *bytes, int fd)
{
    ssize_t got = receive_bytes(&ends, fd, room, sizeof room);

    (void)bytes;
    if (got > 0) {
        check_received(fd, room, (size_t)got);
        streams[1 - fd].received += (size_t)got;
    }
}

static void step_readable(struct fuzz_bytes *bytes, int fd)
{
    (void)bytes;
    (void)checked_readable(&ends, fd);
}

static void step_end_sending(struct fuzz_bytes *bytes, int fd)
{
    (void)bytes;
    dg_channel_end_sending(ends.channel[fd], fd);
}

static void step_refuse(struct fuzz_bytes *bytes, int fd)
{
    (void)bytes;
    dg_channel_refuse(ends.channel[fd], fd, "not wanted");
}

/* --- what the kernel does --- */

static void step_queue(struct fuzz_bytes *bytes, int fd)
{
    kernel_ends[fd].capacity = fuzz_word(bytes);
}

static void step_limits(struct fuzz_bytes *bytes, int fd)
{
    kernel_ends[fd].receive_most = fuzz_size(bytes);
    kernel_ends[fd].send_most = fuzz_size(bytes);
    kernel_ends[fd].interrupted = fuzz_byte(bytes) % 60;
}

static void step_error(struct fuzz_bytes *bytes, int fd)
{
    static const int errors[] = {0,      ECONNRESET, ETIMEDOUT, EPIPE,        ENOBUFS,
                                 ENOMEM, EBADF,      ENOTCONN,  EHOSTUNREACH, EIO};
    enum { COUNT = sizeof errors / sizeof errors[0] };

    kernel_ends[fd].receive_error = errors[fuzz_byte(bytes) % COUNT];
    kernel_ends[fd].send_error = errors[fuzz_byte(bytes) % COUNT];
}

static void step_end_of_stream(struct fuzz_bytes *bytes, int fd)
{
    (void)bytes;
    kernel_ends[fd].ended = true;
}

/* --- what somebody on the wire does --- */

/* How much of what waits has been seen: a byte that was only peeked can change no more. */
static size_t seen(int fd)
{
    return ends.channel[fd]->tail_in_kernel ? 1 : 0;
}

static void step_flip(struct fuzz_bytes *bytes, int fd)
{
    size_t at = fuzz_word(bytes);

    if (kernel_ends[fd].size > seen(fd)) {
        at = seen(fd) + at % (kernel_ends[fd].size - seen(fd));
        kernel_waiting(fd)[at] ^= (uint8_t)(1 << fuzz_byte(bytes) % 8);
    }
}

static void step_drop(struct fuzz_bytes *bytes, int fd)
{
    size_t size = fuzz_size(bytes);

    if (seen(fd) == 0) {
        (void)kernel_take(fd, room, size < sizeof room ? size : sizeof room);
    }
}

static void step_inject(struct fuzz_bytes *bytes, int fd)
{
    const uint8_t *injected;
    size_t size = fuzz_take(bytes, &injected, fuzz_size(bytes));

    kernel_inject(fd, injected, size);
}

/* The same bytes once more: a record that comes twice. */
static void step_repeat(struct fuzz_bytes *bytes, int fd)
{
    size_t size = fuzz_size(bytes);

    size = size < kernel_ends[fd].size ? size : kernel_ends[fd].size;
    if (size > 0 && size <= sizeof room) {
        memcpy(room, kernel_waiting(fd), size);
        kernel_inject(fd, room, size);
    }
}

/* --- what a peer does that is nobody's friend, but has its keys --- */

static void step_forge(struct fuzz_bytes *bytes, int fd)
{
    static const enum dg_content_type types[] = {DG_CONTENT_HANDSHAKE, DG_CONTENT_ALERT,
                                                 DG_CONTENT_APPLICATION_DATA};
    enum dg_content_type type = types[fuzz_byte(bytes) % 3];
    const uint8_t *content;
    size_t size = fuzz_take(bytes, &content, fuzz_byte(bytes));

    /* Behind a record that is cut in the middle it would be nothing but a change of the wire. */
    if (dg_channel_get_state(ends.channel[fd]) == DG_CHANNEL_OPEN &&
        dg_buffer_size(&ends.channel[fd]->out) == 0) {
        streams[fd].forged = true;
        forge_record(&ends, fd, type, content, size);
    }
}

static void step_update_keys(struct fuzz_bytes *bytes, int fd)
{
    struct dg_channel *channel = ends.channel[fd];
    uint8_t message[DG_KEY_UPDATE_SIZE];

    memcpy(message, dg_key_update, sizeof message);
    message[DG_KEY_UPDATE_SIZE - 1] = fuzz_byte(bytes) & 1;
    if (dg_channel_get_state(channel) == DG_CHANNEL_OPEN && dg_buffer_size(&channel->out) == 0 &&
        channel->sending.version == DG_TLS_1_3) {
        forge_record(&ends, fd, DG_CONTENT_HANDSHAKE, message, sizeof message);
        if (dg_keys_update(&channel->sending) != 0) {
            abort();
        }
    }
}

static step *const steps[] = {
    step_send,        step_receive, step_peek,  step_receive_much, step_readable,
    step_queue,       step_limits,  step_error, step_flip,         step_drop,
    step_inject,      step_repeat,  step_forge, step_update_keys,  step_end_of_stream,
    step_end_sending, step_refuse,
};

void schedule_run(const uint8_t *data, size_t size, bool handshake)
{
    struct fuzz_bytes bytes = {.next = data, .left = size};
    uint8_t how = fuzz_byte(&bytes);

    memset(streams, 0, sizeof streams);
    if (handshake) {
        kernel_reset(CAPACITY, 1);
        ends = ends_new(connected_credentials, connected_credentials);
    } else {
        ends = connected_ends((how & 1) != 0 ? DG_TLS_1_2 : DG_TLS_1_3, CAPACITY);
    }
    if ((how & 2) != 0) {
        dg_channel_expect_packets(ends.channel[KERNEL_CLIENT], 1460);
    }
    for (int i = 0; i < STEPS_MOST && bytes.left > 0; i++) {
        uint8_t what = fuzz_byte(&bytes);

        steps[(what & 0x7f) % (sizeof steps / sizeof steps[0])](&bytes, what >> 7);
    }
    for (int fd = 0; fd < 2; fd++) {
        dg_channel_close(ends.channel[fd], fd);
    }
    ends_free(&ends);
    kernel_free();
}
