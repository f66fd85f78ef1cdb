/*
 * A node that joins: the distribution handshake inside a guarded connection, until its ack passes.
 *
 * What the peer claims to be is held against its certificate before the program sees a byte of it.
 * And as OTP's own TLS distribution (`-proto_dist inet_tls`) frames the handshake's messages with
 * 4-byte lengths where the program reads and writes 2-byte ones, the frames are rewritten in
 * passing, so that on the wire it is one protocol.
 *
 * Both directions keep the channel's promises to a level-triggered poller (tls/channel.h). Reading:
 * a message's last byte is taken from the channel only when the program takes it. Writing: while
 * what was rewritten is not with the channel, the program is told that one byte less was taken.
 */
#ifndef DISTGUARD_SOCKET_JOINING_H
#define DISTGUARD_SOCKET_JOINING_H

#include <sys/uio.h>

#include "shim/core/socket/table.h"

struct dg_joining;

/* NULL where memory is out. */
struct dg_joining *dg_joining_new(bool we_accept);
void dg_joining_free(struct dg_joining *joining);

/* As dg_channel_receive() and dg_channel_send(), of the locked socket's channel; with its joining
 * in between as long as it lasts. */
ssize_t dg_joining_receive(struct dg_socket *socket, int fd, const struct iovec *vector, int count,
                           bool peek);
ssize_t dg_joining_send(struct dg_socket *socket, int fd, const struct iovec *vector, int count);

/* As dg_channel_readable(). */
ssize_t dg_joining_readable(struct dg_socket *socket, int fd);

#endif
