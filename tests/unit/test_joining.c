/*
 * Nodes that join, over the simulated kernel: whole distribution handshakes and the data behind
 * them, under random schedules of programs that do what their pollers tell them. An end is guarded,
 * with the 2-byte lengths of TCP before its program, or native: a channel alone, with the 4-byte
 * lengths of OTP's own TLS distribution, and so it shows what is on the wire. What arrives must be
 * what was sent, in the frames of who receives it; nobody may wait for ever; and of a node that may
 * not join the program sees not one byte.
 *
 * DG_SCHEDULES=N runs more of them, DG_SEED=S one alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/rules.h"
#include "shim/core/socket/joining.h"
#include "shim/core/tls/channel_parts.h"
#include "tests/unit/support/checked.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/schedules.h"

enum {
    CLIENT = KERNEL_CLIENT,
    SERVER = KERNEL_SERVER,
    SCHEDULES = 100,
    MESSAGE_MOST = 65535,
    DATA_MOST = 60 * 1024,
    STREAM_MOST = 6 * (4 + MESSAGE_MOST) + DATA_MOST,
    GATES = 12,
    PIECES = 6,
    HANDSHAKE_CAPACITY = 16 * 1024,
    EARLY = 3000,
    STEPS_MAX = 3000000,
};

#define SEED ((unsigned long long)checked_seed)
#define NOT_DISTRIBUTION "peer speaks TLS, but no distribution inside"
#define DENIED "peer refused with alert: access denied"

#define FLAGS "\x00\x00\x00\x0D\x07\xDF\x7F\xBD"
#define GOOD "\0\22a@node.example.org"
#define BAD "\0\23a@other.example.org"
#define NAME(name) "N" FLAGS "\x12\x34\x56\x78" name
#define CHALLENGE(name) "N" FLAGS "\x9A\xBC\xDE\xF0\x12\x34\x56\x78" name
#define REPLY                                                                                      \
    "r\x9A\xBC\xDE\xF0"                                                                            \
    "0123456789abcdef"
#define ACK "a0123456789abcdef"

/* A stream of bytes; those up to `sent` may be sent once so many were received. */
struct gate {
    size_t sent;
    size_t received;
};

struct program {
    bool native;
    uint8_t out[STREAM_MOST];
    size_t out_size;
    size_t sent;
    uint8_t in[STREAM_MOST]; /* what it must receive */
    size_t in_size;
    size_t received;
    size_t claim_at; /* within `in`: where the peer's name comes */
    struct gate gates[GATES];
    size_t gate_count;
    size_t room_most;
    size_t write_most;
};

static struct schedule {
    struct random random;
    struct ends ends;
    struct dg_socket socket[2];
    struct program program[2];
    int refuser; /* the end that will not have the other, or -1 */
    bool refused;
} schedule; /* too large for the stack */

static struct dg_policy policy;
static struct dg_rules rules = {.policy = &policy};
static struct dg_credentials *credentials;
static uint8_t memory[STREAM_MOST];

/* --- calls, checked --- */

static bool is_open(int fd)
{
    return dg_channel_get_state(schedule.ends.channel[fd]) == DG_CHANNEL_OPEN;
}

static const char *reason_of(int fd)
{
    return dg_channel_reason(schedule.ends.channel[fd]);
}

/* Whether a receive would give something although the kernel gave nothing. */
static bool holds_something(int fd)
{
    struct iovec vector = {.iov_base = memory, .iov_len = 1};
    ssize_t got;

    if (!is_open(fd)) {
        return false;
    }
    kernel_ends[fd].frozen = true;
    got = dg_joining_receive(&schedule.socket[fd], fd, &vector, 1, true);
    kernel_ends[fd].frozen = false;
    return got > 0;
}

static void check_promise(int fd, ssize_t got, int error, const char *call)
{
    if (got < 0 && error == EAGAIN && kernel_ends[fd].size > 0) {
        fail_msg("seed %llu: end %d: %s answered EAGAIN with %zu bytes in the kernel", SEED, fd,
                 call, kernel_ends[fd].size);
    }
    if (kernel_ends[fd].size == 0 && holds_something(fd)) {
        fail_msg("seed %llu: end %d: %s gave %zd and left something to be received, but nothing "
                 "in the kernel to wake the poller",
                 SEED, fd, call, got);
    }
}

