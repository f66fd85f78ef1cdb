/*
 * Channels under random schedules: two programs that poll, read and write as their kernels allow,
 * over queues of all sizes and with every fault that is none. What arrives must be what was sent,
 * nobody may wait for ever, and the promises of channel.h are checked after every call.
 *
 * DG_SCHEDULES=N runs more of them, DG_SEED=S one alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/checked.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/schedules.h"

enum {
    SCHEDULES = 100,
    MOST = 200 * 1024,
    ROOM = 1024 * 1024,
    PIECES = 8,
    EARLY = 3000,
    HANDSHAKE_CAPACITY = 16 * 1024,
    STEPS_MAX = 3000000,
};

#define SEED ((unsigned long long)checked_seed)

struct program {
    uint8_t stream[MOST]; /* what it sends */
    size_t total;
    size_t sent;
    size_t expected;
    size_t received;
    size_t room_most; /* of one receive */
    size_t write_most;
};

struct schedule {
    struct random random;
    struct ends ends;
    struct program program[2];
};

static struct dg_policy policy;
static struct dg_credentials *client_credentials, *server_credentials;
static const char *version;
static uint8_t *memory; /* ROOM bytes */

static void check_bytes(const struct schedule *schedule, int fd, const uint8_t *bytes, size_t size)
{
    const struct program *sender = &schedule->program[1 - fd];
    size_t from = schedule->program[fd].received;

    if (size > sender->sent - from + 1 || memcmp(bytes, sender->stream + from, size) != 0) {
        fail_msg("seed %llu: end %d received %zu bytes at position %zu that are not those sent",
                 SEED, fd, size, from);
    }
}

static void step_read(struct schedule *schedule, int fd)
{
    struct program *program = &schedule->program[fd];
    bool peek = random_below(&schedule->random, 8) == 0;
    size_t room = 1 + random_size(&schedule->random, program->room_most - 1);
    ssize_t readable = -1;
    struct iovec vector[PIECES];
    ssize_t got;
    int count;

    if (random_below(&schedule->random, 16) == 0) {
        readable = checked_readable(&schedule->ends, fd);
        room = readable > 0 ? (size_t)readable : room;
    }
    count = schedules_cut(&schedule->random, memory, room, vector, PIECES);
    got = checked_receive(&schedule->ends, fd, vector, count, peek);
    if (got < 0 && errno == EAGAIN && readable <= 0) {
        return;
    }
    if (got <= 0 || (size_t)got > room || (readable > 0 && !peek && got != readable)) {
        fail_msg("seed %llu: end %d: receive of %zu gave %zd (%s), readable said %zd; '%s'", SEED,
                 fd, room, got, strerror(errno), readable,
                 dg_channel_reason(schedule->ends.channel[fd]));
    }
    check_bytes(schedule, fd, memory, (size_t)got);
    program->received += peek ? 0 : (size_t)got;
}

static void step_write(struct schedule *schedule, int fd)
{
    struct program *program = &schedule->program[fd];
    bool early = dg_channel_get_state(schedule->ends.channel[fd]) == DG_CHANNEL_HANDSHAKE;
    size_t left = program->total - program->sent;
    size_t size = 1 + random_size(&schedule->random, program->write_most - 1);
    struct iovec vector[PIECES];
    ssize_t taken;
    int count;

    if (early && program->sent + size > EARLY) {
        return;
    }
    size = size < left ? size : left;
    count = schedules_cut(&schedule->random, program->stream + program->sent, size, vector, PIECES);
    taken = checked_send(&schedule->ends, fd, vector, count);
    if (taken < 0 && errno == EAGAIN) {
        return;
    }
    if (taken <= 0 || (size_t)taken > size) {
        fail_msg("seed %llu: end %d: send of %zu took %zd (%s); '%s'", SEED, fd, size, taken,
                 strerror(errno), dg_channel_reason(schedule->ends.channel[fd]));
    }
    program->sent += (size_t)taken;
}

static bool is_open(const struct schedule *schedule, int fd)
{
    return dg_channel_get_state(schedule->ends.channel[fd]) == DG_CHANNEL_OPEN;
}

static bool is_done(const struct schedule *schedule)
{
    for (int fd = 0; fd < 2; fd++) {
        const struct program *program = &schedule->program[fd];

        if (program->sent < program->total || program->received < program->expected ||
            !is_open(schedule, fd)) {
            return false;
        }
    }
    return true;
}

/* Programs that do what their poller tells them, and nothing else. False where nobody can. */
static bool step(struct schedule *schedule)
{
    bool read[2], write[2];
    int fd = (int)random_below(&schedule->random, 2);

    for (int i = 0; i < 2; i++) {
        read[i] = kernel_readable(i);
        write[i] = schedule->program[i].sent < schedule->program[i].total && kernel_writable(i);
    }
    if (!read[fd] && !write[fd]) {
        fd = 1 - fd;
    }
    if (!read[fd] && !write[fd]) {
        return false;
    }
    if (read[fd] && (!write[fd] || random_below(&schedule->random, 2) == 0)) {
        step_read(schedule, fd);
    } else {
        step_write(schedule, fd);
    }
    return true;
}

