/* Where TLS records end: no header makes the scan stand still, run away, or change its mind. */
#include "shim/core/wire/tls_record.h"

#include <stdlib.h>

#include "tests/fuzz/support/bytes.h"

static void check_header_alone(const uint8_t *bytes, size_t size, size_t record)
{
    for (size_t part = 0; part <= DG_TLS_HEADER_SIZE && part < size; part++) {
        uint8_t *copy = fuzz_copy(bytes, part);
        size_t found = dg_tls_record_size(copy, part);

        free(copy);
        if (found != 0 && found != record) {
            fuzz_fail("%zu with %zu bytes, %zu with %zu", found, part, record, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t record = dg_tls_record_size(data + at, size - at);

        check_header_alone(data + at, size - at, record);
        if (record == DG_TLS_RECORD_INVALID) {
            break;
        }
        if (record == 0 ? size - at >= DG_TLS_HEADER_SIZE
                        : record < DG_TLS_HEADER_SIZE || record > DG_TLS_RECORD_MAX) {
            fuzz_fail("a record of %zu bytes, with %zu there", record, size - at);
        }
        if (record == 0) {
            break;
        }
        at += record;
    }
    return 0;
}
