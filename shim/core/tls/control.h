/* What TLS itself says after the handshake: alerts, KeyUpdate, NewSessionTicket; in TLS 1.2 the
 * wish to renegotiate. Bytes in, meaning out. */
#ifndef DISTGUARD_TLS_CONTROL_H
#define DISTGUARD_TLS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

/* In TLS 1.3 an alert's description alone counts, in TLS 1.2 a warning ends nothing. */
enum dg_alert_level {
    DG_ALERT_WARNING = 1,
    DG_ALERT_FATAL = 2,
};

/* Descriptions of alerts (RFC 8446 section 6, RFC 5246 section 7.2) */
enum dg_alert {
    DG_ALERT_CLOSE_NOTIFY = 0,
    DG_ALERT_UNEXPECTED_MESSAGE = 10,
    DG_ALERT_BAD_RECORD_MAC = 20,
    DG_ALERT_RECORD_OVERFLOW = 22,
    DG_ALERT_ACCESS_DENIED = 49,
    DG_ALERT_DECODE_ERROR = 50,
    DG_ALERT_INTERNAL_ERROR = 80,
    DG_ALERT_USER_CANCELED = 90,
    DG_ALERT_NO_RENEGOTIATION = 100, /* TLS 1.2 */
};

enum dg_alert_meaning {
    DG_ALERT_MEANS_NOTHING,
    DG_ALERT_MEANS_CLOSED,
    DG_ALERT_MEANS_FAILURE,
    DG_ALERT_MALFORMED, /* alert decode_error */
};

/* What the alert of a record's content means to the one who gets it. */
enum dg_alert_meaning dg_alert_read(const uint8_t *bytes, size_t size, enum dg_tls_version version);

/* The level that RFC 5246 wants with it. */
enum dg_alert_level dg_alert_level(enum dg_alert alert);

enum { DG_KEY_UPDATE_SIZE = 5 };

/* KeyUpdate, update_not_requested (RFC 8446 section 4.6.3) */
extern const uint8_t dg_key_update[DG_KEY_UPDATE_SIZE];

/* Post-handshake messages, which may be cut by records anywhere; zero at first, but for what is
 * said of the reader. */
struct dg_messages {
    enum dg_tls_version version;
    bool client;
    uint8_t head[DG_KEY_UPDATE_SIZE]; /* of the message that is coming */
    size_t have;
    size_t skip; /* bytes still to come of a message that is passed over */
};

enum dg_message {
    DG_MESSAGE_NONE,                 /* nothing to be done */
    DG_MESSAGE_KEY_UPDATE,           /* the peer's next record is under its next keys */
    DG_MESSAGE_KEY_UPDATE_REQUESTED, /* and ours shall be, too */
    DG_MESSAGE_RENEGOTIATE,          /* refused by a warning, no_renegotiation */
    DG_MESSAGE_UNEXPECTED,           /* alert unexpected_message */
    DG_MESSAGE_MALFORMED,            /* alert decode_error */
};

/* Takes the content of one handshake record. Tickets, which we ask for by nothing and use for
 * nothing, are passed over where we are the client. */
enum dg_message dg_messages_take(struct dg_messages *messages, const uint8_t *bytes, size_t size);

#endif
