/*
 * A node that joins: whatever frames a peer with a good certificate sends, cut however, the program
 * that accepts sees not one byte before the peer's name was admitted, and the promises to its
 * poller hold after every call.
 *
 * Input: a byte (bit 0: we accept), then steps: a byte, and what the step needs.
 */
#include "shim/core/socket/joining.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/rules.h"
#include "tests/fuzz/support/bytes.h"
#include "tests/fuzz/support/connected.h"

enum { CAPACITY = 1024 * 1024, ROOM = 80 * 1024, STEPS_MOST = 300, HEAD = 4 };

static struct ends ends;
static struct dg_socket guarded;
static int guarded_fd;
static uint8_t room[ROOM];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    connected_start();
    return 0;
}

/* --- the peer, which is a channel alone --- */

static void peer_send(const uint8_t *sent, size_t size)
{
    struct iovec vector = {.iov_base = room, .iov_len = size};

    memcpy(room, sent, size);
    (void)dg_channel_send(ends.channel[1 - guarded_fd], 1 - guarded_fd, &vector, 1);
}

static void step_peer_bytes(struct fuzz_bytes *bytes)
{
    const uint8_t *sent;
    size_t size = fuzz_take(bytes, &sent, fuzz_size(bytes));

    peer_send(sent, size);
}

static void step_peer_frame(struct fuzz_bytes *bytes)
{
    uint8_t frame[HEAD + UINT8_MAX] = {0};
    const uint8_t *sent;
    size_t size = fuzz_take(bytes, &sent, fuzz_byte(bytes));

    frame[HEAD - 1] = (uint8_t)size;
    memcpy(frame + HEAD, sent, size);
    peer_send(frame, HEAD + size);
}

static void step_peer_receive(struct fuzz_bytes *bytes)
{
    struct iovec vector = {.iov_base = room, .iov_len = sizeof room};

    (void)bytes;
    (void)dg_channel_receive(ends.channel[1 - guarded_fd], 1 - guarded_fd, &vector, 1, false);
}

/* --- the program --- */

static void check_answer(const char *call, ssize_t got, size_t size)
{
    if (got > (ssize_t)size) {
        fuzz_fail("%s of %zu gave %zd", call, size, got);
    }
    if (got > 0 && guarded.incoming && !guarded.admitted) {
        fuzz_fail("%s gave %zd bytes of a node that was not admitted", call, got);
    }
    if (got < 0 && errno == EAGAIN && kernel_ends[guarded_fd].size > 0) {
        fuzz_fail("%s answered EAGAIN with %zu bytes in the kernel", call,
                  kernel_ends[guarded_fd].size);
    }
}

static void check_poller(const char *call)
{
    struct iovec vector = {.iov_base = room, .iov_len = 1};
    ssize_t got;

    if (kernel_ends[guarded_fd].size > 0 ||
        dg_channel_get_state(guarded.channel) != DG_CHANNEL_OPEN) {
        return;
    }
    kernel_ends[guarded_fd].frozen = true;
    got = dg_joining_receive(&guarded, guarded_fd, &vector, 1, true);
    kernel_ends[guarded_fd].frozen = false;
    if (got > 0) {
        fuzz_fail("%s left something to be received, and nothing wakes the poller", call);
    }
}

static void receive(size_t size, bool peek)
{
    struct iovec vector[2] = {{.iov_base = room, .iov_len = size / 3},
                              {.iov_base = room + size / 3, .iov_len = size - size / 3}};
    ssize_t got = dg_joining_receive(&guarded, guarded_fd, vector, 2, peek);

    if (size > 0) {
        check_answer(peek ? "peek" : "receive", got, size);
    }
    check_poller(peek ? "peek" : "receive");
}

static void step_receive(struct fuzz_bytes *bytes)
{
    receive(fuzz_size(bytes), false);
}

static void step_peek(struct fuzz_bytes *bytes)
{
    receive(fuzz_size(bytes), true);
}