static ssize_t receive_vector(int fd, const struct iovec *vector, int count, bool peek)
{
    ssize_t got = dg_joining_receive(&schedule.socket[fd], fd, vector, count, peek);
    int error = errno;

    check_promise(fd, got, error, peek ? "peek" : "receive");
    errno = error;
    return got;
}

static ssize_t receive(int fd, void *bytes, size_t size)
{
    return receive_vector(fd, &(struct iovec){.iov_base = bytes, .iov_len = size}, 1, false);
}

static ssize_t readable(int fd)
{
    ssize_t got = dg_joining_readable(&schedule.socket[fd], fd);
    int error = errno;

    check_promise(fd, got, error, "readable");
    errno = error;
    return got;
}

static ssize_t transmit(int fd, const void *bytes, size_t size)
{
    struct iovec vector = {.iov_len = size};

    memcpy(&vector.iov_base, &bytes, sizeof bytes); /* sending changes nothing there */
    return dg_joining_send(&schedule.socket[fd], fd, &vector, 1);
}

/* --- a connection --- */

static void begin(uint64_t seed, bool client_native, bool server_native)
{
    memset(&schedule, 0, sizeof schedule);
    schedule.random.state = checked_seed = seed;
    schedule.refuser = -1;
    kernel_reset(HANDSHAKE_CAPACITY, seed);
    schedule.ends = ends_new(credentials, credentials);
    for (int fd = 0; fd < 2; fd++) {
        struct dg_socket *socket = &schedule.socket[fd];
        struct sockaddr_in *peer = (struct sockaddr_in *)&socket->peer;

        *peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xC0000201)};
        schedule.program[fd].native = fd == SERVER ? server_native : client_native;
        socket->incoming = fd == SERVER;
        socket->rules = &rules;
        socket->channel = schedule.ends.channel[fd];
        if (!schedule.program[fd].native) {
            socket->joining = dg_joining_new(fd == SERVER);
            assert_non_null(socket->joining);
        }
    }
}

static void end(void)
{
    for (int fd = 0; fd < 2; fd++) {
        dg_joining_free(schedule.socket[fd].joining);
        free(schedule.socket[fd].node);
    }
    ends_free(&schedule.ends);
    kernel_free();
}

/* A guarded client and a native server, open, with nothing said. */
static void begin_open(bool client_native, bool server_native)
{
    begin(1, client_native, server_native);
    for (int i = 0; i < 4; i++) {
        (void)receive(CLIENT, memory, 1);
        (void)receive(SERVER, memory, 1);
    }
    assert_true(is_open(CLIENT) && is_open(SERVER));
}

static void assert_sent(int fd, const void *bytes, size_t size)
{
    assert_int_equal(transmit(fd, bytes, size), size);
}

static void assert_received(int fd, const void *bytes, size_t size)
{
    size_t have = 0;
    ssize_t got;

    while (have < size && (got = receive(fd, memory + have, size - have)) > 0) {
        have += (size_t)got;
    }
    if (have != size || memcmp(memory, bytes, size) != 0) {
        fail_msg("end %d received %zu bytes of %zu, or others; '%s'", fd, have, size,
                 reason_of(fd));
    }
}

static void assert_nothing(int fd)
{
    ssize_t got = receive(fd, memory, sizeof memory);

    if (got != -1 || errno != EAGAIN) {
        fail_msg("end %d: receive gave %zd (%s); '%s'", fd, got, strerror(errno), reason_of(fd));
    }
}

/* Reads until it fails for good; not a byte more than `most` may come. */
static void assert_ended(int fd, size_t most, const char *reason)
{
    size_t have = 0;
    ssize_t got;

    while ((got = receive(fd, memory, sizeof memory)) > 0) {
        have += (size_t)got;
    }
    if (have > most || got != -1 || errno != ECONNRESET || strcmp(reason_of(fd), reason) != 0) {
        fail_msg("seed %llu: end %d: %zu bytes, then %zd (%s): '%s'; wanted %zu at most, and '%s'",
                 SEED, fd, have, got, strerror(errno), reason_of(fd), most, reason);
    }
    assert_int_equal(transmit(fd, "\0\0\0\1x", 5), -1);
    assert_int_equal(errno, EPIPE);
    assert_true(kernel_readable(fd)); /* the program notices */
}

