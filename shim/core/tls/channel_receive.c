/* What comes in: ciphertext from the kernel, records to plaintext, plaintext to the caller. */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/core/tls/channel_parts.h"
#include "shim/core/tls/internal.h"
#include "shim/core/tls/vector.h"

/* Where receive puts plaintext: the caller's vector, as far as it was filled. */
struct sink {
    const struct iovec *vector;
    int count;
    int index;
    size_t offset; /* within vector[index] */
    size_t got;
    bool peek;
};

/* --- from the kernel --- */

void dg_channel_find_whole(struct dg_channel *channel)
{
    const struct dg_buffer *in = &channel->in;
    size_t at = in->start + channel->whole;

    for (;;) {
        size_t record = dg_tls_record_size(in->bytes + at, in->end - at);

        if (record == 0 || record == DG_TLS_RECORD_INVALID || record > in->end - at) {
            return;
        }
        at += record;
        channel->whole += record;
    }
}

static void fail_receive(struct dg_channel *channel, int fd, ssize_t received)
{
    if (received < 0) {
        int failure = errno;

        dg_channel_fail(channel, fd, failure, strerror(failure));
    } else if (channel->state == DG_CHANNEL_OPEN) {
        dg_channel_fail(channel, fd, ECONNRESET,
                        "connection ended without close_notify: truncated");
    } else {
        dg_channel_fail(channel, fd, ECONNRESET,
                        "peer closed the connection during the TLS handshake");
    }
}

enum fetched {
    FETCH_FULL,  /* all that was asked for: there may be more */
    FETCH_SHORT, /* all that the kernel had */
    FETCH_NONE,  /* the kernel holds nothing */
    FETCH_ENDED, /* the channel's state says how */
};

static enum fetched receive_bytes(struct dg_channel *channel, int fd, size_t want, bool peek)
{
    struct dg_buffer *in = &channel->in;
    ssize_t received;

    do {
        received = channel->transport->receive(fd, in->bytes + in->end, want, peek);
    } while (received < 0 && errno == EINTR);
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return FETCH_NONE;
    }
    if (received <= 0) {
        fail_receive(channel, fd, received);
        return FETCH_ENDED;
    }
    in->end += (size_t)received;
    channel->tail_in_kernel = peek;
    dg_channel_find_whole(channel);
    channel->answered = channel->answered || channel->whole > 0;
    return (size_t)received == want ? FETCH_FULL : FETCH_SHORT;
}

/* How much ciphertext holds at most `room` bytes of plaintext in whole records: either it is so
 * many records that their overhead makes up for it, or too few full ones. */
static size_t fetch_limit(size_t room)
{
    return room + DG_TLS_RECORD_OVERHEAD * (1 + room / DG_PLAINTEXT_MAX);
}

/*
 * Fetches ciphertext, no more than `room` bytes of plaintext can come of, so that nothing decrypted
 * stays behind. Only a record that is larger than that on its own is completed all the same, but
 * for its last byte, which is peeked and stays in the kernel until the record's last plaintext is
 * delivered: the poller keeps seeing the descriptor readable.
 */
static enum fetched fetch(struct dg_channel *channel, int fd, size_t room)
{
    struct dg_buffer *in = &channel->in;
    size_t have = dg_buffer_size(in);
    size_t limit = fetch_limit(room < DG_BATCH ? room : DG_BATCH);
    size_t record;

    if (channel->tail_in_kernel) {
        return FETCH_NONE;
    }
    dg_buffer_compact(in);
    record = dg_tls_record_size(in->bytes, have);
    if (record == DG_TLS_RECORD_INVALID) {
        dg_channel_fail(channel, fd, ECONNRESET, "peer sends what is no TLS record");
        return FETCH_ENDED;
    }
    if (record <= limit) {
        return receive_bytes(channel, fd, limit - have, false);
    }
    if (record - have > 1) {
        return receive_bytes(channel, fd, record - have - 1, false);
    }
    return receive_bytes(channel, fd, 1, true);
}

/* Takes the peeked byte from the kernel, once all that it stood for is delivered. */
static void release_tail(struct dg_channel *channel, int fd)
{
    ssize_t received;
    uint8_t byte;

    if (!channel->tail_in_kernel || dg_buffer_size(&channel->in) > 0 ||
        dg_buffer_size(&channel->opened) > 0) {
        return;
    }
    do {
        received = channel->transport->receive(fd, &byte, 1, false);
    } while (received < 0 && errno == EINTR);
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return; /* fetch() goes no further before it is taken */
    }
    channel->tail_in_kernel = false;
    if (received <= 0) {
        fail_receive(channel, fd, received);
    }
}

