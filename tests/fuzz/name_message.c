/* The first message of a connection, of whatever origin: what is known of its beginning stays true
 * when more of it comes. */
#include "shim/core/wire/name_message.h"

#include <stdlib.h>

#include "tests/fuzz/support/bytes.h"

static enum dg_parse parse(const uint8_t *bytes, size_t size)
{
    struct dg_name_message message = {.name = NULL};
    enum dg_parse verdict = dg_parse_name_message(bytes, size, &message);

    if (verdict == DG_PARSE_DONE && message.name_size > 0 &&
        (message.name < bytes || message.name + message.name_size > bytes + size)) {
        fuzz_fail("a name of %zu bytes that is not within the %zu", message.name_size, size);
    }
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum dg_parse whole = parse(data, size);

    for (size_t part = 0; part < size && part <= DG_NAME_MESSAGE_HEAD + 4; part++) {
        uint8_t *copy = fuzz_copy(data, part);
        enum dg_parse verdict = parse(copy, part);

        free(copy);
        if (verdict != DG_PARSE_MORE && verdict != whole) {
            fuzz_fail("%d with %zu bytes, %d with all %zu", verdict, part, whole, size);
        }
    }
    if (whole == DG_PARSE_MORE && size >= DG_NAME_MESSAGE_HEAD + 1) {
        fuzz_fail("%zu bytes, more than the head, and still no verdict", size);
    }
    return 0;
}
