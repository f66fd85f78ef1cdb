#include "shim/core/wire/tls_record.h"

#include "shim/core/wire/bytes.h"

enum { FIRST_CONTENT_TYPE = 20 /* change_cipher_spec */, LAST_CONTENT_TYPE = 24 /* heartbeat */ };

size_t dg_tls_record_size(const uint8_t *bytes, size_t size)
{
    size_t record;

    if (size >= 1 && (bytes[0] < FIRST_CONTENT_TYPE || bytes[0] > LAST_CONTENT_TYPE)) {
        return DG_TLS_RECORD_INVALID;
    }
    if (size >= 2 && bytes[1] != 3) {
        return DG_TLS_RECORD_INVALID;
    }
    if (size < DG_TLS_HEADER_SIZE) {
        return 0;
    }
    record = DG_TLS_HEADER_SIZE + (size_t)dg_get16(bytes + 3);
    return record <= DG_TLS_RECORD_MAX ? record : DG_TLS_RECORD_INVALID;
}
