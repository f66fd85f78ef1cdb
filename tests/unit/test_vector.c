/* Bytes laid out into a caller's vector. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shim/core/tls/vector.h"

enum { PARTS = 4, PLACE = 16 };

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";

/* A vector with parts of these sizes; what is empty leads nowhere. */
struct case_of {
    size_t sizes[PARTS];
    size_t given;
    const char *wanted[PARTS];
};

static const struct case_of cases[] = {
    {{3, 0, 5, 2}, 10, {"abc", "", "defgh", "ij"}},
    {{3, 0, 5, 2}, 9, {"abc", "", "defgh", "i#"}},
    {{3, 0, 5, 2}, 26, {"abc", "", "defgh", "ij"}},
    {{3, 0, 5, 2}, 3, {"abc", "", "#####", "##"}},
    {{3, 0, 5, 2}, 0, {"###", "", "#####", "##"}},
    {{0, 0, 0, 4}, 2, {"", "", "", "ab##"}},
    {{0, 0, 0, 0}, 5, {"", "", "", ""}},
};

static void test_fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char places[PARTS][PLACE];
        struct iovec vector[PARTS];
        size_t room = 0, wanted, got;

        memset(places, '#', sizeof places);
        for (int part = 0; part < PARTS; part++) {
            size_t size = cases[i].sizes[part];

            vector[part] = (struct iovec){size > 0 ? places[part] : NULL, size};
            room += size;
        }
        assert_int_equal(dg_vector_size(vector, PARTS), room);
        wanted = cases[i].given < room ? cases[i].given : room;
        got = dg_vector_fill(vector, PARTS, alphabet, cases[i].given);
        if (got != wanted) {
            fail_msg("case %zu: %zu bytes, wanted %zu", i, got, wanted);
        }
        for (int part = 0; part < PARTS; part++) {
            assert_memory_equal(places[part], cases[i].wanted[part], cases[i].sizes[part]);
            assert_int_equal(places[part][cases[i].sizes[part]], '#');
        }
    }
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(dg_vector_size(NULL, 0), 0);
    assert_int_equal(dg_vector_fill(NULL, 0, alphabet, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests_name("tls/vector", tests, NULL, NULL);
}
