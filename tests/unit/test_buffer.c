/* The byte queue that may borrow its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/core/tls/buffer.h"
#include "tests/unit/support/random.h"

static void assert_holds(const struct dg_buffer *buffer, const char *text)
{
    assert_int_equal(dg_buffer_size(buffer), strlen(text));
    if (dg_buffer_size(buffer) > 0) {
        assert_memory_equal(buffer->bytes + buffer->start, text, strlen(text));
    }
}

static void test_bytes_come_out_in_the_order_they_went_in(void **state)
{
    struct dg_buffer buffer = {0};

    (void)state;
    assert_holds(&buffer, "");
    assert_true(dg_buffer_append(&buffer, "abc", 3));
    assert_true(dg_buffer_append(&buffer, "", 0));
    assert_true(dg_buffer_append(&buffer, "def", 3));
    assert_holds(&buffer, "abcdef");
    dg_buffer_take(&buffer, 2);
    assert_holds(&buffer, "cdef");
    assert_true(dg_buffer_append(&buffer, "ghijklmnopqrstuvwxyz", 20));
    assert_holds(&buffer, "cdefghijklmnopqrstuvwxyz");
    dg_buffer_clear(&buffer);
    assert_holds(&buffer, "");
}

static void test_an_empty_queue_holds_no_memory_of_its_own(void **state)
{
    struct dg_buffer buffer = {0};

    (void)state;
    assert_true(dg_buffer_append(&buffer, "abc", 3));
    dg_buffer_take(&buffer, 3);
    assert_null(buffer.bytes);
    assert_int_equal(buffer.capacity, 0);
}

static void test_borrowed_memory_is_given_back_and_what_it_held_kept(void **state)
{
    uint8_t memory[8];
    struct dg_buffer buffer = {0};

    (void)state;
    assert_true(dg_buffer_append(&buffer, "abc", 3));
    dg_buffer_borrow(&buffer, memory, sizeof memory);
    assert_ptr_equal(buffer.bytes, memory);
    assert_holds(&buffer, "abc");
    assert_true(dg_buffer_append(&buffer, "de", 2));
    dg_buffer_take(&buffer, 1);
    assert_true(dg_buffer_settle(&buffer));
    memset(memory, 0, sizeof memory);
    assert_ptr_not_equal(buffer.bytes, memory);
    assert_holds(&buffer, "bcde");
    assert_true(dg_buffer_settle(&buffer));
    assert_holds(&buffer, "bcde");
    dg_buffer_clear(&buffer);
}

static void test_an_empty_queue_settles_without_memory(void **state)
{
    uint8_t memory[8];
    struct dg_buffer buffer = {0};

    (void)state;
    dg_buffer_borrow(&buffer, memory, sizeof memory);
    assert_true(dg_buffer_settle(&buffer));
    assert_null(buffer.bytes);
}

static void test_borrowed_memory_that_is_too_small_is_left(void **state)
{
    uint8_t memory[4];
    struct dg_buffer buffer = {0};

    (void)state;
    dg_buffer_borrow(&buffer, memory, sizeof memory);
    assert_true(dg_buffer_append(&buffer, "abcd", 4));
    assert_true(buffer.borrowed);
    assert_true(dg_buffer_append(&buffer, "e", 1));
    assert_false(buffer.borrowed);
    assert_holds(&buffer, "abcde");
    dg_buffer_clear(&buffer);
}

static void test_compacting_makes_all_the_rest_room(void **state)
{
    uint8_t memory[8];
    struct dg_buffer buffer = {0};

    (void)state;
    dg_buffer_borrow(&buffer, memory, sizeof memory);
    assert_true(dg_buffer_append(&buffer, "abcdefgh", 8));
    dg_buffer_take(&buffer, 5);
    dg_buffer_compact(&buffer);
    assert_int_equal(buffer.start, 0);
    assert_holds(&buffer, "fgh");
    assert_true(dg_buffer_append(&buffer, "ijklm", 5));
    assert_true(buffer.borrowed);
    assert_holds(&buffer, "fghijklm");
}

static void random_step(struct random *random, struct dg_buffer *buffer, uint8_t *memory,
                        size_t memory_size, uint8_t *in, uint8_t *out)
{
    size_t held = dg_buffer_size(buffer);
    uint8_t bytes[40];
    size_t size;

    switch (random_below(random, 5)) {
    case 0:
        size = random_below(random, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (*in)++;
        }
        assert_true(dg_buffer_append(buffer, bytes, size));
        break;
    case 1:
        size = random_below(random, held + 1);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(buffer->bytes[buffer->start + i], (*out)++);
        }
        dg_buffer_take(buffer, size);
        break;
    case 2:
        dg_buffer_compact(buffer);
        break;
    case 3:
        assert_true(dg_buffer_settle(buffer));
        break;
    default:
        if (!buffer->borrowed && held < memory_size) {
            dg_buffer_borrow(buffer, memory, memory_size);
        }
        break;
    }
}

static void test_any_order_of_calls_keeps_the_order_of_bytes(void **state)
{
    struct random random = {.state = 1};
    struct dg_buffer buffer = {0};
    uint8_t memory[200];
    uint8_t in = 0;
    uint8_t out = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        random_step(&random, &buffer, memory, sizeof memory, &in, &out);
    }
    dg_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(test_an_empty_queue_holds_no_memory_of_its_own),
        cmocka_unit_test(test_borrowed_memory_is_given_back_and_what_it_held_kept),
        cmocka_unit_test(test_an_empty_queue_settles_without_memory),
        cmocka_unit_test(test_borrowed_memory_that_is_too_small_is_left),
        cmocka_unit_test(test_compacting_makes_all_the_rest_room),
        cmocka_unit_test(test_any_order_of_calls_keeps_the_order_of_bytes),
    };

    return cmocka_run_group_tests_name("tls/buffer", tests, NULL, NULL);
}