static void plan(struct schedule *schedule)
{
    struct random *random = &schedule->random;

    for (int fd = 0; fd < 2; fd++) {
        struct program *program = &schedule->program[fd];

        program->total = random_size(random, MOST);
        for (size_t i = 0; i < program->total; i++) {
            program->stream[i] = (uint8_t)random_next(random);
        }
        program->room_most = PICK(random, 1, 10, 300, 17000, ROOM);
        program->write_most = PICK(random, 1, 100, 17000, MOST);
        if (program->write_most == 1 && program->total > 2000) {
            program->total = 2000;
        }
        kernel_ends[fd].receive_most = PICK(random, 0, 0, 1, 3, 50, 5000);
        kernel_ends[fd].send_most = PICK(random, 0, 0, 1, 3, 50, 5000);
        kernel_ends[fd].interrupted = (unsigned)PICK(random, 0, 0, 5, 40);
    }
    schedule->program[0].expected = schedule->program[1].total;
    schedule->program[1].expected = schedule->program[0].total;
}

/* Once both are through the handshake the kernel's queues become whatever they become. */
static void shrink_queues(struct schedule *schedule)
{
    for (int fd = 0; fd < 2; fd++) {
        kernel_ends[fd].capacity =
            PICK(&schedule->random, 1, 2, 23, 100, 1000, 20000, 300000, 4000000);
    }
}

static void check_end(struct schedule *schedule)
{
    struct ends *ends = &schedule->ends;
    char byte;

    kernel_ends[0].capacity = kernel_ends[1].capacity = MOST;
    dg_channel_end_sending(ends->channel[0], 0);
    assert_int_equal(receive_bytes(ends, 1, &byte, 1), 0);
    assert_int_equal(receive_bytes(ends, 1, &byte, 1), 0);
    dg_channel_end_sending(ends->channel[1], 1);
    assert_int_equal(receive_bytes(ends, 0, &byte, 1), 0);
}

static struct schedule the_schedule; /* too large for the stack */

static void run_schedule(uint64_t seed)
{
    struct schedule *schedule = &the_schedule;
    bool open = false;

    memset(schedule, 0, sizeof *schedule);
    schedule->random.state = checked_seed = seed;
    kernel_reset(HANDSHAKE_CAPACITY, seed);
    schedule->ends = ends_new(client_credentials, server_credentials);
    plan(schedule);
    assert_eagain(&schedule->ends, KERNEL_CLIENT); /* sends the ClientHello */
    for (unsigned steps = 0; !is_done(schedule); steps++) {
        if (!open && is_open(schedule, 0) && is_open(schedule, 1)) {
            open = true;
            assert_string_equal(dg_channel_version(schedule->ends.channel[0]), version);
            shrink_queues(schedule);
        }
        if (!step(schedule) || steps > STEPS_MAX) {
            fail_msg("seed %llu: deadlock after %u steps: sent %zu and %zu of %zu and %zu, "
                     "received %zu and %zu",
                     SEED, steps, schedule->program[0].sent, schedule->program[1].sent,
                     schedule->program[0].total, schedule->program[1].total,
                     schedule->program[0].received, schedule->program[1].received);
        }
    }
    check_end(schedule);
    ends_free(&schedule->ends);
    kernel_free();
}

static void make_credentials(void)
{
    policy.tls = pki_policy("ours", "node", "ours");
    policy.tls.min_version = DG_TLS_1_2;
    policy.tls.rekey_bytes = 10000;
    policy.tls.keyupdate_limit = 1000000;
    client_credentials = pki_credentials_of(&policy);
    server_credentials = pki_credentials_of(&policy);
}

static void free_credentials(void)
{
    dg_credentials_free(client_credentials);
    dg_credentials_free(server_credentials);
}

static void test_what_arrives_is_what_was_sent_and_nobody_waits_for_ever(void **state)
{
    (void)state;
    make_credentials();
    version = "TLSv1.3";
    schedules_run(SCHEDULES, run_schedule);
    free_credentials();
}

static void test_the_same_in_tls_1_2(void **state)
{
    (void)state;
    make_credentials();
    pki_cap_1_2(server_credentials);
    version = "TLSv1.2";
    schedules_run(SCHEDULES, run_schedule);
    free_credentials();
}

static int set_up(void **state)
{
    memory = malloc(ROOM);
    return memory != NULL ? pki_make(state) : -1;
}

static int tear_down(void **state)
{
    free(memory);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_arrives_is_what_was_sent_and_nobody_waits_for_ever),
        cmocka_unit_test(test_the_same_in_tls_1_2),
    };

    return cmocka_run_group_tests_name("tls/channel, random schedules", tests, set_up, tear_down);
}
