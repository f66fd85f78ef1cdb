/* What goes out: the caller's vector to records, records to the kernel. */
#include <errno.h>
#include <string.h>

#include "shim/core/tls/channel_parts.h"
#include "shim/core/tls/vector.h"

enum {
    /* What a program may write before the handshake is through. The VM writes one name message of
       some 300 bytes. */
    EARLY_MAX = 64 * 1024,
    /* How much one send may take while the kernel keeps up, so that a scheduler is not held for
       ever. */
    SEND_MAX = 4 * 1024 * 1024,
    /* Records under one key. AES-GCM's limit is 2^24.5 full ones (RFC 8446 section 5.5). */
    REKEY_RECORDS = 1 << 23,
};

static void send_out(struct dg_channel *channel, int fd)
{
    struct dg_buffer *out = &channel->out;

    while (dg_buffer_size(out) > 0 && channel->state != DG_CHANNEL_FAILED) {
        ssize_t sent = channel->transport->send(fd, out->bytes + out->start, dg_buffer_size(out));

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) {
            return;
        }
        if (sent < 0) {
            int failure = errno;

            dg_buffer_clear(out);
            dg_channel_fail(channel, fd, failure == EPIPE ? ECONNRESET : failure,
                            strerror(failure));
            return;
        }
        dg_buffer_take(out, (size_t)sent);
    }
}

void dg_channel_flush(struct dg_channel *channel, int fd)
{
    send_out(channel, fd);
    /* Only now, so that a peer who asks on and on while we are blocked piles nothing up here. */
    if (channel->refusal_owed && dg_buffer_size(&channel->out) == 0) {
        channel->refusal_owed = false;
        dg_channel_seal_alert(channel, DG_ALERT_NO_RENEGOTIATION);
        send_out(channel, fd);
    }
}

/* --- records --- */

void dg_channel_seal_alert(struct dg_channel *channel, enum dg_alert alert)
{
    uint8_t bytes[2] = {(uint8_t)dg_alert_level(alert), (uint8_t)alert};

    if (channel->sending.cipher != NULL && !channel->sending_ended) {
        (void)dg_seal(&channel->sending, DG_CONTENT_ALERT, bytes, sizeof bytes, &channel->out);
    }
}

/* Whether our keys have done enough for `size` bytes more to go under the next ones. */
static bool must_rekey(const struct dg_channel *channel, size_t size)
{
    const struct dg_keys *keys = &channel->sending;

    if (keys->version == DG_TLS_1_2) {
        return false; /* it knows no KeyUpdate: docs/design.md says what that means */
    }
    return channel->key_update_owed || keys->sequence >= REKEY_RECORDS ||
           (channel->rekey_bytes > 0 && keys->bytes > 0 &&
            keys->bytes + size > channel->rekey_bytes);
}

/* Puts a KeyUpdate into `out` and goes over to our next keys. However often the peer has asked for
 * it since our last data: one answers all (RFC 8446 section 4.6.3). */
static int rekey(struct dg_channel *channel)
{
    channel->key_update_owed = false;
    return dg_seal(&channel->sending, DG_CONTENT_HANDSHAKE, dg_key_update, sizeof dg_key_update,
                   &channel->out) == 0
               ? dg_keys_update(&channel->sending)
               : -1;
}

static int seal_from(struct dg_channel *channel, struct dg_plaintext *source, size_t size)
{
    struct dg_sealing sealing;

    if (must_rekey(channel, size) && rekey(channel) != 0) {
        return -1;
    }
    if (dg_seal_begin(&sealing, &channel->sending, DG_CONTENT_APPLICATION_DATA, size,
                      &channel->out) != 0) {
        return -1;
    }
    while (size > 0) {
        const uint8_t *bytes = NULL;
        size_t part = dg_plaintext_take(source, &bytes, size);

        if (dg_seal_add(&sealing, bytes, part) != 0) {
            return -1;
        }
        size -= part;
    }
    return dg_seal_end(&sealing);
}

/* Seals up to one batch, in full records as far as it goes. Returns how much. */
static size_t seal_batch(struct dg_channel *channel, int fd, struct dg_plaintext *source)
{
    size_t taken = 0;

    while (taken < DG_BATCH && source->left > 0) {
        size_t size = dg_cut(&channel->cutting, source, DG_PLAINTEXT_MAX);

        if (seal_from(channel, source, size) != 0) {
            dg_channel_fail(channel, fd, ECONNRESET,
                            "a record cannot be encrypted (out of memory?)");
            return taken;
        }
        taken += size;
    }
    return taken;
}

