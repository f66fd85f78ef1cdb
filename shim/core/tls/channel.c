#include "shim/core/tls/channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "shim/core/tls/bio.h"
#include "shim/core/tls/buffer.h"
#include "shim/core/tls/internal.h"
#include "shim/core/tls/scratch.h"
#include "shim/core/wire/tls_record.h"

enum {
    /* What a program may write before the handshake is through. The VM writes one name message of
       some 300 bytes. */
    EARLY_MAX = 64 * 1024,
    /* How much one send may take while the kernel keeps up, so that a scheduler is not held for
       ever. */
    SEND_MAX = 4 * 1024 * 1024,
    /* How much a close throws away to leave the kernel's receive queue empty. */
    DRAIN_MAX = 1024 * 1024,
    REASON_SIZE = 256,
};

struct dg_channel {
    SSL *ssl;
    const struct dg_transport *transport;
    struct timespec started;
    double timeout; /* of the handshake, seconds */

    enum dg_channel_state state; /* moved by enter() alone */
    bool was_open;
    int failure; /* errno of every receive, once failed */
    char reason[REASON_SIZE];

    /* Ciphertext that was fetched and not yet given to OpenSSL. Between calls this is part of one
     * record. */
    struct dg_buffer in;
    size_t whole;        /* how much of `in` is whole records: all that OpenSSL is shown */
    bool tail_in_kernel; /* the last byte of `in`, or of what OpenSSL still holds decrypted, was
                            only peeked */

    struct dg_buffer out; /* ciphertext that the kernel has not taken */
    bool held;            /* the caller's next byte was already taken, and is in `out` */
    bool sending_ended;   /* our close_notify was sent */

    struct dg_buffer early; /* plaintext taken before the handshake was through */
    char peer_certificate[256];
};

/* Where receive puts plaintext: the caller's vector, as far as it was filled. */
struct sink {
    const struct iovec *vector;
    int count;
    int index;
    size_t offset; /* within vector[index] */
    size_t got;
    bool peek;
};

/* --- state --- */

static void enter(struct dg_channel *channel, enum dg_channel_state state)
{
    if (channel->state == DG_CHANNEL_FAILED) {
        return;
    }
    if (state == DG_CHANNEL_OPEN) {
        channel->was_open = true;
    }
    channel->state = state;
}

static void flush(struct dg_channel *channel, int fd);

/*
 * The end of a channel. An alert that OpenSSL made is sent; then the connection is shut down, not
 * only for the peer: it makes the descriptor readable, so that a sleeping program comes and learns
 * of it.
 */
static void fail(struct dg_channel *channel, int fd, int failure, const char *reason)
{
    if (channel->state == DG_CHANNEL_FAILED) {
        return;
    }
    flush(channel, fd);
    enter(channel, DG_CHANNEL_FAILED);
    channel->failure = failure;
    (void)snprintf(channel->reason, sizeof channel->reason, "%s", reason);
    dg_buffer_clear(&channel->out);
    dg_buffer_clear(&channel->early);
    channel->held = false;
    (void)channel->transport->shutdown(fd, SHUT_RDWR);
}

static void fail_tls(struct dg_channel *channel, int fd)
{
    char reason[REASON_SIZE];

    dg_tls_explain(channel->ssl, reason, sizeof reason);
    fail(channel, fd, ECONNRESET, reason);
}

static void out_of_memory(struct dg_channel *channel, int fd)
{
    fail(channel, fd, ECONNRESET, "out of memory");
}

/* Counts the whole records of `in`. */
static void find_whole(struct dg_channel *channel)
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

/* --- one call's memory --- */