#define ASSERT_SENT(fd, text) assert_sent(fd, text, sizeof(text) - 1)
#define ASSERT_RECEIVED(fd, text) assert_received(fd, text, sizeof(text) - 1)

/* --- what is on the wire --- */

static void test_the_lengths_on_the_wire_have_four_bytes_until_the_ack_too(void **state)
{
    (void)state;
    begin_open(false, true);
    ASSERT_SENT(CLIENT, "\0\41" NAME(GOOD));
    ASSERT_RECEIVED(SERVER, "\0\0\0\41" NAME(GOOD));
    ASSERT_SENT(SERVER, "\0\0\0\3sok");
    ASSERT_SENT(SERVER, "\0\0\0\45" CHALLENGE(GOOD));
    ASSERT_RECEIVED(CLIENT, "\0\3sok\0\45" CHALLENGE(GOOD));
    ASSERT_SENT(CLIENT, "\0\25" REPLY);
    ASSERT_RECEIVED(SERVER, "\0\0\0\25" REPLY);
    ASSERT_SENT(SERVER, "\0\0\0\21" ACK "\0\0\0\0\0\0\0\1x");
    ASSERT_RECEIVED(CLIENT, "\0\21" ACK "\0\0\0\0\0\0\0\1x");
    ASSERT_SENT(CLIENT, "\0\0\0\2yz");
    ASSERT_RECEIVED(SERVER, "\0\0\0\2yz");
    assert_null(schedule.socket[CLIENT].joining);
    assert_true(schedule.socket[CLIENT].admitted);
    assert_string_equal(schedule.socket[CLIENT].node, "a@node.example.org");
    end();
}

/* A program that reads as a VM does; `most` bytes at a time until it knows how much is to come. */
static void join_reading(size_t most)
{
    begin_open(false, true);
    ASSERT_SENT(CLIENT, "\0\41" NAME(GOOD));
    ASSERT_RECEIVED(SERVER, "\0\0\0\41" NAME(GOOD));
    ASSERT_SENT(SERVER, "\0\0\0\3sok\0\0\0\45" CHALLENGE(GOOD));
    while (receive(CLIENT, memory, most) > 0) {
    }
    ASSERT_SENT(CLIENT, "\0\25" REPLY);
    ASSERT_RECEIVED(SERVER, "\0\0\0\25" REPLY);
    ASSERT_SENT(SERVER, "\0\0\0\21" ACK);
    ASSERT_RECEIVED(CLIENT, "\0\21" ACK);
    assert_null(schedule.socket[CLIENT].joining);
}

static void test_how_the_program_reads_tells_how_the_peer_does(void **state)
{
    static const size_t reads[] = {100, 1460, 9216};

    (void)state;
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        join_reading(reads[i]);
        assert_int_equal(schedule.ends.channel[CLIENT]->cutting.first,
                         reads[i] < 1460 ? 1460 : reads[i]);
        assert_true(schedule.socket[CLIENT].gathering.on);
        end();
    }
}

/* --- what may not come --- */

static void assert_no_distribution(const char *bytes, size_t size)
{
    begin_open(true, false);
    assert_sent(CLIENT, bytes, size);
    assert_ended(SERVER, 0, NOT_DISTRIBUTION);
    assert_ended(CLIENT, 0, DENIED);
    assert_false(schedule.socket[SERVER].admitted);
    end();
}

static void test_what_is_no_distribution_ends_it(void **state)
{
    (void)state;
    assert_no_distribution("\0\0\0\0", 4);                /* a tick */
    assert_no_distribution("\0\1\0\0N", 5);               /* longer than any */
    assert_no_distribution("\x80\0\0\1N", 5);             /* longer still */
    assert_no_distribution("\0\0\0\3sok", 7);             /* no name */
    assert_no_distribution("\0\0\0\17" NAME("\0\1"), 19); /* a name that is not all there */
    assert_no_distribution("GET / HTTP/1.0\r\n\r\n", 18);
}

