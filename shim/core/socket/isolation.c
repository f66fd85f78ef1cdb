#include "shim/core/socket/isolation.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/core.h"
#include "shim/core/report/log.h"
#include "shim/core/rules.h"
#include "shim/core/socket/address.h"
#include "shim/core/socket/learned.h"
#include "shim/core/socket/placement.h"
#include "shim/core/socket/relocate.h"
#include "shim/core/socket/show.h"

enum { PLACE_TEXT = 300 };

static const char *place_text(const struct dg_place *place, char text[PLACE_TEXT])
{
    if (place->file == NULL) {
        return "default";
    }
    (void)snprintf(text, PLACE_TEXT, "%s:%u", place->file, place->line);
    return text;
}

/* Of a range on the command line the VM takes one port. Once it has registered that, the others are
 * the application's: a web server at 9090 beside inet_dist_listen_min 9000 and max 9999. */
static bool is_range_used_up(void)
{
    return dg_core.program.listen_first != dg_core.program.listen_last && dg_has_learned_listener();
}

bool dg_is_announced_port(const struct dg_policy *policy, uint16_t port)
{
    return dg_policy_port_listed(&policy->distribution.ports, port) ||
           (dg_program_listens_at(&dg_core.program, port) && !is_range_used_up());
}

bool dg_is_distribution_port(const struct dg_policy *policy, uint16_t port)
{
    return dg_is_learned_listener(port) || dg_is_announced_port(policy, port);
}

/* --- listeners --- */

static enum dg_bind_verdict judge_wildcard(const struct dg_bind_list *rules, enum dg_family family,
                                           bool v6only, struct dg_host *to, struct dg_error *error)
{
    const struct dg_bind_rule *rule;

    switch (dg_place_listener(rules, family, to, &rule, error)) {
    case DG_PLACEMENT_FOUND:
        return DG_BIND_MOVE;
    case DG_PLACEMENT_ANY:
        return DG_BIND_KEEP;
    case DG_PLACEMENT_OTHER_FAMILY:
        if (family == DG_FAMILY_IPV6 && !v6only) {
            return judge_wildcard(rules, DG_FAMILY_IPV4, true, to, error);
        }
        (void)dg_fail(error, "the policy designates no %s address for this listener",
                      family == DG_FAMILY_IPV6 ? "IPv6" : "IPv4");
        return DG_BIND_REFUSE;
    case DG_PLACEMENT_FAILED:
    default:
        return DG_BIND_REFUSE;
    }
}

enum dg_bind_verdict dg_judge_bind(const struct dg_bind_list *rules, const struct dg_host *asked,
                                   bool v6only, struct dg_host *to, struct dg_error *error)
{
    char host[DG_NETWORK_TEXT];
    char place[PLACE_TEXT];

    if (dg_host_is_wildcard(asked)) {
        return judge_wildcard(rules, asked->family, v6only, to, error);
    }
    if (dg_place_permits(rules, asked)) {
        return DG_BIND_KEEP;
    }
    dg_host_print(asked, host);
    (void)dg_fail(error,
                  "the program wants to listen at %s, which is not where the policy wants it (%s)",
                  host, place_text(&rules->rules[0].place, place));
    return DG_BIND_REFUSE;
}

bool dg_is_v6only(int fd)
{
    int on = 0;
    socklen_t size = sizeof on;

    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &size) == 0 && on != 0;
}

/* `before`: where it was, which is what the program asked for unless bind(2) moved it already. */
static void show_listener(struct dg_socket *socket, int fd, const struct sockaddr_storage *before)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;

    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0) {
        dg_show_listener(socket,
                         dg_address_is_internet(socket->peer.ss_family) ? &socket->peer : before,
                         &bound);
    }
}

static int isolate_one(const struct dg_policy *policy, struct dg_socket *socket, int fd,
                       struct dg_error *error)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    struct dg_host asked;
    struct dg_host to;
    int result = 0;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        !dg_address_host(&address, &asked)) {
        return dg_fail(error, "the address of the distribution listener cannot be read: %s",
                       strerror(errno));
    }
    switch (dg_judge_bind(&policy->distribution.bind, &asked,
                          address.ss_family == AF_INET6 && dg_is_v6only(fd), &to, error)) {
    case DG_BIND_KEEP:
        break;
    case DG_BIND_MOVE:
        result = dg_relocate(fd, &to, socket->backlog, error);
        break;
    case DG_BIND_REFUSE:
    default:
        return -1;
    }
    if (result == 0) {
        show_listener(socket, fd, &address);
    }
    return result;
}