/* The VM's crypto application shares this thread's error queue: it must not be read as ours, nor
 * ours left to it. Clearing an empty queue costs as much as a tenth of a short record. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

static bool begin(struct dg_channel *channel, int fd, struct dg_scratch **memory)
{
    struct dg_scratch *scratch = dg_scratch();

    if (scratch == NULL) {
        out_of_memory(channel, fd);
        return false;
    }
    dg_buffer_borrow(&channel->in, scratch->in, sizeof scratch->in);
    channel->whole = 0;
    find_whole(channel);
    if (dg_buffer_size(&channel->out) == 0) {
        dg_buffer_borrow(&channel->out, scratch->out, sizeof scratch->out);
    }
    *memory = scratch;
    clear_errors();
    return true;
}

static void end(struct dg_channel *channel, int fd)
{
    bool kept = dg_buffer_settle(&channel->in);

    if (!dg_buffer_settle(&channel->out) || !kept) {
        out_of_memory(channel, fd);
    }
    clear_errors();
}

/* --- to the kernel --- */

/* Hands the kernel what it takes of `out` at once. */
static void flush(struct dg_channel *channel, int fd)
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
            fail(channel, fd, failure == EPIPE ? ECONNRESET : failure, strerror(failure));
            return;
        }
        dg_buffer_take(out, (size_t)sent);
    }
}

/* --- from the kernel --- */

