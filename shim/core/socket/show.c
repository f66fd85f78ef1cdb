#include "shim/core/socket/show.h"

#include <stdio.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/report/refusal.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"

static enum dg_page_role role_of(bool epmd)
{
    return epmd ? DG_PAGE_EPMD : DG_PAGE_DISTRIBUTION;
}

static enum dg_page_direction direction_of(const struct dg_socket *socket)
{
    return socket->incoming ? DG_PAGE_IN : DG_PAGE_OUT;
}

/* The address without its port, which is another each time. */
static void print_host(const struct sockaddr_storage *peer, char text[DG_NETWORK_TEXT])
{
    struct dg_host host;

    (void)snprintf(text, DG_NETWORK_TEXT, "?");
    if (dg_address_host(peer, &host)) {
        dg_host_print(&host, text);
    }
}

/* --- connections --- */

static void tell(struct dg_socket *socket, const struct dg_status_connection *connection)
{
    if (socket->status == 0) {
        socket->status = dg_status_connected(connection);
    } else {
        dg_status_changed(socket->status, connection);
    }
}

/* What there is to say of any connection; `peer` is for the text of its address. */
static struct dg_status_connection describe(const struct dg_socket *socket,
                                            char peer[DG_ADDRESS_TEXT])
{
    dg_address_print(&socket->peer, peer);
    return (struct dg_status_connection){
        .role = role_of(socket->epmd),
        .direction = direction_of(socket),
        .state = socket->admitted ? DG_PAGE_OPEN : DG_PAGE_HANDSHAKE,
        .generation = socket->rules->generation,
        .peer = peer,
        .node = socket->node,
    };
}

void dg_show_connection(struct dg_socket *socket)
{
    char peer[DG_ADDRESS_TEXT];
    struct dg_status_connection connection = describe(socket, peer);

    connection.certificate = dg_channel_peer_certificate(socket->channel);
    connection.version = dg_channel_version(socket->channel);
    connection.cipher = dg_channel_cipher(socket->channel);
    connection.group = dg_channel_group(socket->channel);
    tell(socket, &connection);
}

void dg_show_moved(struct dg_socket *socket, enum dg_page_direction direction, ssize_t size)
{
    struct dg_channel_figures figures = dg_channel_figures(socket->channel);

    if (socket->status == 0) {
        dg_show_connection(socket);
    }
    if (size > 0) {
        dg_status_moved(socket->status, direction, (uint64_t)size);
    }
    dg_status_records(socket->status, figures.received, figures.sent, figures.key_updates);
}

void dg_show_admitted(struct dg_socket *socket)
{
    dg_status_admitted(role_of(socket->epmd), direction_of(socket));
    dg_show_connection(socket);
}

/* --- peers --- */

static struct dg_status_peer peer_of(const struct dg_socket *socket, char address[DG_NETWORK_TEXT],
                                     const char *node)
{
    print_host(&socket->peer, address);
    return (struct dg_status_peer){.role = role_of(socket->epmd),
                                   .direction = direction_of(socket),
                                   .address = address,
                                   .node = node};
}

void dg_show_refused(const struct dg_socket *socket, const char *reason, const char *node)
{
    char address[DG_NETWORK_TEXT];
    struct dg_status_peer peer = peer_of(socket, address, node);

    dg_status_refused(&peer, dg_refusal_class(reason), reason);
}

void dg_show_turned_away(const struct sockaddr_storage *from, bool epmd, const char *reason)
{
    char address[DG_NETWORK_TEXT];
    struct dg_status_peer peer = {
        .role = role_of(epmd), .direction = DG_PAGE_IN, .address = address};

    print_host(from, address);
    dg_status_refused(&peer, dg_refusal_class(reason), reason);
}

/* `local` and the modes have a word in common: where both are "allow" the mode is said, as the peer
 * that needs no step may rather be asked for one than the other way round. */
static enum dg_page_rule rule_of(const struct dg_socket *socket)
{
    enum dg_mode mode = socket->rules->policy->mode;

    if (mode == DG_MODE_REQUIRE || strcmp(socket->plain_by, dg_mode_name(mode)) != 0) {
        return DG_PAGE_LOCAL;
    }
    return mode == DG_MODE_ALLOW ? DG_PAGE_ALLOW : DG_PAGE_PREFER;
}

void dg_show_plaintext(struct dg_socket *socket)
{
    char text[DG_ADDRESS_TEXT];
    char address[DG_NETWORK_TEXT];
    struct dg_status_peer peer = peer_of(socket, address, socket->node);
    struct dg_status_connection connection = describe(socket, text);

    dg_status_plaintext(&peer, rule_of(socket));
    connection.state = DG_PAGE_PLAINTEXT;
    tell(socket, &connection);
}

/* --- listeners --- */

void dg_show_listener(struct dg_socket *socket, const struct sockaddr_storage *asked,
                      const struct sockaddr_storage *bound)
{
    bool epmd = dg_core.program.kind == DG_PROGRAM_EPMD;
    char wanted[DG_ADDRESS_TEXT];
    char given[DG_ADDRESS_TEXT];

    dg_address_print(asked, wanted);
    dg_address_print(bound, given);
    dg_status_closed(socket->status);
    socket->status = dg_status_listening(role_of(epmd), wanted, given);
}
