/* Where records end: whatever the writes, the same stream, and records as a VM reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "shim/core/tls/cutting.h"
#include "tests/unit/support/random.h"

enum { LIMIT = 16384, FIRST = 1460, LARGER_FIRST = 9216, LENGTH = 4 };

/* Cuts what is in `bytes` as one write, and tells the sizes. */
static size_t cut_all(struct dg_cutting *cutting, const uint8_t *bytes, size_t size, size_t *sizes)
{
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = size};
    struct dg_plaintext plaintext;
    size_t count = 0;

    dg_plaintext_open(&plaintext, &vector, 1);
    while (plaintext.left > 0) {
        size_t record = dg_cut(cutting, &plaintext, LIMIT);
        const uint8_t *taken;

        assert_in_range(record, 1, LIMIT);
        assert_true(record <= plaintext.left);
        sizes[count++] = record;
        assert_int_equal(dg_plaintext_take(&plaintext, &taken, record), record);
    }
    return count;
}

static size_t put_packet(uint8_t *bytes, uint32_t size)
{
    bytes[0] = (uint8_t)(size >> 24);
    bytes[1] = (uint8_t)(size >> 16);
    bytes[2] = (uint8_t)(size >> 8);
    bytes[3] = (uint8_t)size;
    memset(bytes + LENGTH, 0xee, size);
    return LENGTH + size;
}

static void test_other_streams_are_cut_in_full_records(void **state)
{
    static uint8_t bytes[40000];
    struct dg_cutting cutting = {.first = 0};
    size_t sizes[8];

    (void)state;
    assert_int_equal(cut_all(&cutting, bytes, sizeof bytes, sizes), 3);
    assert_int_equal(sizes[0], LIMIT);
    assert_int_equal(sizes[2], 40000 - (size_t)2 * LIMIT);
}

static void test_a_large_packet_begins_with_a_small_record(void **state)
{
    static uint8_t bytes[80000];
    struct dg_cutting cutting = {.first = FIRST};
    size_t size = put_packet(bytes, 65558);
    size_t sizes[16];

    (void)state;
    assert_int_equal(cut_all(&cutting, bytes, size, sizes), 5);
    assert_int_equal(sizes[0], FIRST);
    assert_int_equal(sizes[1], LIMIT);
    assert_int_equal(sizes[4], size - FIRST - (size_t)3 * LIMIT);
}

static void test_small_packets_share_a_record_up_to_a_large_one(void **state)
{
    static uint8_t bytes[10000];
    struct dg_cutting cutting = {.first = FIRST};
    size_t sizes[16];
    size_t size = put_packet(bytes, 60);

    (void)state;
    size += put_packet(bytes + size, 0); /* a tick */
    size += put_packet(bytes + size, FIRST - LENGTH);
    size += put_packet(bytes + size, FIRST - LENGTH + 1);
    size += put_packet(bytes + size, 5);
    assert_int_equal(cut_all(&cutting, bytes, size, sizes), 3);
    assert_int_equal(sizes[0], 64 + 4 + FIRST);
    assert_int_equal(sizes[1], FIRST);
    assert_int_equal(sizes[2], 1 + 9);
}

static void test_packets_are_followed_across_writes(void **state)
{
    static uint8_t bytes[80000];
    struct dg_cutting cutting = {.first = FIRST};
    size_t sizes[16];
    size_t size = put_packet(bytes, 30000);

    (void)state;
    size += put_packet(bytes + size, 3000);
    assert_int_equal(cut_all(&cutting, bytes, 20000, sizes), 3);
    assert_int_equal(sizes[2], 20000 - FIRST - LIMIT);
    assert_int_equal(cut_all(&cutting, bytes + 20000, size - 20000, sizes), 3);
    assert_int_equal(sizes[0], 30004 - 20000);
    assert_int_equal(sizes[1], FIRST);
}

static void test_a_length_in_two_pieces_ends_the_cutting_by_packets(void **state)
{
    uint8_t bytes[100];
    struct dg_cutting cutting = {.first = FIRST};
    size_t sizes[4];

    (void)state;
    (void)put_packet(bytes, 90);
    assert_int_equal(cut_all(&cutting, bytes, 3, sizes), 1);
    assert_int_equal(cutting.first, 0);
    assert_int_equal(cut_all(&cutting, bytes + 3, 91, sizes), 1);
}

static void test_a_reader_with_a_large_buffer_gets_more_at_first(void **state)
{
    static uint8_t bytes[40000];
    struct dg_cutting cutting = {.first = LARGER_FIRST};
    size_t sizes[16] = {0};
    size_t size = put_packet(bytes, 3000);

    (void)state;
    size += put_packet(bytes + size, LARGER_FIRST - LENGTH);
    size += put_packet(bytes + size, 20000);
    assert_int_equal(cut_all(&cutting, bytes, size, sizes), 3);
    assert_int_equal(sizes[0], 3004 + LARGER_FIRST);
    assert_int_equal(sizes[1], LARGER_FIRST);
    assert_int_equal(sizes[2], 20004 - LARGER_FIRST);
}

static void test_any_bytes_in_any_pieces(void **state)
{
    static uint8_t bytes[50000];
    static size_t sizes[50000];
    struct random random = {.state = 1};

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct dg_cutting cutting = {.first = FIRST};

        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = random_below(&random, 3) == 0 ? (uint8_t)random_below(&random, 256) : 0;
        }
        for (size_t at = 0; at < sizeof bytes;) {
            size_t size = 1 + random_below(&random, sizeof bytes - at);
            size_t total = 0;
            size_t count = cut_all(&cutting, bytes + at, size, sizes);

            for (size_t i = 0; i < count; i++) {
                total += sizes[i];
            }
            assert_int_equal(total, size);
            at += size;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_streams_are_cut_in_full_records),
        cmocka_unit_test(test_a_large_packet_begins_with_a_small_record),
        cmocka_unit_test(test_small_packets_share_a_record_up_to_a_large_one),
        cmocka_unit_test(test_packets_are_followed_across_writes),
        cmocka_unit_test(test_a_length_in_two_pieces_ends_the_cutting_by_packets),
        cmocka_unit_test(test_a_reader_with_a_large_buffer_gets_more_at_first),
        cmocka_unit_test(test_any_bytes_in_any_pieces),
    };

    return cmocka_run_group_tests_name("tls/cutting", tests, NULL, NULL);
}
