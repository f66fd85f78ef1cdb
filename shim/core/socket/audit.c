#include "shim/core/socket/audit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/report/log.h"
#include "shim/core/report/repeats.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/show.h"

/* Seconds in which a peer's refusals for one reason are logged once. */
enum { REFUSED_WINDOW = DG_REPEATS_MINUTE };
/* Who speaks plaintext is told once a day, as long as the connections come. */
enum { PLAINTEXT_WINDOW = 24 * 60 * 60 };
enum { REASON_SIZE = 512 };

/* How the kinds of dg_audit_plaintext() begin; no reason of a refusal does. */
#define PLAINTEXT_KIND "plaintext "

static const char *role(const struct dg_socket *socket)
{
    return socket->epmd ? "epmd" : "distribution";
}

static const char *direction(const struct dg_socket *socket)
{
    return socket->incoming ? "in" : "out";
}

/* NULL for none, so that the pair is left out. */
static const char *count_text(unsigned count, char text[16])
{
    (void)snprintf(text, 16, "%u", count);
    return count > 0 ? text : NULL;
}

static const char *or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void tell_overdue(void)
{
    struct dg_repeats_rest rest;
    char count[16];

    while (dg_repeats_overdue(&rest)) {
        if (strncmp(rest.reason, PLAINTEXT_KIND, strlen(PLAINTEXT_KIND)) == 0) {
            continue; /* nobody was refused; who comes again is told again */
        }
        dg_log(DG_LOG_WARNING, "refused", "peer", rest.peer, "reason", rest.reason, "repeated",
               count_text(rest.count, count), NULL);
    }
}

/* Whether a refusal is to be logged. Its port is another each time: the address counts. */
static bool is_news(const struct sockaddr_storage *peer, const char *reason, unsigned window,
                    unsigned *unsaid)
{
    char host[DG_NETWORK_TEXT] = "?";
    struct dg_host address;
    bool first;

    if (dg_address_host(peer, &address)) {
        dg_host_print(&address, host);
    }
    first = dg_repeats_first(host, reason, window, unsaid);
    tell_overdue();
    return first;
}

/* A peer that knows no TLS waits for more, or hangs up: what that means for the operator. */
static const char *explained(const struct dg_socket *socket, const char *reason,
                             char text[REASON_SIZE])
{
    if (socket->channel == NULL || dg_channel_was_answered(socket->channel)) {
        return reason;
    }
    (void)snprintf(text, REASON_SIZE,
                   "peer does not answer TLS (%s): if it speaks plaintext, put it into allow or "
                   "prefer first, or this node back into allow",
                   reason);
    return text;
}

static void refused(const struct dg_socket *socket, const char *why, const char *node,
                    const char *certificate, unsigned window)
{
    char peer[DG_ADDRESS_TEXT];
    char text[REASON_SIZE];
    const char *reason = explained(socket, why, text);
    char count[16];
    unsigned unsaid;

    dg_show_refused(socket, reason, node);
    if (!is_news(&socket->peer, reason, window, &unsaid)) {
        return;
    }
    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_WARNING, "refused", "peer", peer, "role", role(socket), "direction",
           direction(socket), "node", node, "certificate", or_null(certificate), "reason", reason,
           "repeated", count_text(unsaid, count), NULL);
}

void dg_audit_refused(const struct dg_socket *socket, const char *reason, const char *node)
{
    refused(socket, reason, node, NULL, REFUSED_WINDOW);
}

void dg_audit_denied(const struct dg_socket *socket, const char *reason)
{
    refused(socket, reason, NULL, NULL, 0);
}

void dg_audit_turned_away(const struct sockaddr_storage *from, const char *role, const char *reason)
{
    char peer[DG_ADDRESS_TEXT];
    char count[16];
    unsigned unsaid;

    dg_show_turned_away(from, strcmp(role, "epmd") == 0, reason);
    if (!is_news(from, reason, REFUSED_WINDOW, &unsaid)) {
        return;
    }
    dg_address_print(from, peer);
    dg_log(DG_LOG_WARNING, "refused", "peer", peer, "role", role, "direction", "in", "reason",
           reason, "repeated", count_text(unsaid, count), NULL);
}

void dg_audit_plaintext(struct dg_socket *socket)
{
    char peer[DG_ADDRESS_TEXT];
    char kind[DG_REPEATS_REASON];
    unsigned unsaid;

    dg_show_plaintext(socket);
    (void)snprintf(kind, sizeof kind, PLAINTEXT_KIND "%s %s %s %s", role(socket), direction(socket),
                   socket->plain_by, socket->node != NULL ? socket->node : "");
    if (!is_news(&socket->peer, kind, PLAINTEXT_WINDOW, &unsaid)) {
        return;
    }
    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_INFO, "plaintext", "peer", peer, "role", role(socket), "direction",
           direction(socket), "node", socket->node, "rule", socket->plain_by, NULL);
}

void dg_audit_admitted(struct dg_socket *socket)
{
    char peer[DG_ADDRESS_TEXT];

    dg_show_admitted(socket);
    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_INFO, "admitted", "peer", peer, "role", role(socket), "direction",
           direction(socket), "node", socket->node, "certificate",
           dg_channel_peer_certificate(socket->channel), "version",
           dg_channel_version(socket->channel), "cipher", dg_channel_cipher(socket->channel),
           "group", or_null(dg_channel_group(socket->channel)), NULL);
}

static void broken(const struct dg_socket *socket)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_INFO, "broken", "peer", peer, "role", role(socket), "direction",
           direction(socket), "node", socket->node, "reason", dg_channel_reason(socket->channel),
           NULL);
}

void dg_audit_channel(struct dg_socket *socket, enum dg_channel_state before)
{
    enum dg_channel_state now = dg_channel_get_state(socket->channel);

    if (now == before) {
        return;
    }
    /* To an EPMD nobody claims to be a node: its certificate is all there is to judge. */
    if (before == DG_CHANNEL_HANDSHAKE && socket->epmd && dg_channel_was_open(socket->channel)) {
        socket->admitted = true;
        dg_audit_admitted(socket);
    }
    if (now == DG_CHANNEL_FAILED && socket->admitted) {
        broken(socket);
    } else if (now == DG_CHANNEL_FAILED) {
        refused(socket, dg_channel_reason(socket->channel), socket->node,
                dg_channel_peer_certificate(socket->channel), REFUSED_WINDOW);
    }
}

void dg_audit_unsupported(const struct dg_socket *socket, const char *call)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_ERROR, "unsupported", "peer", peer, "call", call, "reason",
           "this call would pass by TLS", NULL);
}

void dg_audit_unwatched(int error)
{
    dg_log(DG_LOG_ERROR, "refused", "reason", error == EMFILE ? DG_TABLE_FULL : "out of memory",
           NULL);
}