int dg_isolate_listener(const struct dg_policy *policy, uint16_t port, struct dg_error *error)
{
    unsigned found = 0;
    int result = 0;

    for (int fd = 0; fd < dg_table_end() && result == 0; fd++) {
        struct dg_socket *socket;

        if (atomic_load(&dg_table[fd]) == NULL || dg_table_role(fd) != DG_ROLE_LISTENER) {
            continue;
        }
        socket = dg_table_lock(fd);
        if (socket == NULL) {
            continue;
        }
        if (socket->role == DG_ROLE_LISTENER && socket->port == port) {
            result = isolate_one(policy, socket, fd, error);
            found++;
        }
        dg_table_unlock(socket);
    }
    if (found == 0) {
        return dg_fail(error,
                       "the listener of port %u, which is to be registered with EPMD, is not one "
                       "that this program made: it cannot be guarded",
                       port);
    }
    return result;
}

/* --- connections --- */

static bool allowed(const struct dg_network_list *list, const struct sockaddr_storage *peer,
                    const char *what, struct dg_error *error)
{
    char place[PLACE_TEXT];
    struct dg_host host;
    bool open = false;

    if (!dg_address_host(peer, &host)) {
        (void)dg_fail(error, "peer is of an unknown address family");
        return false;
    }
    /* This very host is `local`'s to speak of, by whichever of its addresses it comes. */
    if (dg_policy_allows(list, &host, &open) != NULL || open || dg_place_is_own(&host)) {
        return true;
    }
    (void)dg_fail(error, "not in %s (%s)", what, place_text(&list->place, place));
    return false;
}

bool dg_may_listen(const struct dg_policy *policy, struct dg_error *error)
{
    char place[PLACE_TEXT];

    if (policy->distribution.enabled) {
        return true;
    }
    (void)dg_fail(error, "distribution is not enabled on this host (%s)",
                  place_text(&policy->distribution.enabled_place, place));
    return false;
}

bool dg_may_connect(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                    struct dg_error *error)
{
    return dg_may_listen(policy, error) &&
           allowed(&policy->distribution.allow_to, peer, "distribution.allow_to", error);
}

bool dg_may_accept(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                   struct dg_error *error)
{
    return dg_may_listen(policy, error) &&
           allowed(&policy->distribution.allow_from, peer, "distribution.allow_from", error);
}

/* Whether the program has bound the socket itself, and where. */
static bool is_bound(int fd, struct dg_host *host)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;

    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
           dg_address_port(&address) != 0 && dg_address_host(&address, host);
}

static void fail_source(const struct dg_bind_list *rules, const struct dg_host *source,
                        const char *remedy, struct dg_error *error)
{
    char host[DG_NETWORK_TEXT];
    char place[PLACE_TEXT];

    dg_host_print(source, host);
    (void)dg_fail(error, "its source address %s is not one of distribution.connect_from (%s); %s",
                  host, place_text(&rules->rules[0].place, place), remedy);
}

/* The port is chosen by connect, which knows the destination, so that many connections can share
 * one. */
static int bind_source(int fd, const struct dg_host *source)
{
    struct sockaddr_storage address;
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;
    int on = 1;

    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    size = dg_address_make(domain, source, 0, &address);
    (void)dg_core.real.setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return size == 0 ? -1 : dg_core.real.bind(fd, (struct sockaddr *)&address, size);
}

/* A source that the release has chosen (inet_dist_connect_options) is kept where the policy permits
 * it; where it has chosen a port alone, that port is used at the right address. */
static int use_source(const struct dg_bind_list *rules, int fd, const struct dg_host *source,
                      struct dg_error *error)
{
    struct dg_host chosen;
    int failure;

    if (!is_bound(fd, &chosen)) {
        if (bind_source(fd, source) == 0) {
            return 0;
        }
        failure = errno;
        (void)dg_fail(error, "the source address cannot be set: %s", strerror(failure));
        return failure;
    }
    if (dg_host_is_wildcard(&chosen)) {
        return dg_relocate_source(fd, source, error) == 0 ? 0 : EADDRNOTAVAIL;
    }
    if (dg_place_permits(rules, &chosen)) {
        return 0;
    }
    fail_source(rules, &chosen,
                "the release chose it (inet_dist_connect_options): change one of the two", error);
    return EADDRNOTAVAIL;
}

static int set_source(const struct dg_bind_list *rules, int fd, const struct dg_host *destination,
                      struct dg_error *error)
{
    const struct dg_bind_rule *rule;
    struct dg_host source;

    if (dg_host_is_loopback(destination)) {
        return 0;
    }
    switch (dg_place_listener(rules, destination->family, &source, &rule, error)) {
    case DG_PLACEMENT_FOUND:
        return use_source(rules, fd, &source, error);
    case DG_PLACEMENT_ANY:
        return 0;
    case DG_PLACEMENT_OTHER_FAMILY:
        (void)dg_fail(error,
                      "distribution.connect_from has no address of the destination's family");
        return EADDRNOTAVAIL;
    case DG_PLACEMENT_FAILED:
    default:
        return EADDRNOTAVAIL;
    }
}

