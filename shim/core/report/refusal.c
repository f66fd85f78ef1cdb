#include "shim/core/report/refusal.h"

#include <stddef.h>
#include <string.h>

/* The first that is found in the sentence counts: the narrower words come before the wider. */
static const struct {
    const char *words;
    enum dg_page_refusal refusal;
} classes[] = {
    {"if it speaks plaintext", DG_REFUSED_PLAINTEXT},
    {"gave way", DG_REFUSED_LIMIT},
    {"no room", DG_REFUSED_LIMIT},
    {"memory", DG_REFUSED_LIMIT},
    {"descriptor number beyond", DG_REFUSED_LIMIT},
    {"in time", DG_REFUSED_TIMEOUT},
    {"handshake_timeout", DG_REFUSED_TIMEOUT},
    {"keyupdate_limit", DG_REFUSED_LIMIT},
    {"hung up", DG_REFUSED_TIMEOUT},
    {"does not read", DG_REFUSED_TIMEOUT},
    {"remote_requests", DG_REFUSED_REQUEST},
    {"may ask of EPMD", DG_REFUSED_REQUEST},
    {"plaintext", DG_REFUSED_PLAINTEXT},
    {"neither TLS", DG_REFUSED_PLAINTEXT},
    {"no distribution handshake", DG_REFUSED_PLAINTEXT},
    {"not in ", DG_REFUSED_ADDRESS},
    {"listen", DG_REFUSED_ADDRESS},
    {"source address", DG_REFUSED_ADDRESS},
    {"connect_from", DG_REFUSED_ADDRESS},
    {"not enabled on this host", DG_REFUSED_ADDRESS},
    {"certificate", DG_REFUSED_CERTIFICATE},
    {"unknown CA", DG_REFUSED_CERTIFICATE},
    {"entry of peers", DG_REFUSED_CERTIFICATE},
    {"node_names", DG_REFUSED_CERTIFICATE},
    {"node name that it claims", DG_REFUSED_CERTIFICATE},
    {"TLS", DG_REFUSED_TLS},
    {"alert", DG_REFUSED_TLS},
    {"record", DG_REFUSED_TLS},
    {"close_notify", DG_REFUSED_TLS},
    {"post-handshake", DG_REFUSED_TLS},
};

enum dg_page_refusal dg_refusal_class(const char *reason)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strstr(reason, classes[i].words) != NULL) {
            return classes[i].refusal;
        }
    }
    return DG_REFUSED_OTHER;
}
