#include "shim/core/socket/joining.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/socket/claim.h"
#include "shim/core/tls/buffer.h"
#include "shim/core/tls/vector.h"
#include "shim/core/wire/dist_handshake.h"

enum {
    /* Lengths of messages: as the program has them, and as they are on the wire. */
    OURS = 2,
    WIRE = 4,
    /* How much is kept for a channel that takes no more. */
    OUT_MAX = 64 * 1024,
    /* Of OTP 25 and 27 (inet_drv.c INET_DEF_BUFFER); it is 9216 in OTP 29. */
    DEFAULT_FIRST_READ = 1460,
};

struct dg_joining {
    struct dg_dist_handshake handshake;
    size_t first_read; /* what the program asks for before it knows a message's length */
    /* From the peer: its next message, as the program shall have it. */
    uint8_t length[WIRE];
    size_t length_have;
    struct dg_buffer in;
    bool whole; /* its last byte is still in the channel, and a copy of it in `in` */
    /* From the program: what the channel has not taken. */
    uint8_t sent_length[OURS];
    size_t sent_length_have;
    size_t sent_left; /* of the message that is being sent */
    bool sent_tag_due;
    uint8_t sent_tag; /* the message's first byte */
    struct dg_buffer out;
    bool held; /* the program's next byte was already taken, and is in `out` */
};

struct dg_joining *dg_joining_new(bool we_accept)
{
    struct dg_joining *joining = calloc(1, sizeof *joining);

    if (joining != NULL) {
        joining->handshake.we_accept = we_accept;
        joining->first_read = DEFAULT_FIRST_READ;
    }
    return joining;
}

void dg_joining_free(struct dg_joining *joining)
{
    if (joining != NULL) {
        dg_buffer_clear(&joining->in);
        dg_buffer_clear(&joining->out);
        free(joining);
    }
}

static ssize_t answer(int error)
{
    errno = error;
    return -1;
}

static ssize_t out_of_memory(struct dg_socket *socket, int fd)
{
    dg_channel_refuse(socket->channel, fd, "out of memory");
    return answer(ECONNRESET);
}

/* Once the ack has passed and nothing is left here, the channel is the program's own. */
static void finish(struct dg_socket *socket)
{
    struct dg_joining *joining = socket->joining;

    if (joining->handshake.over && joining->length_have == 0 && !joining->held &&
        dg_buffer_size(&joining->out) == 0) {
        dg_channel_expect_packets(socket->channel, joining->first_read);
        socket->gathering.on = true;
        dg_joining_free(joining);
        socket->joining = NULL;
    }
}

/* --- from the peer --- */

static ssize_t take(struct dg_socket *socket, int fd, void *bytes, size_t size, bool peek)
{
    struct iovec vector = {.iov_base = bytes, .iov_len = size};

    return dg_channel_receive(socket->channel, fd, &vector, 1, peek);
}

/* The message's length. Returns 1 when it is there, else the channel's answer. */
static ssize_t take_length(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    const uint8_t *length = joining->length;

    while (joining->length_have < WIRE) {
        ssize_t got = take(socket, fd, joining->length + joining->length_have,
                           WIRE - joining->length_have, false);

        if (got <= 0) {
            return got;
        }
        joining->length_have += (size_t)got;
    }
    if (dg_buffer_size(&joining->in) > 0) {
        return 1;
    }
    if (length[0] != 0 || length[1] != 0 || (length[2] == 0 && length[3] == 0)) {
        dg_channel_refuse(socket->channel, fd, "peer speaks TLS, but no distribution inside");
        return answer(ECONNRESET);
    }
    return dg_buffer_append(&joining->in, length + WIRE - OURS, OURS) ? 1
                                                                      : out_of_memory(socket, fd);
}

static size_t message_size(const struct dg_joining *joining)
{
    return ((size_t)joining->length[2] << 8) | joining->length[3];
}