/* --- the handshake --- */

/* OpenSSL's part ends here: from now on the records are ours. */
static void open_channel(struct dg_channel *channel, int fd)
{
    char reason[DG_CHANNEL_REASON_SIZE];

    if (dg_handshake_finish(channel->handshake, &channel->agreed, &channel->receiving,
                            &channel->sending, reason, sizeof reason) != 0) {
        dg_channel_fail_alert(channel, fd, DG_ALERT_INTERNAL_ERROR, reason);
        return;
    }
    dg_handshake_free(channel->handshake);
    channel->handshake = NULL;
    channel->messages.version = channel->receiving.version;
    channel->messages.client = channel->side == DG_CHANNEL_CLIENT;
    dg_channel_enter(channel, DG_CHANNEL_OPEN);
    dg_channel_seal_early(channel, fd);
}

/* The VM's crypto application shares this thread's error queue: what is there must not be taken for
 * the handshake's, and what the handshake leaves there not for the application's. */
static void step_handshake(struct dg_channel *channel, int fd)
{
    char reason[DG_CHANNEL_REASON_SIZE];

    if (dg_channel_age(channel) > channel->timeout) {
        dg_channel_fail(channel, fd, ETIMEDOUT, "TLS handshake not finished in time");
        return;
    }
    ERR_clear_error();
    switch (dg_handshake_step(channel->handshake, reason, sizeof reason)) {
    case DG_HANDSHAKE_MORE:
        break;
    case DG_HANDSHAKE_DONE:
        open_channel(channel, fd);
        break;
    case DG_HANDSHAKE_FAILED:
    default:
        dg_channel_fail(channel, fd, ECONNRESET, reason);
        break;
    }
    ERR_clear_error();
}

void dg_channel_drive_handshake(struct dg_channel *channel, int fd)
{
    while (channel->state == DG_CHANNEL_HANDSHAKE) {
        step_handshake(channel, fd);
        release_tail(channel, fd);
        dg_channel_flush(channel, fd);
        if (channel->state != DG_CHANNEL_HANDSHAKE || fetch(channel, fd, 0) > FETCH_SHORT) {
            break;
        }
    }
}

/* --- what TLS itself says --- */

static void take_alert(struct dg_channel *channel, int fd, const uint8_t *bytes, size_t size)
{
    char reason[DG_CHANNEL_REASON_SIZE];

    switch (dg_alert_read(bytes, size, channel->receiving.version)) {
    case DG_ALERT_MEANS_NOTHING:
        break;
    case DG_ALERT_MEANS_CLOSED:
        dg_channel_enter(channel, DG_CHANNEL_PEER_CLOSED);
        /* Nothing may be left in the kernel to wake the caller who is still to be told of the end.
         */
        (void)channel->transport->shutdown(fd, SHUT_RD);
        break;
    case DG_ALERT_MEANS_FAILURE:
        (void)snprintf(reason, sizeof reason, "peer refused with alert: %s",
                       dg_tls_alert_name(bytes[1]));
        dg_channel_fail(channel, fd, ECONNRESET, reason);
        break;
    case DG_ALERT_MALFORMED:
    default:
        dg_channel_fail_alert(channel, fd, DG_ALERT_DECODE_ERROR, "peer sends a malformed alert");
        break;
    }
}

/* Whether the peer may have what it asks for again. Else the channel is ended, by the alert that
 * BoringSSL, Go and rustls send for too many KeyUpdates; the RFCs name none. */
static bool grant(struct dg_channel *channel, int fd, const char *excess)
{
    if (dg_bucket_take(&channel->wishes, dg_channel_clock())) {
        return true;
    }
    dg_channel_fail_alert(channel, fd, DG_ALERT_UNEXPECTED_MESSAGE, excess);
    return false;
}

/*
 * New keys cost us little beside the data that comes under them: whoever sends so much a KeyUpdate
 * may rekey as often as it likes. It is the sum that counts, as OTP cuts what it has to send into
 * key_update_at bytes and a rest, with new keys before each, however short the rest.
 */