static void test_a_second_name_ends_it(void **state)
{
    (void)state;
    begin_open(true, false);
    ASSERT_SENT(CLIENT, "\0\0\0\41" NAME(GOOD) "\0\0\0\41" NAME(GOOD));
    ASSERT_RECEIVED(SERVER, "\0\41" NAME(GOOD));
    assert_ended(SERVER, 0, NOT_DISTRIBUTION);
    assert_ended(CLIENT, 0, DENIED);
    end();
}

/* --- a kernel that takes nothing --- */

static void test_a_byte_is_left_to_the_program_while_the_kernel_takes_nothing(void **state)
{
    static const char name[] = "\0\41" NAME(GOOD);
    size_t size = sizeof name - 1;

    (void)state;
    begin_open(false, true);
    kernel_ends[SERVER].capacity = 0;
    assert_int_equal(transmit(CLIENT, name, size), size - 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(transmit(CLIENT, name + size - 1, 1), -1);
        assert_int_equal(errno, EAGAIN);
    }
    assert_nothing(SERVER);
    kernel_ends[SERVER].capacity = HANDSHAKE_CAPACITY;
    assert_int_equal(transmit(CLIENT, name + size - 1, 1), 1);
    ASSERT_RECEIVED(SERVER, "\0\0\0\41" NAME(GOOD));
    assert_nothing(SERVER);
    end();
}