/* All of the message but its last byte, which is only looked at. Returns as take_length(). */
static ssize_t take_message(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    struct dg_buffer *in = &joining->in;
    size_t size = OURS + message_size(joining);

    if (!dg_buffer_reserve(in, size - in->end)) {
        return out_of_memory(socket, fd);
    }
    while (in->end < size) {
        size_t missing = size - in->end;
        ssize_t got =
            take(socket, fd, in->bytes + in->end, missing > 1 ? missing - 1 : 1, missing == 1);

        if (got <= 0) {
            return got;
        }
        in->end += (size_t)got;
    }
    return 1;
}

/* Whether the program may have the message. */
static bool judge(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    struct dg_dist_claim claim;

    switch (dg_dist_from_peer(&joining->handshake, joining->in.bytes + OURS, message_size(joining),
                              &claim)) {
    case DG_DIST_PASS:
        return true;
    case DG_DIST_CLAIM:
        return dg_claim_is_admitted(socket, fd, &claim);
    case DG_DIST_BROKEN:
    default:
        dg_channel_refuse(socket->channel, fd, "peer speaks TLS, but no distribution inside");
        return false;
    }
}

/* Brings the next message. Returns 1 when it may be delivered, else the channel's answer. */
static ssize_t bring_message(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    ssize_t got = 1;

    if (joining->whole) {
        return got;
    }
    got = take_length(socket, fd);
    if (got > 0) {
        got = take_message(socket, fd);
    }
    if (got <= 0) {
        return got;
    }
    if (!judge(socket, fd)) {
        return answer(ECONNRESET);
    }
    joining->whole = true;
    return 1;
}

/* The program has all of it: the last byte may leave the channel, too. */
static void end_message(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    uint8_t last;

    (void)take(socket, fd, &last, 1, false);
    joining->whole = false;
    joining->length_have = 0;
    finish(socket);
}

static bool is_received(const struct dg_joining *joining)
{
    return joining->handshake.over && joining->length_have == 0;
}

/* Our VM's reads stand for the peer's, as a cluster's nodes mostly are of one OTP. Where they are
 * not, some speed is lost and nothing else. */
static void note_first_read(struct dg_joining *joining, const struct iovec *vector, int count)
{
    if (count > 0 && vector->iov_len > joining->first_read) {
        joining->first_read = vector->iov_len;
    }
}

ssize_t dg_joining_receive(struct dg_socket *socket, int fd, const struct iovec *vector, int count,
                           bool peek)
{
    struct dg_joining *joining = socket->joining;
    ssize_t got;
    size_t given;

    if (joining == NULL || is_received(joining)) {
        return dg_channel_receive(socket->channel, fd, vector, count, peek);
    }
    note_first_read(joining, vector, count);
    got = bring_message(socket, fd);
    if (got <= 0) {
        return got;
    }
    given = dg_vector_fill(vector, count, joining->in.bytes + joining->in.start,
                           dg_buffer_size(&joining->in));
    if (!peek) {
        dg_buffer_take(&joining->in, given);
        if (dg_buffer_size(&joining->in) == 0) {
            end_message(socket, fd);
        }
    }
    return (ssize_t)given;
}

ssize_t dg_joining_readable(struct dg_socket *socket, int fd)
{
    struct dg_joining *joining = socket->joining;
    ssize_t got;

    if (joining == NULL || is_received(joining)) {
        return dg_channel_readable(socket->channel, fd);
    }
    got = bring_message(socket, fd);
    if (got > 0) {
        return (ssize_t)dg_buffer_size(&joining->in);
    }
    return got < 0 && errno != EAGAIN ? -1 : 0;
}

/* --- from the program --- */

/* Hands the channel what it takes. False with errno EAGAIN where something is left, or with another
 * where the channel has failed. */
static bool flush(struct dg_socket *socket, int fd)
{
    struct dg_buffer *out = &socket->joining->out;

    while (dg_buffer_size(out) > 0) {
        struct iovec vector = {.iov_base = out->bytes + out->start, .iov_len = dg_buffer_size(out)};
        ssize_t sent = dg_channel_send(socket->channel, fd, &vector, 1);

        if (sent < 0) {
            return false;
        }
        dg_buffer_take(out, (size_t)sent);
    }
    return true;
}