bool dg_is_source_right(const struct dg_policy *policy, int fd, const struct sockaddr_storage *peer,
                        struct dg_error *error)
{
    const struct dg_bind_list *rules = &policy->distribution.connect_from;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    struct sockaddr_storage own;
    struct dg_host source;

    if (rules->count == 0) {
        return true;
    }
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        (void)dg_fail(error,
                      "its source address, which distribution.connect_from chooses, cannot "
                      "be read: %s",
                      strerror(errno));
        return false;
    }
    own = dg_address_from((struct sockaddr *)&address, size);
    if (dg_address_is_local(peer, &own) || !dg_address_host(&own, &source) ||
        dg_place_permits(rules, &source)) {
        return true;
    }
    fail_source(rules, &source,
                "that this is distribution was known too late to choose it: name the "
                "destination's port in distribution.ports",
                error);
    return false;
}

int dg_isolate_connect(struct dg_socket *socket, int fd, struct dg_error *error)
{
    const struct dg_policy *policy = socket->rules->policy;
    bool epmd = socket->role == DG_ROLE_EPMD_ASKING;
    struct dg_host destination;

    if (!dg_address_host(&socket->peer, &destination)) {
        return 0;
    }
    if (epmd && policy->distribution.enabled) {
        if (!allowed(&policy->epmd.allow_to, &socket->peer, "epmd.allow_to", error)) {
            return EACCES;
        }
    } else if ((epmd || socket->expected) && !dg_may_connect(policy, &socket->peer, error)) {
        return EACCES;
    }
    if (epmd || socket->expected || dg_is_announced_port(policy, dg_address_port(&socket->peer))) {
        return set_source(&policy->distribution.connect_from, fd, &destination, error);
    }
    return 0;
}

/* --- epmd --- */

static void warn_once(const char *own)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&warned)) {
        dg_log(DG_LOG_WARNING, "not_bound", "role", "epmd", "address", own, "reason",
               "this listener was bound by systemd, outside the policy: connections are filtered "
               "as they "
               "come, but the port stays visible; install a drop-in for epmd.socket with "
               "ListenStream= "
               "(empty) and one ListenStream=ADDRESS:4369 for loopback and each designated address",
               NULL);
    }
}

bool dg_epmd_may_accept(const struct dg_policy *policy, const struct sockaddr_storage *peer,
                        const struct sockaddr_storage *own, bool foreign, struct dg_error *error)
{
    char address[DG_ADDRESS_TEXT];
    struct dg_host host;

    if (!allowed(&policy->epmd.allow_from, peer, "epmd.allow_from", error)) {
        return false;
    }
    if (!foreign || !dg_address_host(own, &host)) {
        return true;
    }
    if (dg_place_permits(&policy->epmd.bind, &host)) {
        return true;
    }
    dg_address_print(own, address);
    warn_once(address);
    (void)dg_fail(error, "it came in at %s, where the policy (epmd.bind) wants no listener",
                  address);
    return false;
}

static void add_address(char *list, size_t size, const struct dg_host *host)
{
    char text[DG_NETWORK_TEXT];
    size_t used = strlen(list);

    dg_host_print(host, text);
    (void)snprintf(list + used, size - used, "%s%s", used > 0 ? "," : "", text);
}

int dg_prepare_epmd(const struct dg_policy *policy, struct dg_error *error)
{
    static const enum dg_family families[] = {DG_FAMILY_IPV4, DG_FAMILY_IPV6};
    const char *given = getenv("ERL_EPMD_ADDRESS");
    char list[2 * DG_NETWORK_TEXT + 1] = "";

    if (given != NULL && given[0] != '\0') {
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        const struct dg_bind_rule *rule;
        struct dg_host host;

        switch (dg_place_listener(&policy->epmd.bind, families[i], &host, &rule, error)) {
        case DG_PLACEMENT_FOUND:
            add_address(list, sizeof list, &host);
            break;
        case DG_PLACEMENT_ANY:
            return 0;
        case DG_PLACEMENT_OTHER_FAMILY:
            break;
        case DG_PLACEMENT_FAILED:
        default:
            return -1;
        }
    }
    return setenv("ERL_EPMD_ADDRESS", list, 1) == 0 ? 0 : dg_fail(error, "out of memory");
}

int dg_check_placement(const struct dg_policy *policy, struct dg_error *error)
{
    if (dg_place_check(&policy->epmd.bind, "epmd.bind", error) != 0) {
        return -1;
    }
    if (dg_core.program.kind == DG_PROGRAM_EPMD || !policy->distribution.enabled) {
        return 0;
    }
    return dg_place_check(&policy->distribution.bind, "distribution.bind", error) != 0
               ? -1
               : dg_place_check(&policy->distribution.connect_from, "distribution.connect_from",
                                error);
}
