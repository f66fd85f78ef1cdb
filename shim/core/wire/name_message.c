#include "shim/core/wire/name_message.h"

#include <stdbool.h>

#include "shim/core/wire/bytes.h"

/*
 * Capability flags (erts/emulator/beam/dist.h). Every node since OTP 25 sets the digest; one of OTP
 * 23 or 24 sets HANDSHAKE_23 and, as all nodes must, the other two. HANDSHAKE_23 alone is where a
 * DNS query over TCP has its count of questions, which is 1.
 */
#define DFLAG_MANDATORY_25_DIGEST UINT64_C(0x4000000)
#define DFLAG_HANDSHAKE_23 UINT64_C(0x1000000)
#define DFLAG_EXTENDED_PIDS_PORTS UINT64_C(0x100)
#define DFLAG_EXTENDED_REFERENCES UINT64_C(0x4)
#define FLAGS_OF_ALL (DFLAG_EXTENDED_PIDS_PORTS | DFLAG_EXTENDED_REFERENCES)
#define FLAGS_OF_23 (DFLAG_HANDSHAKE_23 | FLAGS_OF_ALL)

/* Smallest messages: tag and head with a name of one byte. */
enum { LEAST_NEW = 16, LEAST_OLD = 8, OLD_HEAD = 9, OLD_VERSION = 5 };

static bool length_fits(uint16_t length)
{
    return length >= LEAST_OLD && length <= DG_NAME_MESSAGE_MAX - 2;
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* L:16 | 'N' | Flags:64 | Creation:32 | Nlen:16 | Name, and what follows the name is ignored by OTP
 */
static enum dg_parse parse_new(const uint8_t *bytes, size_t size, struct dg_name_message *message)
{
    uint16_t length = dg_get16(bytes);
    uint16_t name_size;
    uint64_t flags;

    if (length < LEAST_NEW) {
        return DG_PARSE_OTHER;
    }
    if (size < DG_NAME_MESSAGE_HEAD) {
        return DG_PARSE_MORE;
    }
    name_size = dg_get16(bytes + 15);
    if (name_size == 0 || name_size > DG_NODE_NAME_MAX || 15 + (size_t)name_size > length) {
        return DG_PARSE_OTHER;
    }
    flags = dg_get64(bytes + 3);
    if ((flags & DFLAG_MANDATORY_25_DIGEST) == 0 && (flags & FLAGS_OF_23) != FLAGS_OF_23) {
        return DG_PARSE_OTHER;
    }
    message->name = bytes + DG_NAME_MESSAGE_HEAD;
    message->name_size = at_most(name_size, size - DG_NAME_MESSAGE_HEAD);
    return DG_PARSE_DONE;
}

/* L:16 | 'n' | Version:16 | Flags:32 | Name */
static enum dg_parse parse_old(const uint8_t *bytes, size_t size, struct dg_name_message *message)
{
    if (size >= 5 && dg_get16(bytes + 3) != OLD_VERSION) {
        return DG_PARSE_OTHER;
    }
    if (size < OLD_HEAD) {
        return DG_PARSE_MORE;
    }
    if ((dg_get16(bytes + 7) & FLAGS_OF_ALL) != FLAGS_OF_ALL) { /* the lower half has them */
        return DG_PARSE_OTHER; /* no node's: OTP refuses it before it answers anything */
    }
    message->name = bytes + OLD_HEAD;
    message->name_size = at_most((size_t)dg_get16(bytes) - 7, size - OLD_HEAD);
    return DG_PARSE_DONE;
}

enum dg_parse dg_parse_name_message(const uint8_t *bytes, size_t size,
                                    struct dg_name_message *message)
{
    if (size >= 2 && !length_fits(dg_get16(bytes))) {
        return DG_PARSE_OTHER;
    }
    if (size == 1 && bytes[0] > (DG_NAME_MESSAGE_MAX >> 8)) {
        return DG_PARSE_OTHER;
    }
    if (size < 3) {
        return DG_PARSE_MORE;
    }
    switch (bytes[2]) {
    case 'N':
        return parse_new(bytes, size, message);
    case 'n':
        return parse_old(bytes, size, message);
    default:
        return DG_PARSE_OTHER;
    }
}
