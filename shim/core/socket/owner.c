#include "shim/core/socket/owner.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "shim/core/socket/users.h"

struct query {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

static void fill_end(const struct sockaddr_storage *address, __be16 *port, __be32 host[4])
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;

        *port = ipv4->sin_port;
        host[0] = ipv4->sin_addr.s_addr;
    } else {
        const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;

        *port = ipv6->sin6_port;
        memcpy(host, &ipv6->sin6_addr, sizeof ipv6->sin6_addr);
    }
}

static struct query make_query(const struct sockaddr_storage *peer,
                               const struct sockaddr_storage *own)
{
    struct query query = {
        .header = {.nlmsg_len = sizeof query,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = (__u8)peer->ss_family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1U << TCP_ESTABLISHED,
                    .id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };

    fill_end(peer, &query.request.id.idiag_sport, query.request.id.idiag_src);
    fill_end(own, &query.request.id.idiag_dport, query.request.id.idiag_dst);
    return query;
}

static int read_answer(const struct dg_real *real, const uint8_t *bytes, size_t size, uid_t *user)
{
    struct nlmsghdr header;
    struct inet_diag_msg answer;
    struct nlmsgerr error;

    if (size < sizeof header) {
        errno = EPROTO;
        return -1;
    }
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_type == NLMSG_ERROR && size >= NLMSG_LENGTH(sizeof error)) {
        memcpy(&error, bytes + NLMSG_HDRLEN, sizeof error);
        errno = error.error != 0 ? -error.error : EPROTO;
        return -1;
    }
    if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || size < NLMSG_LENGTH(sizeof answer)) {
        errno = EPROTO;
        return -1;
    }
    memcpy(&answer, bytes + NLMSG_HDRLEN, sizeof answer);
    /* An orphan, a socket in TIME_WAIT or one half open is shown as root's: whoever closes fast
     * would be root. */
    if (answer.idiag_state != TCP_ESTABLISHED || answer.idiag_inode == 0) {
        errno = ENOENT;
        return -1;
    }
    if (dg_user_is_shared(real, answer.idiag_uid)) {
        errno = EOVERFLOW;
        return -1;
    }
    *user = answer.idiag_uid;
    return 0;
}

int dg_socket_owner(const struct dg_real *real, const struct sockaddr_storage *peer,
                    const struct sockaddr_storage *own, uid_t *user)
{
    struct query query = make_query(peer, own);
    uint8_t answer[1024];
    int fd = real->socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    ssize_t size;
    int result = -1;
    int error;

    if (fd < 0) {
        return -1;
    }
    /* The kernel answers within the send; there is nothing to wait for. */
    if (real->send(fd, &query, sizeof query, MSG_DONTWAIT) == (ssize_t)sizeof query &&
        (size = real->recv(fd, answer, sizeof answer, MSG_DONTWAIT)) >= 0) {
        result = read_answer(real, answer, (size_t)size, user);
    }
    error = errno;
    real->close(fd);
    errno = error;
    return result;
}
