/*
 * A channel and plain OpenSSL under random schedules: records of all sizes and paddings, KeyUpdates
 * at any time, arriving in pieces of all sizes.
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
#include "tests/unit/support/peer.h"
#include "tests/unit/support/pki.h"
#include "tests/unit/support/schedules.h"

enum { SCHEDULES = 100, MOST = 200 * 1024, BACKLOG = 64 * 1024, PLENTY = 1 << 20 };

#define SEED ((unsigned long long)checked_seed)

static struct dg_policy policy;
static struct dg_credentials *credentials;
static int version; /* the newest that the peer speaks */
static uint8_t to_channel[MOST], from_channel[MOST], arrived[MOST];

struct schedule {
    struct random random;
    struct ends ends;
    struct peer *peer;
    int fd; /* the channel's */
    size_t peer_total;
    size_t peer_sent;
    size_t total; /* of the channel */
    size_t sent;
    size_t received;
    size_t room_most;
    size_t piece_most; /* of what arrives at once */
    unsigned updates;  /* percent of the peer's writes that a KeyUpdate precedes */
};

static void plan(struct schedule *schedule)
{
    struct random *random = &schedule->random;

    schedule->fd = (int)random_below(random, 2);
    schedule->peer_total = random_size(random, MOST);
    schedule->total = random_size(random, MOST);
    schedule->room_most = PICK(random, 1, 10, 300, 17000, MOST);
    schedule->piece_most = PICK(random, 1, 30, 500, 20000, 100000);
    schedule->updates = (unsigned)PICK(random, 0, 1, 10);
    if (version == TLS1_2_VERSION) {
        schedule->updates = 0;
    }
    if (schedule->room_most == 1 || schedule->piece_most == 1) {
        schedule->peer_total /= 10;
    }
    for (size_t i = 0; i < MOST; i++) {
        to_channel[i] = (uint8_t)random_next(random);
        from_channel[i] = (uint8_t)(to_channel[i] + 1);
    }
}

static void begin(struct schedule *schedule)
{
    struct random *random = &schedule->random;
    int fd = schedule->fd;

    kernel_reset(PLENTY, checked_seed);
    schedule->ends.channel[fd] =
        dg_channel_new(credentials, fd == KERNEL_CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER,
                       &kernel_transport, 60);
    assert_non_null(schedule->ends.channel[fd]);
    schedule->peer = peer_new(1 - fd, "ours", "peer");
    assert_int_equal(SSL_set_max_proto_version(schedule->peer->ssl, version), 1);
    for (int i = 0; i < 4; i++) {
        peer_step(schedule->peer);
        assert_eagain(&schedule->ends, fd);
    }
    assert_int_equal(dg_channel_get_state(schedule->ends.channel[fd]), DG_CHANNEL_OPEN);
    assert_int_equal(SSL_version(schedule->peer->ssl), version);
    schedule->peer->slow = true;
    (void)SSL_set_max_send_fragment(schedule->peer->ssl, (long)PICK(random, 512, 600, 4000, 16384));
    (void)SSL_set_block_padding(schedule->peer->ssl, PICK(random, 0, 0, 64, 4096));
    kernel_ends[fd].interrupted = (unsigned)PICK(random, 0, 20);
    kernel_ends[1 - fd].capacity = PICK(random, 1, 100, 20000, PLENTY);
}

static void peer_writes(struct schedule *schedule)
{
    struct peer *peer = schedule->peer;
    size_t left = schedule->peer_total - schedule->peer_sent;
    size_t size = 1 + random_size(&schedule->random, 40000);

    size = size < left ? size : left;
    if (random_below(&schedule->random, 100) < schedule->updates) {
        assert_int_equal(SSL_key_update(peer->ssl, random_below(&schedule->random, 2) == 0
                                                       ? SSL_KEY_UPDATE_REQUESTED
                                                       : SSL_KEY_UPDATE_NOT_REQUESTED),
                         1);
    }
    peer_send(peer, to_channel + schedule->peer_sent, size);
    schedule->peer_sent += size;
}

