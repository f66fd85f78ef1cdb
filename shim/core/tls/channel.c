#include "shim/core/tls/channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shim/core/elapsed.h"
#include "shim/core/tls/channel_parts.h"
#include "shim/core/tls/internal.h"

/* How much a close throws away to leave the kernel's receive queue empty. */
enum { DRAIN_MAX = 1024 * 1024 };

/* KeyUpdates a second, where the policy names none. */
enum { KEYUPDATE_LIMIT = 10 };

/* --- state --- */

void dg_channel_enter(struct dg_channel *channel, enum dg_channel_state state)
{
    if (channel->state == DG_CHANNEL_FAILED) {
        return;
    }
    if (state == DG_CHANNEL_OPEN) {
        channel->was_open = true;
    }
    channel->state = state;
}

void dg_channel_fail(struct dg_channel *channel, int fd, int failure, const char *reason)
{
    if (channel->state == DG_CHANNEL_FAILED) {
        return;
    }
    channel->refusal_owed = false;
    dg_channel_flush(channel, fd);
    dg_channel_enter(channel, DG_CHANNEL_FAILED);
    channel->failure = failure;
    (void)snprintf(channel->reason, sizeof channel->reason, "%s", reason);
    dg_buffer_clear(&channel->out);
    dg_buffer_clear(&channel->early);
    dg_buffer_clear(&channel->opened);
    channel->held = false;
    (void)channel->transport->shutdown(fd, SHUT_RDWR);
}

void dg_channel_fail_alert(struct dg_channel *channel, int fd, enum dg_alert alert,
                           const char *reason)
{
    if (channel->state != DG_CHANNEL_FAILED) {
        dg_channel_seal_alert(channel, alert);
        dg_channel_fail(channel, fd, ECONNRESET, reason);
    }
}

void dg_channel_out_of_memory(struct dg_channel *channel, int fd)
{
    dg_channel_fail(channel, fd, ECONNRESET, "out of memory");
}

/* --- one call's memory --- */

bool dg_channel_begin(struct dg_channel *channel, int fd, struct dg_scratch **scratch)
{
    struct dg_scratch *memory = dg_scratch();

    if (memory == NULL) {
        dg_channel_out_of_memory(channel, fd);
        return false;
    }
    dg_buffer_borrow(&channel->in, memory->in, sizeof memory->in);
    channel->whole = 0;
    dg_channel_find_whole(channel);
    if (dg_buffer_size(&channel->out) == 0) {
        dg_buffer_borrow(&channel->out, memory->out, sizeof memory->out);
    }
    *scratch = memory;
    return true;
}

void dg_channel_end(struct dg_channel *channel, int fd)
{
    bool kept = dg_buffer_settle(&channel->in);

    if (!dg_buffer_settle(&channel->out) || !kept) {
        dg_channel_out_of_memory(channel, fd);
    }
    /* Records leave nothing in OpenSSL's error queue, unless one failed, which ended the channel.
     */
    if (channel->state == DG_CHANNEL_FAILED) {
        ERR_clear_error();
    }
}

ssize_t dg_channel_answer(ssize_t value, int error)
{
    errno = error;
    return value;
}

/* --- making and ending --- */

uint64_t dg_channel_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void apply_policy(struct dg_channel *channel, const struct dg_tls_policy *policy)
{
    unsigned limit = policy->keyupdate_limit;

    channel->rekey_bytes = (uint64_t)policy->rekey_bytes;
    dg_bucket_init(&channel->wishes, limit > 0 ? limit : KEYUPDATE_LIMIT, dg_channel_clock());
}

