/* Keys and records against the example that RFC 8448 gives (section 3, "Simple 1-RTT Handshake"),
 * and generations of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "shim/core/tls/record.h"

static const uint8_t client_secret[] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};

/* The client's application data, the bytes 00 to 31 (hexadecimal). */
static const uint8_t client_record[] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
    0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
    0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
    0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
    0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};

enum { PLAINTEXT = 50 };

static struct dg_keys sealing, opening;
static struct dg_buffer out;

static int make_keys(void **state)
{
    (void)state;
    return dg_keys_init(&sealing, "AES-128-GCM", "SHA2-256", client_secret, sizeof client_secret,
                        true) == 0 &&
                   dg_keys_init(&opening, "AES-128-GCM", "SHA2-256", client_secret,
                                sizeof client_secret, false) == 0
               ? 0
               : -1;
}

static int clear_keys(void **state)
{
    (void)state;
    dg_keys_clear(&sealing);
    dg_keys_clear(&opening);
    dg_buffer_clear(&out);
    return 0;
}

static void fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)i;
    }
}

static void test_the_record_of_rfc_8448_is_sealed(void **state)
{
    uint8_t plaintext[PLAINTEXT];

    (void)state;
    fill(plaintext, sizeof plaintext);
    assert_int_equal(
        dg_seal(&sealing, DG_CONTENT_APPLICATION_DATA, plaintext, sizeof plaintext, &out), 0);
    assert_int_equal(dg_buffer_size(&out), sizeof client_record);
    assert_memory_equal(out.bytes + out.start, client_record, sizeof client_record);
}

static void test_the_record_of_rfc_8448_is_opened(void **state)
{
    uint8_t wanted[PLAINTEXT];
    uint8_t plaintext[PLAINTEXT];
    size_t size;
    uint8_t type;

    (void)state;
    fill(wanted, sizeof wanted);
    assert_int_equal(
        dg_open(&opening, client_record, sizeof client_record, plaintext, &type, &size), DG_OPENED);
    assert_int_equal(type, DG_CONTENT_APPLICATION_DATA);
    assert_int_equal(size, sizeof wanted);
    assert_memory_equal(plaintext, wanted, sizeof wanted);
}

static void test_what_is_sealed_and_opened_is_counted_until_the_next_keys(void **state)
{
    uint8_t plaintext[PLAINTEXT];
    size_t size;
    uint8_t type;

    (void)state;
    fill(plaintext, sizeof plaintext);
    for (uint64_t i = 1; i <= 3; i++) {
        out.start = out.end = 0;
        assert_int_equal(
            dg_seal(&sealing, DG_CONTENT_APPLICATION_DATA, plaintext, sizeof plaintext, &out), 0);
        assert_int_equal(
            dg_open(&opening, out.bytes, dg_buffer_size(&out), plaintext, &type, &size), DG_OPENED);
        assert_int_equal(sealing.sequence, i);
        assert_int_equal(opening.sequence, i);
        assert_int_equal(sealing.bytes, i * PLAINTEXT);
        assert_int_equal(opening.bytes, i * PLAINTEXT);
    }
    assert_int_equal(dg_keys_update(&sealing), 0);
    assert_int_equal(dg_keys_update(&opening), 0);
    assert_int_equal(sealing.sequence + sealing.bytes + opening.sequence + opening.bytes, 0);
    assert_memory_not_equal(sealing.secret, client_secret, sizeof client_secret);
    assert_memory_equal(sealing.secret, opening.secret, sizeof client_secret);
}

static void test_a_record_of_the_last_generation_is_not_opened(void **state)
{
    uint8_t plaintext[PLAINTEXT];
    size_t size;
    uint8_t type;

    (void)state;
    fill(plaintext, sizeof plaintext);
    assert_int_equal(
        dg_seal(&sealing, DG_CONTENT_APPLICATION_DATA, plaintext, sizeof plaintext, &out), 0);
    assert_int_equal(dg_keys_update(&opening), 0);
    assert_int_equal(dg_open(&opening, out.bytes, dg_buffer_size(&out), plaintext, &type, &size),
                     DG_OPEN_BAD);
}

static void test_tls_1_2_has_no_keys_for_other_ciphers(void **state)
{
    static const struct dg_master master;
    struct dg_keys keys;

    (void)state;
    assert_int_equal(dg_keys_init_1_2(&keys, "ChaCha20-Poly1305", "SHA2-256", &master, true, true),
                     -1);
    dg_keys_clear(&keys);
    assert_int_equal(dg_keys_init_1_2(&keys, "AES-128-CBC", "SHA2-256", &master, true, true), -1);
    dg_keys_clear(&keys);
    assert_int_equal(dg_keys_init_1_2(&keys, "AES-128-GCM", "SHA2-256", &master, true, true), 0);
    assert_int_equal(keys.sequence, 1);
    dg_keys_clear(&keys);
}

#define WITH_KEYS(test) cmocka_unit_test_setup_teardown(test, make_keys, clear_keys)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KEYS(test_the_record_of_rfc_8448_is_sealed),
        WITH_KEYS(test_the_record_of_rfc_8448_is_opened),
        WITH_KEYS(test_what_is_sealed_and_opened_is_counted_until_the_next_keys),
        WITH_KEYS(test_a_record_of_the_last_generation_is_not_opened),
        cmocka_unit_test(test_tls_1_2_has_no_keys_for_other_ciphers),
    };

    return cmocka_run_group_tests_name("tls/keys", tests, NULL, NULL);
}
