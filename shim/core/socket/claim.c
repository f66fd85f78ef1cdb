#include "shim/core/socket/claim.h"

#include <stdlib.h>
#include <string.h>

#include "shim/core/rules.h"
#include "shim/core/socket/audit.h"
#include "shim/core/socket/in_flight.h"
#include "shim/core/socket/local.h"

void dg_claim_note(struct dg_socket *socket, const struct dg_dist_claim *claim)
{
    size_t mark = claim->dynamic ? 1 : 0;
    char *node = malloc(mark + claim->size + 1);

    if (node == NULL) {
        return; /* it is refused, or goes unnamed in the log */
    }
    node[0] = '@';
    memcpy(node + mark, claim->name, claim->size);
    node[mark + claim->size] = '\0';
    free(socket->node);
    socket->node = node;
}

/* Nodes of one host are often called a@localhost, or by a short name, which no certificate has.
 * What may come in plaintext may come so, too. */
static bool is_local(const struct dg_socket *socket, int fd)
{
    struct sockaddr_storage own;
    char reason[160];

    return dg_peer_is_local(socket, fd, &own) &&
           dg_local_is_allowed(socket, &own, reason, sizeof reason);
}

bool dg_claim_is_admitted(struct dg_socket *socket, int fd, const struct dg_dist_claim *claim)
{
    const struct dg_identity *identity = dg_channel_identity(socket->channel);
    struct dg_error why = {"out of memory"};

    dg_claim_note(socket, claim);
    /* Not strlen(socket->node): a NUL in a name must not end it here. */
    if (socket->node == NULL ||
        (!dg_policy_admits_node(socket->rules->policy, identity, socket->node,
                                claim->size + (claim->dynamic ? 1 : 0), &why) &&
         !is_local(socket, fd))) {
        dg_channel_refuse(socket->channel, fd, why.text);
        return false;
    }
    socket->admitted = true;
    dg_in_flight_leave(fd);
    dg_audit_admitted(socket);
    return true;
}