/* Half a length is nothing that could leave; the byte behind it is kept back then. */
static void test_byte_by_byte_while_the_kernel_takes_nothing(void **state)
{
    static const char name[] = "\0\41" NAME(GOOD);

    (void)state;
    begin_open(false, true);
    kernel_ends[SERVER].capacity = 0;
    assert_int_equal(transmit(CLIENT, name, 1), 1);
    assert_int_equal(transmit(CLIENT, name + 1, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(transmit(CLIENT, name + 1, 1), -1);
    kernel_ends[SERVER].capacity = HANDSHAKE_CAPACITY;
    for (size_t i = 1; i < sizeof name - 1; i++) {
        assert_int_equal(transmit(CLIENT, name + i, 1), 1);
    }
    ASSERT_RECEIVED(SERVER, "\0\0\0\41" NAME(GOOD));
    end();
}

static void test_the_byte_may_come_again_with_more_behind_it(void **state)
{
    static const char all[] = "\0\41" NAME(GOOD) "\0\5strue\0\25" REPLY;
    size_t first = 2 + 33;

    (void)state;
    begin_open(false, true);
    kernel_ends[SERVER].capacity = 0;
    assert_int_equal(transmit(CLIENT, all, first), first - 1);
    kernel_ends[SERVER].capacity = HANDSHAKE_CAPACITY;
    assert_int_equal(transmit(CLIENT, all + first - 1, sizeof all - first), sizeof all - first);
    ASSERT_RECEIVED(SERVER, "\0\0\0\41" NAME(GOOD) "\0\0\0\5strue\0\0\0\25" REPLY);
    end();
}

/* The ack is the last that is rewritten: it, too, may stay behind, with the data that follows. */
static void test_an_ack_that_stays_behind(void **state)
{
    static const char answer[] = "\0\21" ACK;
    static const char data[] = "\0\0\0\3one";
    char again[sizeof data] = {ACK[sizeof ACK - 2]};

    (void)state;
    begin_open(true, false);
    ASSERT_SENT(CLIENT, "\0\0\0\41" NAME(GOOD));
    ASSERT_RECEIVED(SERVER, "\0\41" NAME(GOOD));
    kernel_ends[CLIENT].capacity = 0;
    assert_int_equal(transmit(SERVER, answer, sizeof answer - 1), sizeof answer - 2);
    kernel_ends[CLIENT].capacity = HANDSHAKE_CAPACITY;
    memcpy(again + 1, data, sizeof data - 1);
    for (size_t sent = 0; sent < sizeof again;) {
        ssize_t taken = transmit(SERVER, again + sent, sizeof again - sent);

        assert_true(taken > 0);
        sent += (size_t)taken;
    }
    ASSERT_RECEIVED(CLIENT, "\0\0\0\21" ACK "\0\0\0\3one");
    assert_null(schedule.socket[SERVER].joining);
    end();
}

/* --- random schedules --- */

static void add(uint8_t *stream, size_t *size, const void *bytes, size_t count)
{
    assert_true(*size + count <= STREAM_MOST);
    memcpy(stream + *size, bytes, count);
    *size += count;
}

static void add_frame(uint8_t *stream, size_t *size, bool native, const void *bytes, size_t count)
{
    uint8_t length[4] = {0, 0, (uint8_t)(count >> 8), (uint8_t)count};

    add(stream, size, native ? length : length + 2, native ? 4 : 2);
    add(stream, size, bytes, count);
}

static void allow(struct program *program)
{
    assert_true(program->gate_count < GATES);
    program->gates[program->gate_count++] =
        (struct gate){.sent = program->out_size, .received = program->in_size};
}

/* One end says this, when it has received all that was said before. */
static void say(int fd, const void *bytes, size_t count)
{
    struct program *from = &schedule.program[fd];
    struct program *to = &schedule.program[1 - fd];

    add_frame(from->out, &from->out_size, from->native, bytes, count);
    allow(from);
    add_frame(to->in, &to->in_size, to->native, bytes, count);
}

#define SAY(fd, text) say(fd, text, sizeof(text) - 1)

/* A message that nobody knows, of any size. */
static void say_something(int fd)
{
    size_t most = schedule.refuser < 0 ? MESSAGE_MOST : 500;
    size_t size = 1 + random_size(&schedule.random, most - 1);

    memory[0] = '?';
    for (size_t i = 1; i < size; i++) {
        memory[i] = (uint8_t)random_next(&schedule.random);
    }
    say(fd, memory, size);
}

static bool one_in(size_t count)
{
    return random_below(&schedule.random, count) == 0;
}

static void say_names(bool client_bad, bool server_bad)
{
    bool old = one_in(3);

    schedule.program[SERVER].claim_at = schedule.program[SERVER].in_size;
    if (client_bad) {
        old ? SAY(CLIENT, "n\0\5\x07\xDF\x7F\xBD"
                          "a@other.example.org")
            : SAY(CLIENT, NAME(BAD));
    } else {
        old ? SAY(CLIENT, "n\0\5\x07\xDF\x7F\xBD"
                          "a@node.example.org")
            : SAY(CLIENT, NAME(GOOD));
    }
    if (one_in(4)) {
        say_something(CLIENT);
    }
    if (one_in(3)) {
        SAY(SERVER, "salive");
        SAY(CLIENT, "strue");
    } else {
        SAY(SERVER, "sok");
    }
    if (one_in(4)) {
        say_something(SERVER);
    }
    schedule.program[CLIENT].claim_at = schedule.program[CLIENT].in_size;
    server_bad ? SAY(SERVER, CHALLENGE(BAD)) : SAY(SERVER, CHALLENGE(GOOD));
    if (old) {
        SAY(CLIENT, "c\0\0\0\x0D\x12\x34\x56\x78");
    }
}

static void add_data(int fd)
{
    struct program *from = &schedule.program[fd];
    struct program *to = &schedule.program[1 - fd];
    size_t size = random_size(&schedule.random, DATA_MOST);

    for (size_t i = 0; i < size; i++) {
        memory[i] = (uint8_t)random_next(&schedule.random);
    }
    add(from->out, &from->out_size, memory, size);
    allow(from);
    add(to->in, &to->in_size, memory, size);
}

static void plan_talk(bool client_bad, bool server_bad)
{
    struct program *client = &schedule.program[CLIENT];
    size_t until_ack;

    say_names(client_bad, server_bad);
    SAY(CLIENT, REPLY);
    SAY(SERVER, ACK);
    until_ack = client->in_size;
    /* The server's may come right behind its ack, the client's when it has that. */
    add_data(SERVER);
    add_data(CLIENT);
    client->gates[client->gate_count - 1].received = until_ack;
}

static void plan_faults(void)
{
    for (int fd = 0; fd < 2; fd++) {
        schedule.program[fd].room_most = PICK(&schedule.random, 1, 2, 10, 300, 1460, STREAM_MOST);
        schedule.program[fd].write_most = PICK(&schedule.random, 1, 3, 40, 17000, STREAM_MOST);
        kernel_ends[fd].receive_most = PICK(&schedule.random, 0, 0, 1, 3, 50, 5000);
        kernel_ends[fd].send_most = PICK(&schedule.random, 0, 0, 1, 3, 50, 5000);
        kernel_ends[fd].interrupted = (unsigned)PICK(&schedule.random, 0, 0, 5, 40);
    }
}

static void check_received(int fd, size_t got)
{
    const struct program *program = &schedule.program[fd];

    if (got > program->in_size - program->received ||
        memcmp(memory, program->in + program->received, got) != 0) {
        fail_msg("seed %llu: end %d received %zu bytes at position %zu of %zu that are not those "
                 "sent",
                 SEED, fd, got, program->received, program->in_size);
    }
    if (fd == schedule.refuser && program->received + got > program->claim_at) {
        fail_msg("seed %llu: end %d sees a name that may not join", SEED, fd);
    }
}

static void step_read(int fd)
{
    struct program *program = &schedule.program[fd];
    bool peek = one_in(8);
    size_t room = 1 + random_size(&schedule.random, program->room_most - 1);
    struct iovec vector[PIECES];
    ssize_t waiting = one_in(16) ? readable(fd) : -1;
    ssize_t got;

    room = waiting > 0 ? (size_t)waiting : room;
    got = receive_vector(fd, vector, schedules_cut(&schedule.random, memory, room, vector, PIECES),
                         peek);
    if (got < 0 && errno == EAGAIN && waiting <= 0) {
        return;
    }
    if (got < 0 && errno == ECONNRESET && fd == schedule.refuser &&
        program->received == program->claim_at) {
        schedule.refused = true;
        return;
    }
    if (got <= 0 || (size_t)got > room || (waiting > 0 && !peek && got != waiting)) {
        fail_msg("seed %llu: end %d: receive of %zu gave %zd (%s), readable said %zd; '%s'", SEED,
                 fd, room, got, strerror(errno), waiting, reason_of(fd));
    }
    check_received(fd, (size_t)got);
    program->received += peek ? 0 : (size_t)got;
}

static size_t allowed(int fd)
{
    const struct program *program = &schedule.program[fd];
    size_t most = 0;

    for (size_t i = 0; i < program->gate_count; i++) {
        if (program->received >= program->gates[i].received) {
            most = program->gates[i].sent;
        }
    }
    return most;
}

static void step_write(int fd)
{
    struct program *program = &schedule.program[fd];
    size_t left = allowed(fd) - program->sent;
    size_t size = 1 + random_size(&schedule.random, program->write_most - 1);
    struct iovec vector[PIECES];
    unsigned refused = kernel_ends[fd].refused_sends;
    bool open = is_open(fd);
    ssize_t taken;

    size = size < left ? size : left;
    if (!open && program->sent + size > EARLY) {
        return; /* nodes begin with one small message; the channel keeps that, and not anything */
    }
    taken = dg_joining_send(
        &schedule.socket[fd], fd, vector,
        schedules_cut(&schedule.random, program->out + program->sent, size, vector, PIECES));
    if (taken < 0 && errno == EAGAIN && (!open || kernel_ends[fd].refused_sends > refused)) {
        return;
    }
    if (taken <= 0 || (size_t)taken > size) {
        fail_msg("seed %llu: end %d: send of %zu took %zd (%s), the kernel refused %u; '%s'", SEED,
                 fd, size, taken, strerror(errno), kernel_ends[fd].refused_sends - refused,
                 reason_of(fd));
    }
    program->sent += (size_t)taken;
}

/* Programs that do what their poller tells them, and nothing else. False where nobody can. */
static bool step(void)
{
    bool can_read[2], can_write[2];
    int fd = (int)random_below(&schedule.random, 2);

    for (int i = 0; i < 2; i++) {
        can_read[i] = kernel_readable(i);
        can_write[i] = schedule.program[i].sent < allowed(i) && kernel_writable(i);
    }
    if (!can_read[fd] && !can_write[fd]) {
        fd = 1 - fd;
    }
    if (!can_read[fd] && !can_write[fd]) {
        return false;
    }
    if (can_read[fd] && (!can_write[fd] || one_in(2))) {
        step_read(fd);
    } else {
        step_write(fd);
    }
    return true;
}

static bool is_done(void)
{
    for (int fd = 0; fd < 2; fd++) {
        const struct program *program = &schedule.program[fd];

        if (program->sent < program->out_size || program->received < program->in_size) {
            return false;
        }
    }
    return true;
}

static void run(void)
{
    bool open = false;

    (void)receive(CLIENT, memory, 1); /* sends the ClientHello */
    for (unsigned steps = 0; !is_done() && !schedule.refused; steps++) {
        if (!open && schedule.refuser < 0 && is_open(CLIENT) && is_open(SERVER)) {
            open = true;
            for (int fd = 0; fd < 2; fd++) {
                kernel_ends[fd].capacity =
                    PICK(&schedule.random, 1, 2, 23, 100, 1000, 20000, 300000);
            }
        }
        if (!step() || steps > STEPS_MAX) {
            fail_msg("seed %llu: deadlock after %u steps: sent %zu and %zu of %zu and %zu, "
                     "received %zu and %zu; '%s', '%s'",
                     SEED, steps, schedule.program[0].sent, schedule.program[1].sent,
                     schedule.program[0].out_size, schedule.program[1].out_size,
                     schedule.program[0].received, schedule.program[1].received, reason_of(0),
                     reason_of(1));
        }
    }
}

static void run_joining(uint64_t seed)
{
    struct random random = {.state = seed};
    size_t native = random_below(&random, 3);

    begin(seed, native == 1, native == 2);
    plan_talk(false, false);
    plan_faults();
    run();
    for (int fd = 0; fd < 2; fd++) {
        if (schedule.socket[fd].joining != NULL ||
            schedule.socket[fd].admitted == schedule.program[fd].native) {
            fail_msg("seed %llu: end %d still joins, or is not admitted", SEED, fd);
        }
    }
    end();
}

static void run_refused(uint64_t seed)
{
    struct random random = {.state = seed};
    int refuser = (int)random_below(&random, 2);
    bool other_native = random_below(&random, 2) == 0;
    const char *reason;

    begin(seed, refuser == SERVER && other_native, refuser == CLIENT && other_native);
    schedule.refuser = refuser;
    plan_talk(refuser == SERVER, refuser == CLIENT);
    plan_faults();
    run();
    reason = reason_of(refuser);
    if (strstr(reason, "node_names") == NULL) {
        fail_msg("seed %llu: refused for '%s'", SEED, reason);
    }
    assert_ended(refuser, 0, reason);
    assert_ended(1 - refuser, STREAM_MOST, DENIED);
    assert_false(schedule.socket[refuser].admitted);
    end();
}

static void test_nodes_join_under_every_schedule(void **state)
{
    (void)state;
    schedules_run(SCHEDULES, run_joining);
}

static void test_of_a_node_that_may_not_join_the_program_sees_nothing(void **state)
{
    (void)state;
    schedules_run(SCHEDULES, run_refused);
}

static int set_up(void **state)
{
    int made = pki_make(state);

    policy.tls = pki_policy("ours", "node", "ours");
    policy.tls.rekey_bytes = 10000;
    policy.tls.keyupdate_limit = 1000000;
    policy.node_names = DG_NODE_NAMES_HOST;
    policy.local = DG_LOCAL_DENY;
    credentials = pki_credentials_of(&policy);
    return made;
}

static int tear_down(void **state)
{
    dg_credentials_free(credentials);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lengths_on_the_wire_have_four_bytes_until_the_ack_too),
        cmocka_unit_test(test_how_the_program_reads_tells_how_the_peer_does),
        cmocka_unit_test(test_what_is_no_distribution_ends_it),
        cmocka_unit_test(test_a_second_name_ends_it),
        cmocka_unit_test(test_a_byte_is_left_to_the_program_while_the_kernel_takes_nothing),
        cmocka_unit_test(test_byte_by_byte_while_the_kernel_takes_nothing),
        cmocka_unit_test(test_the_byte_may_come_again_with_more_behind_it),
        cmocka_unit_test(test_an_ack_that_stays_behind),
        cmocka_unit_test(test_nodes_join_under_every_schedule),
        cmocka_unit_test(test_of_a_node_that_may_not_join_the_program_sees_nothing),
    };

    return cmocka_run_group_tests_name("socket/joining", tests, set_up, tear_down);
}
