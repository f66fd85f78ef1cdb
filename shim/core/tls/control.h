/* What TLS itself says after the handshake: alerts, KeyUpdate, NewSessionTicket. Bytes in, meaning
 * out. */
#ifndef DISTGUARD_TLS_CONTROL_H
#define DISTGUARD_TLS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptions of alerts (RFC 8446 section 6) */
enum dg_alert {
    DG_ALERT_CLOSE_NOTIFY = 0,
    DG_ALERT_UNEXPECTED_MESSAGE = 10,
    DG_ALERT_BAD_RECORD_MAC = 20,
    DG_ALERT_RECORD_OVERFLOW = 22,
    DG_ALERT_ACCESS_DENIED = 49,
    DG_ALERT_DECODE_ERROR = 50,
    DG_ALERT_INTERNAL_ERROR = 80,
    DG_ALERT_USER_CANCELED = 90,
};

enum { DG_KEY_UPDATE_SIZE = 5 };

/* KeyUpdate, update_not_requested (RFC 8446 section 4.6.3) */
extern const uint8_t dg_key_update[DG_KEY_UPDATE_SIZE];

/* Post-handshake messages, which may be cut by records anywhere; zero at first. */
struct dg_messages {
    uint8_t head[DG_KEY_UPDATE_SIZE]; /* of the message that is coming */
    size_t have;
    size_t skip; /* bytes of a NewSessionTicket still to come */
};

enum dg_message {
    DG_MESSAGE_NONE,                 /* nothing to be done */
    DG_MESSAGE_KEY_UPDATE,           /* the peer's next record is under its next keys */
    DG_MESSAGE_KEY_UPDATE_REQUESTED, /* and ours shall be, too */
    DG_MESSAGE_UNEXPECTED,           /* alert unexpected_message */
    DG_MESSAGE_MALFORMED,            /* alert decode_error */
};

/* Takes the content of one handshake record. Tickets, which we ask for by nothing and use for
 * nothing, are passed over where we are the client. */
enum dg_message dg_messages_take(struct dg_messages *messages, const uint8_t *bytes, size_t size,
                                 bool client);

#endif