/* Seals and flushes until all is taken, the kernel takes no more, or it has been long enough. */
static size_t send_batches(struct dg_channel *channel, int fd, struct dg_plaintext *source,
                           struct dg_scratch *scratch)
{
    size_t taken = 0;

    while (taken < SEND_MAX && source->left > 0 && dg_buffer_size(&channel->out) == 0 &&
           channel->state != DG_CHANNEL_FAILED) {
        dg_buffer_borrow(&channel->out, scratch->out, sizeof scratch->out);
        taken += seal_batch(channel, fd, source);
        dg_channel_flush(channel, fd);
    }
    return taken;
}

void dg_channel_seal_early(struct dg_channel *channel, int fd)
{
    struct dg_buffer *early = &channel->early;

    if (dg_buffer_size(early) > 0) {
        struct iovec vector = {.iov_base = early->bytes + early->start,
                               .iov_len = dg_buffer_size(early)};
        struct dg_plaintext source;

        dg_plaintext_open(&source, &vector, 1);
        (void)seal_batch(channel, fd, &source);
    }
    dg_buffer_clear(early);
}

void dg_channel_expect_packets(struct dg_channel *channel, size_t first)
{
    channel->cutting.first = first;
}

bool dg_channel_is_blocked(const struct dg_channel *channel)
{
    return dg_buffer_size(&channel->out) > 0;
}

/* --- the call --- */

/* Before the handshake is through there is nothing to wait for but the peer: EAGAIN would make a
 * poller for writing spin. So what little a program writes first is kept. */
static ssize_t send_early(struct dg_channel *channel, int fd, const struct iovec *vector, int count)
{
    size_t size = dg_vector_size(vector, count);

    if (dg_buffer_size(&channel->early) + size > EARLY_MAX) {
        return dg_channel_answer(-1, EAGAIN);
    }
    for (int i = 0; i < count; i++) {
        if (!dg_buffer_append(&channel->early, vector[i].iov_base, vector[i].iov_len)) {
            dg_channel_out_of_memory(channel, fd);
            return dg_channel_answer(-1, EPIPE);
        }
    }
    return (ssize_t)size;
}

static ssize_t send_open(struct dg_channel *channel, int fd, const struct iovec *vector, int count,
                         struct dg_scratch *scratch)
{
    size_t skip = channel->held ? 1 : 0;
    struct dg_plaintext source;
    const uint8_t *held;
    size_t taken;

    dg_channel_flush(channel, fd);
    if (channel->state == DG_CHANNEL_FAILED) {
        return dg_channel_answer(-1, EPIPE);
    }
    if (dg_buffer_size(&channel->out) > 0) {
        return dg_channel_answer(-1, EAGAIN);
    }
    dg_plaintext_open(&source, vector, count);
    (void)dg_plaintext_take(&source, &held, skip);
    taken = skip + send_batches(channel, fd, &source, scratch);
    if (channel->state == DG_CHANNEL_FAILED) {
        return dg_channel_answer(-1, EPIPE);
    }
    channel->held = dg_buffer_size(&channel->out) > 0;
    dg_seal_prepare(&channel->sending);
    dg_open_prepare(&channel->receiving);
    if (channel->held && taken == 1) {
        return dg_channel_answer(-1, EAGAIN);
    }
    return (ssize_t)(channel->held ? taken - 1 : taken);
}

ssize_t dg_channel_send(struct dg_channel *channel, int fd, const struct iovec *vector, int count)
{
    struct dg_scratch *scratch;
    ssize_t result;

    if (channel->state == DG_CHANNEL_FAILED || channel->sending_ended) {
        return dg_channel_answer(-1, EPIPE);
    }
    if (dg_vector_size(vector, count) == 0) {
        return 0;
    }
    if (!dg_channel_begin(channel, fd, &scratch)) {
        return dg_channel_answer(-1, EPIPE);
    }
    dg_channel_drive_handshake(channel, fd);
    if (channel->state == DG_CHANNEL_FAILED) {
        result = dg_channel_answer(-1, EPIPE);
    } else if (channel->state == DG_CHANNEL_HANDSHAKE) {
        result = send_early(channel, fd, vector, count);
    } else {
        result = send_open(channel, fd, vector, count, scratch);
    }
    dg_channel_end(channel, fd);
    return result;
}