static void step_receive_much(struct fuzz_bytes *bytes)
{
    (void)bytes;
    receive(sizeof room, false);
}

static void step_readable(struct fuzz_bytes *bytes)
{
    ssize_t got = dg_joining_readable(&guarded, guarded_fd);

    (void)bytes;
    check_answer("readable", got, SIZE_MAX / 4);
    check_poller("readable");
}

static void program_send(uint8_t *sent, size_t size)
{
    struct iovec vector[2] = {{.iov_base = sent, .iov_len = size / 2},
                              {.iov_base = sent + size / 2, .iov_len = size - size / 2}};
    ssize_t taken = dg_joining_send(&guarded, guarded_fd, vector, 2);

    if (taken > (ssize_t)size || (taken < 0 && errno != EAGAIN && errno != EPIPE)) {
        fuzz_fail("send of %zu took %zd (%s)", size, taken, strerror(errno));
    }
}

static void step_send_bytes(struct fuzz_bytes *bytes)
{
    const uint8_t *sent;
    size_t size = fuzz_take(bytes, &sent, fuzz_size(bytes));

    memcpy(room, sent, size);
    program_send(room, size);
}

static void step_send_frame(struct fuzz_bytes *bytes)
{
    const uint8_t *sent;
    size_t size = fuzz_take(bytes, &sent, fuzz_byte(bytes));

    room[0] = 0;
    room[1] = (uint8_t)size;
    memcpy(room + 2, sent, size);
    program_send(room, 2 + size);
}

/* --- the kernel --- */

static void step_queue(struct fuzz_bytes *bytes)
{
    kernel_ends[1 - guarded_fd].capacity = fuzz_word(bytes);
    kernel_ends[guarded_fd].receive_most = fuzz_size(bytes);
    kernel_ends[guarded_fd].send_most = fuzz_size(bytes);
}

static void step_fault(struct fuzz_bytes *bytes)
{
    static const int errors[] = {0, ECONNRESET, ENOBUFS, EPIPE};
    uint8_t what = fuzz_byte(bytes);

    kernel_ends[guarded_fd].receive_error = errors[what % 4];
    kernel_ends[guarded_fd].send_error = errors[what / 4 % 4];
    kernel_ends[guarded_fd].ended = (what & 0x40) != 0;
    if ((what & 0x80) != 0 && kernel_ends[guarded_fd].size > 0) {
        kernel_waiting(guarded_fd)[fuzz_word(bytes) % kernel_ends[guarded_fd].size] ^= 1;
    }
}

typedef void step(struct fuzz_bytes *bytes);

static step *const steps[] = {
    step_peer_bytes, step_peer_frame,   step_peer_receive, step_receive,
    step_peek,       step_receive_much, step_readable,     step_send_bytes,
    step_send_frame, step_queue,        step_fault,
};

static void begin(bool accepting, struct dg_rules *rules)
{
    struct sockaddr_in *peer = (struct sockaddr_in *)&guarded.peer;

    ends = connected_ends(DG_TLS_1_3, CAPACITY);
    guarded_fd = accepting ? KERNEL_SERVER : KERNEL_CLIENT;
    memset(&guarded, 0, sizeof guarded);
    *peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xC0000201)};
    guarded.incoming = accepting;
    guarded.rules = rules;
    guarded.channel = ends.channel[guarded_fd];
    guarded.joining = dg_joining_new(accepting);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dg_rules rules = {.policy = &connected_policy};
    struct fuzz_bytes bytes = {.next = data, .left = size};

    begin((fuzz_byte(&bytes) & 1) != 0, &rules);
    for (int i = 0; i < STEPS_MOST && bytes.left > 0; i++) {
        steps[fuzz_byte(&bytes) % (sizeof steps / sizeof steps[0])](&bytes);
    }
    dg_joining_free(guarded.joining);
    free(guarded.node);
    ends_free(&ends);
    kernel_free();
    return 0;
}
