#include "tests/unit/support/forge.h"

#include <stdlib.h>

void forge_record(struct ends *ends, int from, enum dg_content_type type, const void *bytes,
                  size_t size)
{
    struct dg_buffer out = {.bytes = NULL};

    if (dg_seal(&ends->channel[from]->sending, type, bytes, size, &out) != 0) {
        abort();
    }
    kernel_inject(1 - from, out.bytes + out.start, dg_buffer_size(&out));
    dg_buffer_clear(&out);
}