struct dg_channel *dg_channel_new(const struct dg_credentials *credentials,
                                  enum dg_channel_side side, const struct dg_transport *transport,
                                  double timeout)
{
    struct dg_channel *channel = dg_tls_has_ended() ? NULL : calloc(1, sizeof *channel);

    if (channel == NULL) {
        return NULL;
    }
    channel->transport = transport;
    channel->side = side;
    channel->timeout = timeout;
    channel->state = DG_CHANNEL_HANDSHAKE;
    clock_gettime(CLOCK_MONOTONIC, &channel->started);
    apply_policy(channel, &credentials->policy->tls);
    channel->handshake =
        dg_handshake_new(credentials, side, &channel->in, &channel->whole, &channel->out);
    if (channel->handshake == NULL) {
        dg_channel_free(channel);
        errno = ENOMEM;
        return NULL;
    }
    return channel;
}

void dg_channel_free(struct dg_channel *channel)
{
    if (channel == NULL) {
        return;
    }
    dg_handshake_free(channel->handshake);
    dg_identity_clear(&channel->agreed.identity);
    dg_keys_clear(&channel->receiving);
    dg_keys_clear(&channel->sending);
    dg_buffer_clear(&channel->in);
    dg_buffer_clear(&channel->opened);
    dg_buffer_clear(&channel->out);
    dg_buffer_clear(&channel->early);
    free(channel);
}

void dg_channel_end_sending(struct dg_channel *channel, int fd)
{
    struct dg_scratch *scratch;

    if (channel->state == DG_CHANNEL_FAILED || channel->state == DG_CHANNEL_HANDSHAKE ||
        channel->sending_ended || !dg_channel_begin(channel, fd, &scratch)) {
        return;
    }
    dg_channel_seal_alert(channel, DG_ALERT_CLOSE_NOTIFY);
    channel->sending_ended = true;
    dg_channel_flush(channel, fd);
    dg_channel_end(channel, fd);
}

void dg_channel_refuse(struct dg_channel *channel, int fd, const char *reason)
{
    struct dg_scratch *scratch;

    if (channel->state != DG_CHANNEL_FAILED && dg_channel_begin(channel, fd, &scratch)) {
        dg_channel_fail_alert(channel, fd, DG_ALERT_ACCESS_DENIED, reason);
        dg_channel_end(channel, fd);
    }
}

void dg_channel_close(struct dg_channel *channel, int fd)
{
    struct dg_scratch *scratch = dg_scratch();
    size_t thrown = 0;

    dg_channel_end_sending(channel, fd);
    while (scratch != NULL && thrown < DRAIN_MAX) {
        ssize_t count = channel->transport->receive(fd, scratch->in, sizeof scratch->in, false);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;
        }
        thrown += (size_t)count;
    }
}

/* --- what it is --- */

enum dg_channel_state dg_channel_get_state(const struct dg_channel *channel)
{
    return channel->state;
}

const char *dg_channel_reason(const struct dg_channel *channel)
{
    return channel->reason;
}

double dg_channel_age(const struct dg_channel *channel)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return dg_seconds_between(&channel->started, &now);
}

bool dg_channel_was_answered(const struct dg_channel *channel)
{
    return channel->answered || channel->side == DG_CHANNEL_SERVER;
}

bool dg_channel_was_open(const struct dg_channel *channel)
{
    return channel->was_open;
}

struct dg_channel_figures dg_channel_figures(const struct dg_channel *channel)
{
    return (struct dg_channel_figures){
        .received = channel->receiving.earlier + channel->receiving.sequence,
        .sent = channel->sending.earlier + channel->sending.sequence,
        .key_updates = channel->receiving.updates + channel->sending.updates,
    };
}

const char *dg_channel_version(const struct dg_channel *channel)
{
    return channel->agreed.version;
}

const char *dg_channel_cipher(const struct dg_channel *channel)
{
    return channel->agreed.cipher;
}

const char *dg_channel_peer_certificate(const struct dg_channel *channel)
{
    return channel->agreed.certificate;
}

const char *dg_channel_group(const struct dg_channel *channel)
{
    return channel->agreed.group;
}

const struct dg_identity *dg_channel_identity(const struct dg_channel *channel)
{
    return channel->was_open ? &channel->agreed.identity : NULL;
}
