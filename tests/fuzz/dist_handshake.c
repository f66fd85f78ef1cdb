/*
 * The distribution handshake, message by message in both directions. Nothing of it may pass the
 * accepting side before a name was claimed, the name is claimed once, and it lies within its
 * message.
 *
 * Input: a byte (bit 0: we accept), then messages: a byte (bit 7: ours), length, bytes.
 */
#include "shim/core/wire/dist_handshake.h"

#include <stdlib.h>

#include "tests/fuzz/support/bytes.h"

static void check_claim(const struct dg_dist_claim *claim, const uint8_t *message, size_t size)
{
    if (claim->size == 0 || claim->name < message || claim->name + claim->size > message + size) {
        fuzz_fail("a claim of %zu bytes that is not within the message of %zu", claim->size, size);
    }
}

static enum dg_dist_verdict from_peer(struct dg_dist_handshake *handshake, const uint8_t *bytes,
                                      size_t size)
{
    uint8_t *message = fuzz_copy(bytes, size);
    struct dg_dist_claim claim = {.name = NULL};
    bool was_named = handshake->peer_is_named;
    enum dg_dist_verdict verdict = dg_dist_from_peer(handshake, message, size, &claim);

    if (verdict == DG_DIST_CLAIM) {
        check_claim(&claim, message, size);
    }
    if (was_named && verdict == DG_DIST_CLAIM) {
        fuzz_fail("a second name is believed");
    }
    if (verdict == DG_DIST_PASS && handshake->we_accept && !handshake->peer_is_named) {
        fuzz_fail("a message of %zu bytes passes before the name", size);
    }
    free(message);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {.next = data, .left = size};
    struct dg_dist_handshake handshake = {.we_accept = (fuzz_byte(&bytes) & 1) != 0};

    while (bytes.left > 0 && !handshake.over) {
        uint8_t head = fuzz_byte(&bytes);
        const uint8_t *message;
        size_t length = fuzz_take(&bytes, &message, fuzz_byte(&bytes));

        if ((head & 0x80) != 0) {
            dg_dist_from_us(&handshake, head & 0x7f);
        } else if (length > 0 && from_peer(&handshake, message, length) == DG_DIST_BROKEN) {
            break;
        }
    }
    if (handshake.over && !handshake.peer_is_named) {
        fuzz_fail("the handshake is over, and nobody knows who the peer is");
    }
    return 0;
}
