/*
 * What TLS says after the handshake. However records cut the messages, they mean the same, up to
 * the first that is an error; only a KeyUpdate must end with its record.
 *
 * Input: a byte (bit 0: TLS 1.2, bit 1: we are the server), then records: a length, bytes.
 */
#include "shim/core/tls/control.h"

#include <stdlib.h>

#include "tests/fuzz/support/bytes.h"

static enum dg_message take(struct dg_messages *messages, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = fuzz_copy(bytes, size);
    enum dg_message message = dg_messages_take(messages, copy, size);

    free(copy);
    if (messages->have > sizeof messages->head) {
        fuzz_fail("%zu bytes of a head of %zu", messages->have, sizeof messages->head);
    }
    return message;
}

static bool is_error(enum dg_message message)
{
    return message == DG_MESSAGE_UNEXPECTED || message == DG_MESSAGE_MALFORMED;
}

/* One record, and the same bytes one by one: an error in either is one in both, where the cut is
 * not itself what makes a KeyUpdate good. */
static void check_cutting(struct dg_messages whole, const uint8_t *bytes, size_t size)
{
    struct dg_messages cut = whole;
    enum dg_message at_once = take(&whole, bytes, size), last = DG_MESSAGE_NONE;

    for (size_t i = 0; i < size && last == DG_MESSAGE_NONE; i++) {
        last = take(&cut, bytes + i, 1);
    }
    if (at_once == DG_MESSAGE_NONE ? last != DG_MESSAGE_NONE
                                   : last == DG_MESSAGE_NONE && size > 0) {
        fuzz_fail("%zu bytes mean %d at once, %d one by one", size, at_once, last);
    }
}

static void check_alerts(const uint8_t *bytes, size_t size)
{
    for (int version = DG_TLS_1_2; version <= DG_TLS_1_3; version++) {
        enum dg_alert_meaning meaning = dg_alert_read(bytes, size, (enum dg_tls_version)version);

        if ((size != 2) != (meaning == DG_ALERT_MALFORMED) && version == DG_TLS_1_3) {
            fuzz_fail("an alert of %zu bytes means %d", size, meaning);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {.next = data, .left = size};
    uint8_t how = fuzz_byte(&bytes);
    struct dg_messages messages = {.version = (how & 1) != 0 ? DG_TLS_1_2 : DG_TLS_1_3,
                                   .client = (how & 2) == 0};

    while (bytes.left > 0) {
        const uint8_t *record;
        size_t length = fuzz_take(&bytes, &record, fuzz_size(&bytes));

        check_alerts(record, length);
        check_cutting(messages, record, length);
        if (is_error(take(&messages, record, length))) {
            break;
        }
    }
    return 0;
}
