#include "shim/core/wire/dist_handshake.h"

#include "shim/core/wire/bytes.h"

#define DFLAG_NAME_ME UINT64_C(0x200000000)

enum {
    TAG_NAME_NEW = 'N',
    TAG_NAME_OLD = 'n',
    TAG_ACK = 'a',
    /* What stands before the name. */
    NAME_NEW_HEAD = 15,      /* 'N' | Flags:64 | Creation:32 | Nlen:16 */
    CHALLENGE_NEW_HEAD = 19, /* 'N' | Flags:64 | Challenge:32 | Creation:32 | Nlen:16 */
    NAME_OLD_HEAD = 7,       /* 'n' | Version:16 | Flags:32 */
    CHALLENGE_OLD_HEAD = 11, /* 'n' | Version:16 | Flags:32 | Challenge:32 */
};

/* What follows the name is ignored by OTP. */
static bool parse_new(const uint8_t *message, size_t size, size_t head, struct dg_dist_claim *claim)
{
    if (size < head) {
        return false;
    }
    claim->name = message + head;
    claim->size = dg_get16(message + head - 2);
    return claim->size > 0 && claim->size <= size - head;
}

static bool parse_old(const uint8_t *message, size_t size, size_t head, struct dg_dist_claim *claim)
{
    if (size <= head) {
        return false;
    }
    claim->name = message + head;
    claim->size = size - head;
    return true;
}

static bool parse_claim(bool challenge, const uint8_t *message, size_t size,
                        struct dg_dist_claim *claim)
{
    claim->dynamic = false;
    if (message[0] == TAG_NAME_OLD) {
        return parse_old(message, size, challenge ? CHALLENGE_OLD_HEAD : NAME_OLD_HEAD, claim);
    }
    if (!parse_new(message, size, challenge ? CHALLENGE_NEW_HEAD : NAME_NEW_HEAD, claim)) {
        return false;
    }
    claim->dynamic = !challenge && (dg_get64(message + 1) & DFLAG_NAME_ME) != 0;
    return true;
}

enum dg_dist_verdict dg_dist_from_peer(struct dg_dist_handshake *handshake, const uint8_t *message,
                                       size_t size, struct dg_dist_claim *claim)
{
    bool names = size > 0 && (message[0] == TAG_NAME_NEW || message[0] == TAG_NAME_OLD);

    if (size == 0) {
        return DG_DIST_BROKEN; /* a tick, which has no place before the ack */
    }
    if (names) {
        if (handshake->peer_is_named || !parse_claim(!handshake->we_accept, message, size, claim)) {
            return DG_DIST_BROKEN;
        }
        handshake->peer_is_named = true;
        return DG_DIST_CLAIM;
    }
    if (!handshake->peer_is_named && (handshake->we_accept || message[0] == TAG_ACK)) {
        return DG_DIST_BROKEN;
    }
    handshake->over = handshake->over || (!handshake->we_accept && message[0] == TAG_ACK);
    return DG_DIST_PASS;
}

void dg_dist_from_us(struct dg_dist_handshake *handshake, uint8_t tag)
{
    bool ends = handshake->we_accept && handshake->peer_is_named && tag == TAG_ACK;

    handshake->over = handshake->over || ends;
}
