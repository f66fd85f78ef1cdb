/* Which program this is, and what it was told of EPMD. */
#ifndef DISTGUARD_CORE_PROGRAM_H
#define DISTGUARD_CORE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/error.h"

enum dg_program_kind {
    DG_PROGRAM_VM,
    DG_PROGRAM_C_NODE, /* erl_call, or another: its calls may block, and have no patience for EAGAIN
                        */
    DG_PROGRAM_EPMD,
};

struct dg_program {
    enum dg_program_kind kind;
    uint16_t epmd_port; /* host byte order */
    /* Ports at which the command line has the VM listen for distribution; 0 to 0 where it does not
     * say. */
    uint16_t listen_first;
    uint16_t listen_last;
    bool native_tls; /* the VM's distribution speaks TLS by itself (-proto_dist inet_tls) */
};

/* Whether the command line has the VM listen for distribution at this port. */
bool dg_program_listens_at(const struct dg_program *program, uint16_t port);

/*
 * Learns the distribution port, where the command line tells it (`-erl_epmd_port N`, the kernel
 * parameters erl_epmd_node_listen_port, inet_dist_listen_min and inet_dist_listen_max;
 * lib/kernel/src/erl_epmd.erl listen_port_please/2, inet_tcp_dist.erl gen_listen/3). What a release
 * has in sys.config cannot be seen from here.
 *
 * Learns the EPMD port as the VM does: `-epmd_port N` of the command line (erlexec turns
 * ERL_EPMD_PORT into it), else ERL_EPMD_PORT, else 4369. (lib/kernel/src/erl_epmd.erl
 * get_epmd_port/0, erts/etc/common/erlexec.c)
 *
 * Returns 0; or -1 with `error` where the command line cannot be read: which sockets are
 * distribution's would be a guess then.
 */
int dg_program_read(const char *name, struct dg_program *program, struct dg_error *error);

#endif
