#include "shim/core/tls/control.h"

enum { HELLO_REQUEST = 0, CLIENT_HELLO = 1, NEW_SESSION_TICKET = 4, KEY_UPDATE = 24 };

enum { MESSAGE_HEAD = 4 };

const uint8_t dg_key_update[DG_KEY_UPDATE_SIZE] = {KEY_UPDATE, 0, 0, 1, 0};

/* --- alerts --- */

enum dg_alert_meaning dg_alert_read(const uint8_t *bytes, size_t size, enum dg_tls_version version)
{
    if (size != 2) {
        return DG_ALERT_MALFORMED;
    }
    if (bytes[1] == DG_ALERT_CLOSE_NOTIFY) {
        return DG_ALERT_MEANS_CLOSED;
    }
    if (version == DG_TLS_1_2 && bytes[0] != DG_ALERT_WARNING && bytes[0] != DG_ALERT_FATAL) {
        return DG_ALERT_MALFORMED;
    }
    if (bytes[1] == DG_ALERT_USER_CANCELED ||
        (version == DG_TLS_1_2 && bytes[0] == DG_ALERT_WARNING)) {
        return DG_ALERT_MEANS_NOTHING;
    }
    return DG_ALERT_MEANS_FAILURE;
}

enum dg_alert_level dg_alert_level(enum dg_alert alert)
{
    switch (alert) {
    case DG_ALERT_CLOSE_NOTIFY:
    case DG_ALERT_USER_CANCELED:
    case DG_ALERT_NO_RENEGOTIATION:
        return DG_ALERT_WARNING;
    default:
        return DG_ALERT_FATAL;
    }
}

/* --- messages --- */

static size_t message_size(const struct dg_messages *messages)
{
    return ((size_t)messages->head[1] << 16) | ((size_t)messages->head[2] << 8) | messages->head[3];
}

/* A KeyUpdate's one byte is there. `more`: bytes follow it in the same record. */
static enum dg_message judge_key_update(const struct dg_messages *messages, bool more)
{
    if (message_size(messages) != 1 || messages->head[MESSAGE_HEAD] > 1) {
        return DG_MESSAGE_MALFORMED;
    }
    if (more) { /* keys change at a record's boundary, or somebody could mix generations */
        return DG_MESSAGE_UNEXPECTED;
    }
    return messages->head[MESSAGE_HEAD] == 1 ? DG_MESSAGE_KEY_UPDATE_REQUESTED
                                             : DG_MESSAGE_KEY_UPDATE;
}

static enum dg_message judge_1_3(struct dg_messages *messages, bool more)
{
    switch (messages->head[0]) {
    case NEW_SESSION_TICKET:
        messages->skip = message_size(messages);
        return messages->client ? DG_MESSAGE_NONE : DG_MESSAGE_UNEXPECTED;
    case KEY_UPDATE:
        return judge_key_update(messages, more);
    default:
        return DG_MESSAGE_UNEXPECTED;
    }
}

/* A server asks for a renegotiation by HelloRequest, a client begins one. */
static enum dg_message judge_1_2(struct dg_messages *messages)
{
    switch (messages->head[0]) {
    case HELLO_REQUEST:
        if (message_size(messages) != 0) {
            return DG_MESSAGE_MALFORMED;
        }
        return messages->client ? DG_MESSAGE_RENEGOTIATE : DG_MESSAGE_UNEXPECTED;
    case CLIENT_HELLO:
        messages->skip = message_size(messages);
        return messages->client ? DG_MESSAGE_UNEXPECTED : DG_MESSAGE_RENEGOTIATE;
    default:
        return DG_MESSAGE_UNEXPECTED;
    }
}

/* Whether enough is there to be judged. */
static bool is_whole(const struct dg_messages *messages)
{
    bool key_update = messages->version == DG_TLS_1_3 && messages->head[0] == KEY_UPDATE;

    return messages->have == (key_update ? DG_KEY_UPDATE_SIZE : MESSAGE_HEAD);
}

static enum dg_message judge(struct dg_messages *messages, bool more)
{
    messages->have = 0;
    return messages->version == DG_TLS_1_3 ? judge_1_3(messages, more) : judge_1_2(messages);
}

enum dg_message dg_messages_take(struct dg_messages *messages, const uint8_t *bytes, size_t size)
{
    enum dg_message result = DG_MESSAGE_NONE;

    if (size == 0) {
        return DG_MESSAGE_UNEXPECTED; /* RFC 8446 section 5.1: no empty fragments of handshake
                                         messages */
    }
    while (size > 0) {
        if (messages->skip > 0) {
            size_t part = messages->skip < size ? messages->skip : size;

            messages->skip -= part;
            bytes += part;
            size -= part;
            continue;
        }
        messages->head[messages->have++] = *bytes++;
        size--;
        if (is_whole(messages)) {
            enum dg_message message = judge(messages, size > 0);

            if (message != DG_MESSAGE_NONE) {
                result = message;
            }
            /* One answer does for several wishes to renegotiate; nothing goes on behind the others.
             */
            if (result != DG_MESSAGE_NONE && result != DG_MESSAGE_RENEGOTIATE) {
                return result;
            }
        }
    }
    return result;
}
