#include "shim/core/socket/audit.h"

#include "shim/core/report/log.h"
#include "shim/core/socket/address.h"

static const char *role(const struct dg_socket *socket)
{
    return socket->epmd ? "epmd" : "distribution";
}

static const char *direction(const struct dg_socket *socket)
{
    return socket->incoming ? "in" : "out";
}

void dg_audit_refused(const struct dg_socket *socket, const char *reason, const char *node)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_WARNING, "refused", "peer", peer, "role", role(socket), "direction",
           direction(socket), "node", node, "reason", reason, NULL);
}

void dg_audit_turned_away(const struct sockaddr_storage *from, const char *role, const char *reason)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(from, peer);
    dg_log(DG_LOG_WARNING, "refused", "peer", peer, "role", role, "direction", "in", "reason",
           reason, NULL);
}

void dg_audit_plaintext(const struct dg_socket *socket, const char *rule)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_INFO, "plaintext", "peer", peer, "role", role(socket), "direction",
           direction(socket), "rule", rule, NULL);
}

static void admitted(const struct dg_socket *socket, const char *peer)
{
    dg_log(DG_LOG_INFO, "admitted", "peer", peer, "role", role(socket), "direction",
           direction(socket), "certificate", dg_channel_peer_certificate(socket->channel),
           "version", dg_channel_version(socket->channel), "cipher",
           dg_channel_cipher(socket->channel), NULL);
}

void dg_audit_channel(const struct dg_socket *socket, enum dg_channel_state before)
{
    enum dg_channel_state now = dg_channel_get_state(socket->channel);
    bool was_open = dg_channel_was_open(socket->channel);
    char peer[DG_ADDRESS_TEXT];

    if (now == before) {
        return;
    }
    dg_address_print(&socket->peer, peer);
    if (before == DG_CHANNEL_HANDSHAKE && was_open) {
        admitted(socket, peer);
    }
    if (now == DG_CHANNEL_FAILED) {
        dg_log(was_open ? DG_LOG_INFO : DG_LOG_WARNING, was_open ? "broken" : "refused", "peer",
               peer, "role", role(socket), "direction", direction(socket), "reason",
               dg_channel_reason(socket->channel), NULL);
    }
}

void dg_audit_unsupported(const struct dg_socket *socket, const char *call)
{
    char peer[DG_ADDRESS_TEXT];

    dg_address_print(&socket->peer, peer);
    dg_log(DG_LOG_ERROR, "unsupported", "peer", peer, "call", call, "reason",
           "this call would pass by TLS", NULL);
}
