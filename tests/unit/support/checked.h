/*
 * A channel's calls, with what they promise checked after every one of them: the two readiness
 * promises of channel.h, and that nothing of ours is left in OpenSSL's error queue, whatever was in
 * it before.
 */
#ifndef DISTGUARD_TESTS_CHECKED_H
#define DISTGUARD_TESTS_CHECKED_H

#include "shim/core/tls/channel.h"
#include "tests/unit/support/kernel.h"

/* Both ends of a connection over the simulated kernel; a descriptor is the end's index. */
struct ends {
    struct dg_channel *channel[2];
};

/* What failures name: the schedule's seed. */
extern uint64_t checked_seed;

/* `client` and `server` must outlive the channels. */
struct ends ends_new(const struct dg_credentials *client, const struct dg_credentials *server);
void ends_free(struct ends *ends);
/* Handshake by receive alone, which must work. */
void ends_handshake(struct ends *ends);

ssize_t checked_receive(struct ends *ends, int fd, const struct iovec *vector, int count,
                        bool peek);
ssize_t checked_send(struct ends *ends, int fd, const struct iovec *vector, int count);
ssize_t checked_readable(struct ends *ends, int fd);

/* The same from and to one piece of memory. */
ssize_t receive_bytes(struct ends *ends, int fd, void *bytes, size_t size);
ssize_t send_bytes(struct ends *ends, int fd, const void *bytes, size_t size);

/* Calls of `end` that must give this. */
void assert_eagain(struct ends *ends, int fd);
void assert_text(struct ends *ends, int fd, const char *text);
void assert_failed(struct ends *ends, int fd, int error, const char *reason);

#endif
