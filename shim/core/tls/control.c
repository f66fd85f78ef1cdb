#include "shim/core/tls/control.h"

enum { NEW_SESSION_TICKET = 4, KEY_UPDATE = 24, MESSAGE_HEAD = 4 };

const uint8_t dg_key_update[DG_KEY_UPDATE_SIZE] = {KEY_UPDATE, 0, 0, 1, 0};

static size_t message_size(const struct dg_messages *messages)
{
    return ((size_t)messages->head[1] << 16) | ((size_t)messages->head[2] << 8) | messages->head[3];
}

/* The head is whole, and for a KeyUpdate its one byte, too. `more`: bytes follow it in the same
 * record. */
static enum dg_message judge(struct dg_messages *messages, bool client, bool more)
{
    switch (messages->head[0]) {
    case NEW_SESSION_TICKET:
        messages->skip = message_size(messages);
        return client ? DG_MESSAGE_NONE : DG_MESSAGE_UNEXPECTED;
    case KEY_UPDATE:
        if (message_size(messages) != 1 || messages->head[MESSAGE_HEAD] > 1) {
            return DG_MESSAGE_MALFORMED;
        }
        if (more) { /* keys change at a record's boundary, or somebody could mix generations */
            return DG_MESSAGE_UNEXPECTED;
        }
        return messages->head[MESSAGE_HEAD] == 1 ? DG_MESSAGE_KEY_UPDATE_REQUESTED
                                                 : DG_MESSAGE_KEY_UPDATE;
    default:
        return DG_MESSAGE_UNEXPECTED;
    }
}

static bool is_whole(const struct dg_messages *messages)
{
    size_t needed = messages->head[0] == KEY_UPDATE ? DG_KEY_UPDATE_SIZE : MESSAGE_HEAD;

    return messages->have > 0 && messages->have == needed;
}

enum dg_message dg_messages_take(struct dg_messages *messages, const uint8_t *bytes, size_t size,
                                 bool client)
{
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
            enum dg_message message = judge(messages, client, size > 0);

            messages->have = 0;
            if (message != DG_MESSAGE_NONE) {
                return message;
            }
        }
    }
    return DG_MESSAGE_NONE;
}