/* Takes what it can use of the program's bytes: a part of a length, or of the message behind it. 0
 * where memory is out. */
static size_t rewrite_some(struct dg_joining *joining, const uint8_t *bytes, size_t size)
{
    uint8_t length[WIRE] = {0};
    size_t part;

    if (joining->sent_left > 0) {
        part = joining->sent_left < size ? joining->sent_left : size;
        joining->sent_left -= part;
        return dg_buffer_append(&joining->out, bytes, part) ? part : 0;
    }
    joining->sent_length[joining->sent_length_have++] = bytes[0];
    if (joining->sent_length_have == OURS) {
        joining->sent_length_have = 0;
        joining->sent_left = ((size_t)joining->sent_length[0] << 8) | joining->sent_length[1];
        joining->sent_tag_due = true;
        memcpy(length + WIRE - OURS, joining->sent_length, OURS);
        return dg_buffer_append(&joining->out, length, WIRE) ? 1 : 0;
    }
    return 1;
}

static void note_tag(struct dg_joining *joining, uint8_t first)
{
    if (joining->sent_left > 0 && joining->sent_tag_due) {
        joining->sent_tag = first;
        joining->sent_tag_due = false;
    }
}

/* Rewrites the program's bytes, up to the end of the ack. Returns how many, or 0 where memory is
 * out. */
static size_t rewrite(struct dg_joining *joining, const uint8_t *bytes, size_t size)
{
    size_t taken = 0;

    while (taken < size && !joining->handshake.over) {
        size_t part;

        note_tag(joining, bytes[taken]);
        part = rewrite_some(joining, bytes + taken, size - taken);
        if (part == 0) {
            return 0;
        }
        taken += part;
        if (joining->sent_left == 0 && joining->sent_length_have == 0) {
            dg_dist_from_us(&joining->handshake, joining->sent_tag);
        }
    }
    return taken;
}

/* Takes what follows the first `skip` bytes of the vector, as much as may be kept. Returns how
 * many, or -1. */
static ssize_t rewrite_vector(struct dg_socket *socket, int fd, const struct iovec *vector,
                              int count, size_t skip)
{
    struct dg_joining *joining = socket->joining;
    size_t taken = 0;

    for (int i = 0; i < count && !joining->handshake.over && taken < OUT_MAX; i++) {
        const uint8_t *bytes = vector[i].iov_base;
        size_t size = vector[i].iov_len;
        size_t part = skip < size ? skip : size;

        skip -= part;
        bytes += part;
        size = size - part < OUT_MAX - taken ? size - part : OUT_MAX - taken;
        if (size > 0) {
            size_t done = rewrite(joining, bytes, size);

            if (done == 0) {
                (void)out_of_memory(socket, fd);
                return answer(EPIPE);
            }
            taken += done;
        }
    }
    return (ssize_t)taken;
}

static bool is_sent(const struct dg_joining *joining)
{
    return joining->handshake.over && !joining->held && dg_buffer_size(&joining->out) == 0;
}

ssize_t dg_joining_send(struct dg_socket *socket, int fd, const struct iovec *vector, int count)
{
    struct dg_joining *joining = socket->joining;
    ssize_t taken;
    size_t skip;

    if (joining == NULL || is_sent(joining) || dg_vector_size(vector, count) == 0) {
        return dg_channel_send(socket->channel, fd, vector, count);
    }
    if (!flush(socket, fd)) {
        return -1;
    }
    skip = joining->held ? 1 : 0;
    taken = rewrite_vector(socket, fd, vector, count, skip);
    if (taken < 0) {
        return -1;
    }
    taken += (ssize_t)skip;
    joining->held = false;
    if (!flush(socket, fd)) {
        if (errno != EAGAIN) {
            return -1;
        }
        joining->held = true;
        return taken > 1 ? taken - 1 : answer(EAGAIN);
    }
    finish(socket);
    return taken;
}