static void channel_reads(struct schedule *schedule)
{
    size_t room = 1 + random_size(&schedule->random, schedule->room_most - 1);
    struct iovec vector = {.iov_base = arrived, .iov_len = room};
    bool peek = random_below(&schedule->random, 8) == 0;
    ssize_t got = checked_receive(&schedule->ends, schedule->fd, &vector, 1, peek);

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0 || (size_t)got > schedule->peer_sent - schedule->received ||
        memcmp(arrived, to_channel + schedule->received, (size_t)got) != 0) {
        fail_msg("seed %llu: received %zd bytes at position %zu that were not sent; '%s'", SEED,
                 got, schedule->received, dg_channel_reason(schedule->ends.channel[schedule->fd]));
    }
    schedule->received += peek ? 0 : (size_t)got;
}

static void channel_writes(struct schedule *schedule)
{
    size_t left = schedule->total - schedule->sent;
    size_t size = 1 + random_size(&schedule->random, 40000);
    ssize_t taken;

    size = size < left ? size : left;
    taken = send_bytes(&schedule->ends, schedule->fd, from_channel + schedule->sent, size);
    if (taken < 0 && errno != EAGAIN) {
        fail_msg("seed %llu: send: %s; '%s'", SEED, strerror(errno),
                 dg_channel_reason(schedule->ends.channel[schedule->fd]));
    }
    schedule->sent += taken > 0 ? (size_t)taken : 0;
}

/* One thing that somebody can do. False where nobody can do anything. */
static bool step(struct schedule *schedule)
{
    BIO *backlog = SSL_get_wbio(schedule->peer->ssl);
    bool can_write = schedule->sent < schedule->total && kernel_writable(schedule->fd);
    bool peer_can_write =
        schedule->peer_sent < schedule->peer_total && BIO_pending(backlog) < BACKLOG;
    bool can_read = kernel_readable(schedule->fd);
    bool peer_can_read = kernel_readable(1 - schedule->fd);

    if (!can_write && !can_read && !peer_can_write && !peer_can_read && BIO_pending(backlog) == 0) {
        return false;
    }
    switch (random_below(&schedule->random, 5)) {
    case 0:
        if (can_write) {
            channel_writes(schedule);
        }
        break;
    case 1:
        if (can_read) {
            channel_reads(schedule);
        }
        break;
    case 2:
        if (peer_can_write) {
            peer_writes(schedule);
        }
        break;
    case 3:
        (void)peer_give(schedule->peer, 1 + random_below(&schedule->random, schedule->piece_most));
        break;
    default:
        peer_step(schedule->peer);
        break;
    }
    return true;
}

static void run_schedule(uint64_t seed)
{
    struct schedule schedule = {.random = {.state = seed}};

    checked_seed = seed;
    plan(&schedule);
    begin(&schedule);
    while (schedule.received < schedule.peer_total || schedule.peer->size < schedule.total ||
           schedule.sent < schedule.total) {
        if (!step(&schedule)) {
            fail_msg("seed %llu: nobody can do anything: %zu of %zu bytes have been received, "
                     "%zu of %zu sent",
                     SEED, schedule.received, schedule.peer_total, schedule.sent, schedule.total);
        }
    }
    assert_int_equal(schedule.peer->size, schedule.total);
    assert_memory_equal(schedule.peer->text, from_channel, schedule.total);
    ends_free(&schedule.ends);
    peer_free(schedule.peer);
    kernel_free();
}

static void test_plain_openssl_and_a_channel_understand_each_other(void **state)
{
    (void)state;
    version = TLS1_3_VERSION;
    schedules_run(SCHEDULES, run_schedule);
}

static void test_the_same_in_tls_1_2(void **state)
{
    (void)state;
    version = TLS1_2_VERSION;
    schedules_run(SCHEDULES, run_schedule);
}

static int set_up(void **state)
{
    (void)pki_make(state);
    policy.tls = pki_policy("ours", "node", "ours");
    policy.tls.min_version = DG_TLS_1_2;
    policy.tls.rekey_bytes = 10000;
    policy.tls.keyupdate_limit = 1000000;
    credentials = pki_credentials_of(&policy);
    return 0;
}

static int tear_down(void **state)
{
    dg_credentials_free(credentials);
    return pki_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_openssl_and_a_channel_understand_each_other),
        cmocka_unit_test(test_the_same_in_tls_1_2),
    };

    return cmocka_run_group_tests_name("tls/channel, random schedules with a peer", tests, set_up,
                                       tear_down);
}