enum { BYTES_THAT_EXCUSE = 16384, EXCUSES_SAVED = 64 };

static bool is_excused(struct dg_channel *channel)
{
    enum { MOST = EXCUSES_SAVED * BYTES_THAT_EXCUSE };

    channel->excuse += channel->receiving.bytes;
    if (channel->excuse > MOST) {
        channel->excuse = MOST;
    }
    if (channel->excuse < BYTES_THAT_EXCUSE) {
        return false;
    }
    channel->excuse -= BYTES_THAT_EXCUSE;
    return true;
}

static void take_key_update(struct dg_channel *channel, int fd, bool requested)
{
    if (!is_excused(channel) &&
        !grant(channel, fd, "peer sends more KeyUpdates than tls.keyupdate_limit lets it")) {
        return;
    }
    channel->key_update_owed = channel->key_update_owed || requested;
    if (dg_keys_update(&channel->receiving) != 0) {
        dg_channel_out_of_memory(channel, fd);
    }
}

static void take_message(struct dg_channel *channel, int fd, const uint8_t *bytes, size_t size)
{
    switch (dg_messages_take(&channel->messages, bytes, size)) {
    case DG_MESSAGE_NONE:
        break;
    case DG_MESSAGE_KEY_UPDATE_REQUESTED:
        take_key_update(channel, fd, true);
        break;
    case DG_MESSAGE_KEY_UPDATE:
        take_key_update(channel, fd, false);
        break;
    case DG_MESSAGE_RENEGOTIATE:
        channel->refusal_owed = grant(
            channel, fd, "peer asks to renegotiate more often than tls.keyupdate_limit lets it");
        break;
    case DG_MESSAGE_MALFORMED:
        dg_channel_fail_alert(channel, fd, DG_ALERT_DECODE_ERROR,
                              "peer sends a malformed post-handshake message");
        break;
    case DG_MESSAGE_UNEXPECTED:
    default:
        dg_channel_fail_alert(channel, fd, DG_ALERT_UNEXPECTED_MESSAGE,
                              "peer sends a post-handshake message that has no place here");
        break;
    }
}

/* --- records to plaintext --- */

static bool sink_is_full(struct sink *sink)
{
    while (sink->index < sink->count && sink->offset == sink->vector[sink->index].iov_len) {
        sink->index++;
        sink->offset = 0;
    }
    return sink->index == sink->count;
}

/* Room that lies together; the sink must not be full. */
static uint8_t *sink_room(const struct sink *sink, size_t *size)
{
    const struct iovec *part = &sink->vector[sink->index];

    *size = part->iov_len - sink->offset;
    return (uint8_t *)part->iov_base + sink->offset;
}

static void sink_filled(struct sink *sink, size_t size)
{
    sink->offset += size;
    sink->got += size;
}

/* Gives the caller of `opened` what it has room for. */
static void deliver(struct dg_channel *channel, struct sink *sink)
{
    struct dg_buffer *opened = &channel->opened;
    size_t room;
    uint8_t *to = sink_room(sink, &room);
    size_t size = dg_buffer_size(opened) < room ? dg_buffer_size(opened) : room;

    memcpy(to, opened->bytes + opened->start, size);
    sink_filled(sink, size);
    if (!sink->peek) {
        dg_buffer_take(opened, size);
    }
}

static void fail_opening(struct dg_channel *channel, int fd, enum dg_opened result)
{
    switch (result) {
    case DG_OPEN_TOO_LARGE:
        dg_channel_fail_alert(channel, fd, DG_ALERT_RECORD_OVERFLOW,
                              "peer sends a record too large");
        break;
    case DG_OPEN_NOT_CIPHERTEXT:
    case DG_OPEN_NO_TYPE:
        dg_channel_fail_alert(channel, fd, DG_ALERT_UNEXPECTED_MESSAGE,
                              "peer sends a record that has no place here");
        break;
    case DG_OPEN_BAD:
    default:
        dg_channel_fail_alert(channel, fd, DG_ALERT_BAD_RECORD_MAC,
                              "TLS: decryption failed or bad record mac");
        break;
    }
}

static void take_content(struct dg_channel *channel, int fd, uint8_t type, const uint8_t *bytes,
                         size_t size)
{
    switch (type) {
    case DG_CONTENT_APPLICATION_DATA:
        break;
    case DG_CONTENT_ALERT:
        take_alert(channel, fd, bytes, size);
        break;
    case DG_CONTENT_HANDSHAKE:
        take_message(channel, fd, bytes, size);
        break;
    default:
        fail_opening(channel, fd, DG_OPEN_NO_TYPE);
        break;
    }
}

