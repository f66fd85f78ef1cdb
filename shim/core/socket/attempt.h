/* One attempt at a call on a socket, as receiving and sending have in common. */
#ifndef DISTGUARD_SOCKET_ATTEMPT_H
#define DISTGUARD_SOCKET_ATTEMPT_H

#include "shim/core/socket/table.h"

/* What is to be done after one attempt at a call. */
enum dg_attempt {
    DG_ATTEMPT_PASS,      /* the real call */
    DG_ATTEMPT_DONE,      /* *result is the answer */
    DG_ATTEMPT_WAIT,      /* again, when the descriptor is ready; *result is -1, errno EAGAIN */
    DG_ATTEMPT_UNDECIDED, /* the same, and it is not known yet whether the socket will be guarded */
};

/* The caller's answer is -1 with this errno. */
enum dg_attempt dg_attempt_failed(ssize_t *result, int error);

/* What a channel's answer means for the caller. */
enum dg_attempt dg_attempt_of_channel(ssize_t value, ssize_t *result);

/* Where the kernel would say EFAULT, we must not fall. Other wrong addresses are not found out. */
bool dg_leads_nowhere(const struct iovec *vector, size_t count);

/*
 * The (locked) socket of a call that receives or sends. NULL where the attempt ends here: the
 * descriptor is none of ours, or is a connection to our distribution listener of which it is not
 * known what it will be, or that it is nothing good. Nothing is sent there before the peer has
 * spoken: who is connected to speaks second. *serial: see dg_table_lock_same().
 */
struct dg_socket *dg_attempt_begin(int fd, uint64_t *serial, bool sending, ssize_t *result,
                                   enum dg_attempt *attempt);

/* Whether a call with these flags waits. */
bool dg_is_blocking(int fd, int flags);

bool dg_is_guarded(int fd);

/* Whether nothing may pass this (locked) socket but by receive and send, where it is encrypted or
 * looked at first: it is guarded, is going to be, or asks an EPMD. */
bool dg_is_confined(const struct dg_socket *socket);

#endif
