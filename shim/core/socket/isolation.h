/* Network isolation: where the policy lets programs listen, to whom they may connect, and who may
 * connect to them. */
#ifndef DISTGUARD_SOCKET_ISOLATION_H
#define DISTGUARD_SOCKET_ISOLATION_H

#include "policy/policy.h"
#include "shim/core/socket/table.h"

enum dg_bind_verdict {
    DG_BIND_KEEP,
    DG_BIND_MOVE, /* to *to */
    DG_BIND_REFUSE,
};

/*
 * What is to become of a listener that a program wants at `asked`. A wildcard is moved to the
 * designated address of its family; where the policy designates only IPv4, an IPv6 socket that is
 * not `v6only` is moved there too, as it can. An explicit address is kept where the policy permits
 * it, and refused otherwise.
 */
enum dg_bind_verdict dg_judge_bind(const struct dg_bind_list *rules, const struct dg_host *asked,
                                   bool v6only, struct dg_host *to, struct dg_error *error);

/*
 * Before ALIVE2_REQ with this port leaves: the node's listener is where the policy wants it, or is
 * moved there. Returns 0, or -1 with `error`: then the node must not be announced.
 */
int dg_isolate_listener(const struct dg_policy *policy, uint16_t port, struct dg_error *error);

/* Before connect(2) to the locked socket's peer: 0, or an errno to refuse it with (and `error`);
 * binds the source address that the policy wants. */
int dg_isolate_connect(struct dg_socket *socket, int fd, struct dg_error *error);

/* Whether a connected socket that turns out to be distribution's has a source address that the
 * policy wants: where nobody named the destination's port, dg_isolate_connect() has left it alone.
 */
bool dg_is_source_right(const struct dg_policy *policy, int fd, const struct sockaddr_storage *peer,
                        struct dg_error *error);

/* Whether an IPv6 socket takes no IPv4. */
bool dg_is_v6only(int fd);

/* Whether the policy has this program listen for distribution at all. */
bool dg_may_listen(const struct dg_policy *policy, struct dg_error *error);

/* Whether the policy lets distribution connect to this peer at all, or be connected from it. */
bool dg_may_connect(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                    struct dg_error *error);
bool dg_may_accept(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                   struct dg_error *error);

/* Whether epmd may take a connection of this peer at this address of ours. The address matters
 * where systemd has bound the listener; `foreign` says that. */
bool dg_epmd_may_accept(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                        const struct sockaddr_storage *own, bool foreign, struct dg_error *error);

/* Whether connections accepted or listeners made at this port are distribution's: by the policy,
 * the command line, or a registration with EPMD. */
bool dg_is_distribution_port(const struct dg_policy *policy, uint16_t port);
/* The same, but for registrations: what is known before the program binds. */
bool dg_is_announced_port(const struct dg_policy *policy, uint16_t port);

/* ERL_EPMD_ADDRESS as the policy wants it, for epmd, before its main(); left alone where it is set
 * already, as bind is held to the policy all the same. 0, or -1 with `error`. */
int dg_prepare_epmd(const struct dg_policy *policy, struct dg_error *error);

/* All rules of the policy can be placed on this host. 0, or -1 with `error`. */
int dg_check_placement(const struct dg_policy *policy, struct dg_error *error);

#endif
