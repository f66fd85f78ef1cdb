/* Where a TLS record ends, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/wire/tls_record.h"

static size_t record_size(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    size_t record;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    record = dg_tls_record_size(copy, size);
    free(copy);
    return record;
}

static void test_the_size_is_known_with_the_fifth_byte(void **state)
{
    (void)state;
    for (size_t part = 0; part < DG_TLS_HEADER_SIZE; part++) {
        assert_int_equal(record_size("\27\3\3\1\2", part), 0);
    }
    assert_int_equal(record_size("\27\3\3\1\2", 5), 5 + 0x102);
    assert_int_equal(record_size("\27\3\3\1\2more", 9), 5 + 0x102);
    assert_int_equal(record_size("\26\3\1\0\0", 5), 5);
}

static void test_content_types_are_20_to_24(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        uint8_t first = (uint8_t)type;

        assert_int_equal(record_size(&first, 1),
                         type >= 20 && type <= 24 ? 0 : DG_TLS_RECORD_INVALID);
    }
}

static void test_the_major_version_is_3(void **state)
{
    (void)state;
    assert_int_equal(record_size("\26\2", 2), DG_TLS_RECORD_INVALID);
    assert_int_equal(record_size("\26\4", 2), DG_TLS_RECORD_INVALID);
    assert_int_equal(record_size("\26\3", 2), 0);
}

static void test_no_record_is_longer_than_the_standard_allows(void **state)
{
    (void)state;
    assert_int_equal(record_size("\27\3\3\101\0", 5), DG_TLS_RECORD_MAX);
    assert_int_equal(record_size("\27\3\3\101\1", 5), DG_TLS_RECORD_INVALID);
    assert_int_equal(record_size("\27\3\3\377\377", 5), DG_TLS_RECORD_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_size_is_known_with_the_fifth_byte),
        cmocka_unit_test(test_content_types_are_20_to_24),
        cmocka_unit_test(test_the_major_version_is_3),
        cmocka_unit_test(test_no_record_is_longer_than_the_standard_allows),
    };

    return cmocka_run_group_tests_name("wire/tls_record", tests, NULL, NULL);
}