static void fail_receive(struct dg_channel *channel, int fd, ssize_t received)
{
    bool open = channel->state == DG_CHANNEL_OPEN;

    if (received < 0) {
        int failure = errno;

        fail(channel, fd, failure, strerror(failure));
    } else if (open) {
        fail(channel, fd, ECONNRESET, "connection ended without close_notify: truncated");
    } else {
        fail(channel, fd, ECONNRESET, "peer closed the connection during the TLS handshake");
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
    find_whole(channel);
    return (size_t)received == want ? FETCH_FULL : FETCH_SHORT;
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
    size_t limit = (room < DG_BATCH ? room : DG_BATCH) + DG_TLS_RECORD_OVERHEAD;
    size_t record;

    dg_buffer_compact(in);
    record = dg_tls_record_size(in->bytes, have);
    if (record == DG_TLS_RECORD_INVALID) {
        fail(channel, fd, ECONNRESET, "peer sends what is no TLS record");
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
    uint8_t byte;

    if (!channel->tail_in_kernel || dg_buffer_size(&channel->in) > 0 ||
        SSL_pending(channel->ssl) > 0) {
        return;
    }
    while (channel->transport->receive(fd, &byte, 1, false) < 0 && errno == EINTR) {
    }
    channel->tail_in_kernel = false;
}

/* --- records to plaintext --- */

static double seconds_since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void encrypt(struct dg_channel *channel, int fd, const void *bytes, size_t size);

static void opened(struct dg_channel *channel, int fd)
{
    X509 *certificate = SSL_get0_peer_certificate(channel->ssl);

    /* Belt and braces: SSL_VERIFY_FAIL_IF_NO_PEER_CERT should have seen to it. */
    if (certificate == NULL || SSL_get_verify_result(channel->ssl) != X509_V_OK) {
        fail(channel, fd, ECONNRESET, "peer has shown no valid certificate");
        return;
    }
    dg_tls_describe_certificate(certificate, channel->peer_certificate,
                                sizeof channel->peer_certificate);
    enter(channel, DG_CHANNEL_OPEN);
    encrypt(channel, fd, channel->early.bytes + channel->early.start,
            dg_buffer_size(&channel->early));
    dg_buffer_clear(&channel->early);
}

static void handshake(struct dg_channel *channel, int fd)
{
    int result;

    if (seconds_since(&channel->started) > channel->timeout) {
        fail(channel, fd, ETIMEDOUT, "TLS handshake not finished in time");
        return;
    }
    result = SSL_do_handshake(channel->ssl);
    if (result == 1) {
        opened(channel, fd);
    } else if (SSL_get_error(channel->ssl, result) != SSL_ERROR_WANT_READ) {
        fail_tls(channel, fd);
    }
    flush(channel, fd);
}

static bool sink_is_full(struct sink *sink)
{
    while (sink->index < sink->count && sink->offset == sink->vector[sink->index].iov_len) {
        sink->index++;
        sink->offset = 0;
    }
    return sink->index == sink->count;
}

/* Decrypts the next of the whole records into the sink. False when there is nothing more to
 * decrypt. */
static bool decrypt_some(struct dg_channel *channel, int fd, struct sink *sink)
{
    const struct iovec *part = &sink->vector[sink->index];
    char *to = (char *)part->iov_base + sink->offset;
    size_t count = 0;
    int result = sink->peek ? SSL_peek_ex(channel->ssl, to, part->iov_len - sink->offset, &count)
                            : SSL_read_ex(channel->ssl, to, part->iov_len - sink->offset, &count);

    if (result == 1) {
        sink->offset += count;
        sink->got += count;
        return !sink->peek;
    }
    switch (SSL_get_error(channel->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_ZERO_RETURN:
        enter(channel, DG_CHANNEL_PEER_CLOSED);
        /* Nothing may be left in the kernel to wake the caller who is still to be told of the end.
         */
        (void)channel->transport->shutdown(fd, SHUT_RD);
        break;
    default:
        fail_tls(channel, fd);
        break;
    }
    return false;
}

/* Whether OpenSSL has anything to read; asking it to find out costs more than the record's
 * decryption. */
static bool has_record(const struct dg_channel *channel)
{
    return channel->whole > 0 || SSL_pending(channel->ssl) > 0;
}

static void process(struct dg_channel *channel, int fd, struct sink *sink)
{
    if (channel->state == DG_CHANNEL_HANDSHAKE) {
        handshake(channel, fd);
    }
    while (channel->state == DG_CHANNEL_OPEN && !sink_is_full(sink) && has_record(channel) &&
           decrypt_some(channel, fd, sink)) {
    }
    release_tail(channel, fd);
    /* Answers to the peer's KeyUpdate, and alerts. */
    flush(channel, fd);
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

/* --- plaintext to records --- */

static void encrypt(struct dg_channel *channel, int fd, const void *bytes, size_t size)
{
    size_t written;

    if (size > 0 && channel->state != DG_CHANNEL_FAILED &&
        SSL_write_ex(channel->ssl, bytes, size, &written) != 1) {
        fail_tls(channel, fd);
    }
}

/* The caller's vector as a stream of plaintext to encrypt. */
struct source {
    const struct iovec *vector;
    int count;
    int index;
    size_t offset;
};

/* Up to `limit` bytes that lie together; 0 at the end. */
static size_t source_next(struct source *source, const uint8_t **bytes, size_t limit)
{
    size_t size;

    while (source->index < source->count &&
           source->offset == source->vector[source->index].iov_len) {
        source->index++;
        source->offset = 0;
    }
    if (source->index == source->count) {
        return 0;
    }
    *bytes = (const uint8_t *)source->vector[source->index].iov_base + source->offset;
    size = source->vector[source->index].iov_len - source->offset;
    return size < limit ? size : limit;
}

/* Encrypts up to one batch, full records as far as it goes: small pieces are gathered, large ones
 * taken as they lie. */
static size_t encrypt_batch(struct dg_channel *channel, int fd, struct source *source,
                            uint8_t *gathered)
{
    size_t taken = 0;
    size_t waiting = 0;
    const uint8_t *bytes = NULL;
    size_t size;

    while (taken < DG_BATCH &&
           (size = source_next(source, &bytes, DG_PLAINTEXT_MAX - waiting)) > 0) {
        if (size == DG_PLAINTEXT_MAX) {
            encrypt(channel, fd, bytes, size);
        } else {
            memcpy(gathered + waiting, bytes, size);
            waiting += size;
        }
        if (waiting == DG_PLAINTEXT_MAX) {
            encrypt(channel, fd, gathered, waiting);
            waiting = 0;
        }
        source->offset += size;
        taken += size;
    }
    encrypt(channel, fd, gathered, waiting);
    return taken;
}

/* Encrypts and flushes until all is taken, the kernel takes no more, or it has been long enough. */
static size_t send_batches(struct dg_channel *channel, int fd, struct source *source,
                           struct dg_scratch *scratch)
{
    size_t taken = 0;

    while (taken < SEND_MAX && dg_buffer_size(&channel->out) == 0 &&
           channel->state != DG_CHANNEL_FAILED) {
        size_t batch = encrypt_batch(channel, fd, source, scratch->gathered);

        if (batch == 0) {
            break;
        }
        taken += batch;
        flush(channel, fd);
        if (dg_buffer_size(&channel->out) == 0) {
            /* What was sent from memory of its own leaves none behind: the next batch borrows
             * again. */
            dg_buffer_borrow(&channel->out, scratch->out, sizeof scratch->out);
        }
    }
    return taken;
}

static size_t vector_size(const struct iovec *vector, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        size += vector[i].iov_len;
    }
    return size;
}

static ssize_t answer(ssize_t value, int error)
{
    errno = error;
    return value;
}

/* As far as the peer's bytes take it: a program that only writes would never fetch them. */
static void drive_handshake(struct dg_channel *channel, int fd)
{
    while (channel->state == DG_CHANNEL_HANDSHAKE) {
        process(channel, fd, &(struct sink){0});
        if (channel->state != DG_CHANNEL_HANDSHAKE || fetch(channel, fd, 0) > FETCH_SHORT) {
            break;
        }
    }
}

/* Before the handshake is through there is nothing to wait for but the peer: EAGAIN would make a
 * poller for writing spin. So what little a program writes first is kept. */
static ssize_t send_early(struct dg_channel *channel, int fd, const struct iovec *vector, int count)
{
    size_t size = vector_size(vector, count);

    if (dg_buffer_size(&channel->early) + size > EARLY_MAX) {
        return answer(-1, EAGAIN);
    }
    for (int i = 0; i < count; i++) {
        if (!dg_buffer_append(&channel->early, vector[i].iov_base, vector[i].iov_len)) {
            out_of_memory(channel, fd);
            return answer(-1, EPIPE);
        }
    }
    return (ssize_t)size;
}

static ssize_t send_open(struct dg_channel *channel, int fd, const struct iovec *vector, int count,
                         struct dg_scratch *scratch)
{
    size_t skip = channel->held ? 1 : 0;
    struct source source = {.vector = vector, .count = count};
    const uint8_t *held;
    size_t taken;

    flush(channel, fd);
    if (channel->state == DG_CHANNEL_FAILED) {
        return answer(-1, EPIPE);
    }
    if (dg_buffer_size(&channel->out) > 0) {
        return answer(-1, EAGAIN);
    }
    if (skip > 0) {
        source.offset += source_next(&source, &held, 1);
    }
    dg_buffer_borrow(&channel->out, scratch->out, sizeof scratch->out);
    taken = send_batches(channel, fd, &source, scratch);
    if (channel->state == DG_CHANNEL_FAILED) {
        return answer(-1, EPIPE);
    }
    channel->held = dg_buffer_size(&channel->out) > 0;
    taken += skip;
    if (channel->held && taken == 1) {
        return answer(-1, EAGAIN);
    }
    return (ssize_t)(channel->held ? taken - 1 : taken);
}

/* --- the calls --- */

struct dg_channel *dg_channel_new(const struct dg_credentials *credentials,
                                  enum dg_channel_side side, const struct dg_transport *transport,
                                  double timeout)
{
    struct dg_channel *channel = calloc(1, sizeof *channel);

    if (channel == NULL) {
        return NULL;
    }
    channel->transport = transport;
    channel->timeout = timeout;
    channel->state = DG_CHANNEL_HANDSHAKE;
    clock_gettime(CLOCK_MONOTONIC, &channel->started);
    channel->ssl = SSL_new(credentials->context);
    if (channel->ssl == NULL ||
        dg_bio_attach(channel->ssl, &channel->in, &channel->whole, &channel->out) != 0) {
        dg_channel_free(channel);
        ERR_clear_error();
        errno = ENOMEM;
        return NULL;
    }
    if (side == DG_CHANNEL_CLIENT) {
        SSL_set_connect_state(channel->ssl);
    } else {
        SSL_set_accept_state(channel->ssl);
    }
    return channel;
}

void dg_channel_free(struct dg_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    SSL_free(channel->ssl);
    dg_buffer_clear(&channel->in);
    dg_buffer_clear(&channel->out);
    dg_buffer_clear(&channel->early);
    free(channel);
}

ssize_t dg_channel_receive(struct dg_channel *channel, int fd, const struct iovec *vector,
                           int count, bool peek)
{
    struct sink sink = {.vector = vector, .count = count, .peek = peek};
    size_t room = vector_size(vector, count);
    struct dg_scratch *scratch;

    if (room == 0) {
        return 0;
    }
    if (channel->state <= DG_CHANNEL_OPEN && begin(channel, fd, &scratch)) {
        receive_into(channel, fd, &sink, room);
        end(channel, fd);
    }
    if (sink.got > 0) {
        return (ssize_t)sink.got;
    }
    switch (channel->state) {
    case DG_CHANNEL_HANDSHAKE:
    case DG_CHANNEL_OPEN:
        return answer(-1, EAGAIN);
    case DG_CHANNEL_PEER_CLOSED:
        return 0;
    case DG_CHANNEL_FAILED:
    default:
        return answer(-1, channel->failure);
    }
}

ssize_t dg_channel_send(struct dg_channel *channel, int fd, const struct iovec *vector, int count)
{
    struct dg_scratch *scratch;
    ssize_t result;

    if (channel->state == DG_CHANNEL_FAILED || channel->sending_ended) {
        return answer(-1, EPIPE);
    }
    if (vector_size(vector, count) == 0) {
        return 0;
    }
    if (!begin(channel, fd, &scratch)) {
        return answer(-1, EPIPE);
    }
    drive_handshake(channel, fd);
    if (channel->state == DG_CHANNEL_FAILED) {
        result = answer(-1, EPIPE);
    } else if (channel->state == DG_CHANNEL_HANDSHAKE) {
        result = send_early(channel, fd, vector, count);
    } else {
        result = send_open(channel, fd, vector, count, scratch);
    }
    end(channel, fd);
    return result;
}

ssize_t dg_channel_readable(struct dg_channel *channel, int fd)
{
    uint8_t byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};
    ssize_t result = dg_channel_receive(channel, fd, &vector, 1, true);

    if (result > 0) {
        return SSL_pending(channel->ssl);
    }
    return result < 0 && errno != EAGAIN ? -1 : 0;
}

void dg_channel_end_sending(struct dg_channel *channel, int fd)
{
    struct dg_scratch *scratch;

    if (channel->state == DG_CHANNEL_FAILED || channel->state == DG_CHANNEL_HANDSHAKE ||
        channel->sending_ended || !begin(channel, fd, &scratch)) {
        return;
    }
    (void)SSL_shutdown(channel->ssl);
    flush(channel, fd);
    channel->sending_ended = true;
    end(channel, fd);
}

void dg_channel_close(struct dg_channel *channel, int fd)
{
    struct dg_scratch *scratch = dg_scratch();
    size_t thrown = 0;

    dg_channel_end_sending(channel, fd);
    while (scratch != NULL && thrown < DRAIN_MAX) {
        ssize_t count = channel->transport->receive(fd, scratch->in, sizeof scratch->in, false);

        if (count <= 0) {
            break;
        }
        thrown += (size_t)count;
    }
}

enum dg_channel_state dg_channel_get_state(const struct dg_channel *channel)
{
    return channel->state;
}

const char *dg_channel_reason(const struct dg_channel *channel)
{
    return channel->reason;
}

bool dg_channel_was_open(const struct dg_channel *channel)
{
    return channel->was_open;
}

const char *dg_channel_version(const struct dg_channel *channel)
{
    return channel->was_open ? SSL_get_version(channel->ssl) : "";
}

const char *dg_channel_cipher(const struct dg_channel *channel)
{
    return channel->was_open ? SSL_get_cipher_name(channel->ssl) : "";
}

const char *dg_channel_peer_certificate(const struct dg_channel *channel)
{
    return channel->peer_certificate;
}