/* Opens the next whole record: into the caller's buffer where it has room for it, else into
 * `opened`. */
static void open_record(struct dg_channel *channel, int fd, struct sink *sink)
{
    const uint8_t *record = channel->in.bytes + channel->in.start;
    size_t size = dg_tls_record_size(record, channel->whole);
    size_t room;
    uint8_t *to = sink_room(sink, &room);
    bool straight = !sink->peek && room >= dg_open_room(size);
    size_t plaintext = 0;
    uint8_t type = 0;
    enum dg_opened result;

    if (!straight) {
        if (!dg_buffer_reserve(&channel->opened, dg_open_room(size) + 1)) {
            dg_channel_out_of_memory(channel, fd);
            return;
        }
        to = channel->opened.bytes;
    }
    result = dg_open(&channel->receiving, record, size, to, &type, &plaintext);
    dg_buffer_take(&channel->in, size);
    channel->whole -= size;
    if (result != DG_OPENED) {
        fail_opening(channel, fd, result);
    } else if (type != DG_CONTENT_APPLICATION_DATA) {
        take_content(channel, fd, type, to, plaintext);
    } else if (straight) {
        sink_filled(sink, plaintext);
    } else {
        channel->opened.end = plaintext;
    }
    if (!straight && dg_buffer_size(&channel->opened) == 0) {
        dg_buffer_clear(&channel->opened);
    }
}

static void process(struct dg_channel *channel, int fd, struct sink *sink)
{
    if (channel->state == DG_CHANNEL_HANDSHAKE) {
        step_handshake(channel, fd);
    }
    while (channel->state == DG_CHANNEL_OPEN && !sink_is_full(sink)) {
        if (dg_buffer_size(&channel->opened) > 0) {
            deliver(channel, sink);
            if (sink->peek) {
                break;
            }
        } else if (channel->whole > 0) {
            open_record(channel, fd, sink);
        } else {
            break;
        }
    }
    release_tail(channel, fd);
    /* Alerts. */
    dg_channel_flush(channel, fd);
}

static void receive_into(struct dg_channel *channel, int fd, struct sink *sink, size_t room)
{
    bool drained = false;

    for (;;) {
        enum fetched fetched;

        process(channel, fd, sink);
        if (channel->state > DG_CHANNEL_OPEN || sink_is_full(sink)) {
            return;
        }
        if (sink->got > 0 && (drained || sink->peek)) {
            return;
        }
        /* To peek, nothing may be decrypted but with its last byte left in the kernel. */
        fetched = fetch(channel, fd, sink->peek ? 0 : room - sink->got);
        if (fetched == FETCH_NONE || fetched == FETCH_ENDED) {
            return;
        }
        drained = fetched == FETCH_SHORT;
    }
}

/* --- the calls --- */

ssize_t dg_channel_receive(struct dg_channel *channel, int fd, const struct iovec *vector,
                           int count, bool peek)
{
    struct sink sink = {.vector = vector, .count = count, .peek = peek};
    size_t room = dg_vector_size(vector, count);
    struct dg_scratch *scratch;

    if (room == 0) {
        return 0;
    }
    if (channel->state <= DG_CHANNEL_OPEN && dg_channel_begin(channel, fd, &scratch)) {
        receive_into(channel, fd, &sink, room);
        dg_channel_end(channel, fd);
    }
    if (sink.got > 0) {
        return (ssize_t)sink.got;
    }
    switch (channel->state) {
    case DG_CHANNEL_HANDSHAKE:
    case DG_CHANNEL_OPEN:
        return dg_channel_answer(-1, EAGAIN);
    case DG_CHANNEL_PEER_CLOSED:
        return 0;
    case DG_CHANNEL_FAILED:
    default:
        return dg_channel_answer(-1, channel->failure);
    }
}

ssize_t dg_channel_readable(struct dg_channel *channel, int fd)
{
    uint8_t byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    ssize_t result = dg_channel_receive(channel, fd, &vector, 1, true);

    if (result > 0) {
        return (ssize_t)dg_buffer_size(&channel->opened);
    }
    return result < 0 && errno != EAGAIN ? -1 : 0;
}
