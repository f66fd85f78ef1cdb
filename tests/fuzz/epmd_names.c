/* NAMES_RESP, line by line as the tool reads it, and each line cut anywhere. */
#include "shim/core/wire/epmd_names.h"

#include <stdlib.h>

#include "shim/core/wire/epmd.h"
#include "tests/fuzz/support/bytes.h"

/* Returns what the line takes, or 0 where there is none. */
static size_t check_line(const uint8_t *bytes, size_t size)
{
    struct dg_epmd_name name;
    size_t used = 0;

    switch (dg_epmd_parse_names_line(bytes, size, &name, &used)) {
    case DG_PARSE_DONE:
        if (used == 0 || used > size || name.name < bytes || name.port == 0 ||
            name.name + name.size > bytes + used) {
            fuzz_fail("a name of %zu bytes and port %u in a line of %zu", name.size, name.port,
                      used);
        }
        return used;
    case DG_PARSE_MORE:
        if (size > DG_EPMD_NAME_MAX + 64) {
            fuzz_fail("%zu bytes and still no end of the line", size);
        }
        return 0;
    default:
        return 0;
    }
}

/* What is known of a part is known of the whole. */
static void check_parts(const uint8_t *bytes, size_t size)
{
    struct dg_epmd_name name;
    size_t used;
    enum dg_parse whole = dg_epmd_parse_names_line(bytes, size, &name, &used);

    for (size_t part = 0; part < size && part < 64; part++) {
        uint8_t *copy = fuzz_copy(bytes, part);
        enum dg_parse verdict = dg_epmd_parse_names_line(copy, part, &name, &used);

        free(copy);
        if (verdict != DG_PARSE_MORE && verdict != whole) {
            fuzz_fail("a line is %d with %zu bytes, and %d with %zu", verdict, part, whole, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t port = 0;
    size_t at = DG_EPMD_NAMES_HEAD, used;

    if (dg_epmd_parse_names_head(data, size, &port) != DG_PARSE_DONE) {
        return 0;
    }
    check_parts(data + at, size - at);
    while ((used = check_line(data + at, size - at)) > 0) {
        at += used;
    }
    return 0;
}
