/* The queue of log lines: their order, its limit, and what wraps around its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shim/core/report/line_ring.h"

static struct dg_line_ring ring;

static int set_up(void **state)
{
    (void)state;
    memset(&ring, 0, sizeof ring);
    return 0;
}

/* The line with this number: its text, its size and the rest follow from it. */
static struct dg_line numbered(unsigned number)
{
    struct dg_line line = {.lost = (unsigned long)number * 3, .is_sentence = number % 2 == 1};

    line.size = number * 7 % DG_LINE_SIZE;
    memset(line.text, 'a' + (int)(number % 26), line.size);
    return line;
}

static void assert_takes(unsigned number)
{
    struct dg_line wanted = numbered(number), got;

    if (!dg_line_ring_take(&ring, &got)) {
        fail_msg("nothing where line %u was to be", number);
    }
    if (got.size != wanted.size || got.lost != wanted.lost ||
        got.is_sentence != wanted.is_sentence) {
        fail_msg("line %u: size %zu, lost %lu, sentence %d; wanted %zu, %lu, %d", number, got.size,
                 got.lost, got.is_sentence, wanted.size, wanted.lost, wanted.is_sentence);
    }
    assert_memory_equal(got.text, wanted.text, wanted.size);
}

static bool put(unsigned number)
{
    struct dg_line line = numbered(number);

    return dg_line_ring_put(&ring, &line);
}

static void test_order(void **state)
{
    struct dg_line line;

    (void)state;
    assert_true(dg_line_ring_is_empty(&ring));
    assert_false(dg_line_ring_take(&ring, &line));
    for (unsigned i = 0; i < 10; i++) {
        assert_true(put(i));
    }
    assert_false(dg_line_ring_is_empty(&ring));
    for (unsigned i = 0; i < 10; i++) {
        assert_takes(i);
    }
    assert_true(dg_line_ring_is_empty(&ring));
    assert_false(dg_line_ring_take(&ring, &line));
}

/* Full is full, and nothing of what is in it is touched by what finds no room. */
static void test_full(void **state)
{
    unsigned count = 0;

    (void)state;
    while (put(count)) {
        count++;
    }
    assert_in_range(count, DG_LINE_RING_SIZE / sizeof(struct dg_line),
                    3 * DG_LINE_RING_SIZE / DG_LINE_SIZE);
    assert_false(put(count));
    assert_takes(0);
    assert_takes(1);
    for (unsigned i = 2; i < count; i++) {
        assert_takes(i);
    }
    assert_true(dg_line_ring_is_empty(&ring));
}

/* Lines of every size, cut in two at every place where the memory ends. */
static void test_round_and_round(void **state)
{
    unsigned in = 0, out = 0;

    (void)state;
    while (ring.taken < 20 * DG_LINE_RING_SIZE) {
        while (put(in)) {
            in++;
        }
        for (unsigned i = 0; i < 50; i++) {
            assert_takes(out++);
        }
    }
    while (out < in) {
        assert_takes(out++);
    }
    assert_true(dg_line_ring_is_empty(&ring));
}

/* The counts may run over. */
static void test_counts_run_over(void **state)
{
    (void)state;
    ring.put = ring.taken = 0 - (size_t)100;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(put(i));
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_takes(i);
    }
    assert_true(dg_line_ring_is_empty(&ring));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order, set_up),
        cmocka_unit_test_setup(test_full, set_up),
        cmocka_unit_test_setup(test_round_and_round, set_up),
        cmocka_unit_test_setup(test_counts_run_over, set_up),
    };

    return cmocka_run_group_tests_name("report/line_ring", tests, NULL, NULL);
}
