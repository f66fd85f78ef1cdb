/*
 * EPMD's requests and replies, cut anywhere: a parser that has answered with part of a message says
 * the same of all of it, and reads nothing beyond what it was given.
 */
#include "shim/core/wire/epmd.h"

#include <stdlib.h>

#include "tests/fuzz/support/bytes.h"

typedef enum dg_parse parser(const uint8_t *bytes, size_t size, uint16_t *port);

static void check_parser(const char *name, parser *parse, const uint8_t *data, size_t size)
{
    uint16_t whole_port = 0;
    enum dg_parse whole = parse(data, size, &whole_port);

    for (size_t part = 0; part < size && part < 32; part++) {
        uint8_t *copy = fuzz_copy(data, part);
        uint16_t port = 0;
        enum dg_parse verdict = parse(copy, part, &port);

        if (verdict != DG_PARSE_MORE && (verdict != whole || port != whole_port)) {
            fuzz_fail("%s: %d (port %u) with %zu bytes, %d (port %u) with all %zu", name, verdict,
                      port, part, whole, whole_port, size);
        }
        free(copy);
    }
}

/* A request that is whole is spoiled by more, so only a refusal is final. */
static void check_remote_request(const uint8_t *data, size_t size)
{
    enum dg_epmd_remote whole = dg_epmd_parse_remote_request(data, size);
    size_t most = size < DG_EPMD_MESSAGE_MAX ? size : DG_EPMD_MESSAGE_MAX;

    for (size_t part = 0; part < most; part++) {
        uint8_t *copy = fuzz_copy(data, part);
        enum dg_epmd_remote verdict = dg_epmd_parse_remote_request(copy, part);

        free(copy);
        if (verdict != DG_EPMD_REMOTE_MORE && whole != DG_EPMD_REMOTE_OTHER) {
            fuzz_fail("request: %d with %zu bytes, %d with all %zu", verdict, part, whole, size);
        }
    }
    if (whole == DG_EPMD_REMOTE_MORE && size >= DG_EPMD_REMOTE_REQUEST_MAX) {
        fuzz_fail("request: %zu bytes and still no end", size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_parser("ALIVE2_REQ", dg_epmd_parse_alive2_req, data, size);
    check_parser("PORT2_RESP", dg_epmd_parse_port2_resp, data, size);
    check_remote_request(data, size);
    (void)dg_epmd_request(data, size);
    return 0;
}
