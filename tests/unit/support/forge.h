/* Records that no channel of ours would send, under a channel's own keys. */
#ifndef DISTGUARD_TESTS_FORGE_H
#define DISTGUARD_TESTS_FORGE_H

#include "shim/core/tls/channel_parts.h"
#include "tests/unit/support/checked.h"

/* A record of the channel at `from`, as the other end's kernel would get it. */
void forge_record(struct ends *ends, int from, enum dg_content_type type, const void *bytes,
                  size_t size);

#endif
