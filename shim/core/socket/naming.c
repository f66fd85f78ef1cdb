#include "shim/core/socket/naming.h"

#include <stdlib.h>
#include <string.h>

#include "shim/core/socket/audit.h"
#include "shim/core/socket/claim.h"
#include "shim/core/wire/bytes.h"
#include "shim/core/wire/dist_handshake.h"

enum {
    LENGTH = 2,
    /* More than any name or challenge that a node sends; who sends more goes unnamed. */
    MESSAGE_MAX = 2048,
};

struct dg_naming {
    struct dg_dist_handshake handshake;
    bool answered; /* the peer has said something that is distribution */
    size_t have;
    uint8_t message[LENGTH + MESSAGE_MAX];
};

struct dg_naming *dg_naming_new(bool we_accept)
{
    struct dg_naming *naming = calloc(1, sizeof *naming);

    if (naming != NULL) {
        naming->handshake.we_accept = we_accept;
    }
    return naming;
}

void dg_naming_free(struct dg_naming *naming)
{
    free(naming);
}

/* The size of the message that is coming, its length included; 0 while that is not known. */
static size_t coming(const struct dg_naming *naming)
{
    return naming->have < LENGTH ? 0 : LENGTH + (size_t)dg_get16(naming->message);
}

/* A whole message is there. True when there is no more to learn. */
static bool judge(struct dg_socket *socket, struct dg_naming *naming)
{
    struct dg_dist_claim claim;
    size_t size = naming->have - LENGTH;

    naming->have = 0;
    switch (dg_dist_from_peer(&naming->handshake, naming->message + LENGTH, size, &claim)) {
    case DG_DIST_PASS:
        naming->answered = true;
        return false;
    case DG_DIST_CLAIM:
        naming->answered = true;
        dg_claim_note(socket, &claim);
        return true;
    case DG_DIST_BROKEN:
    default:
        return true;
    }
}

static bool take_bytes(struct dg_socket *socket, const uint8_t *bytes, size_t size)
{
    struct dg_naming *naming = socket->naming;

    while (size > 0) {
        size_t want = coming(naming) > 0 ? coming(naming) : LENGTH;
        size_t part = want - naming->have < size ? want - naming->have : size;

        if (want > sizeof naming->message) {
            return true;
        }
        memcpy(naming->message + naming->have, bytes, part);
        naming->have += part;
        bytes += part;
        size -= part;
        if (naming->have == coming(naming) && judge(socket, naming)) {
            return true;
        }
    }
    return false;
}

bool dg_naming_take(struct dg_socket *socket, const struct iovec *vector, int count, size_t size)
{
    for (int i = 0; i < count && size > 0; i++) {
        size_t part = vector[i].iov_len < size ? vector[i].iov_len : size;

        if (take_bytes(socket, vector[i].iov_base, part)) {
            return true;
        }
        size -= part;
    }
    return false;
}

void dg_naming_tell(struct dg_socket *socket, bool peer_has_ended)
{
    if (socket->incoming || socket->naming->answered) {
        dg_audit_plaintext(socket);
    } else if (peer_has_ended) {
        dg_audit_refused(socket, DG_PLAINTEXT_UNANSWERED, NULL);
    }
}
