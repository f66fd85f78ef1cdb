/* Which program this is, and what it was told of EPMD. */
#ifndef DISTGUARD_CORE_PROGRAM_H
#define DISTGUARD_CORE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum dg_program_kind {
    DG_PROGRAM_NODE, /* the VM, or a C node such as erl_call: asks EPMD, carries distribution */
    DG_PROGRAM_EPMD,
};

struct dg_program {
    enum dg_program_kind kind;
    uint16_t epmd_port; /* host byte order */
};

/*
 * Learns the EPMD port as the VM does: `-epmd_port N` of the command line (erlexec turns
 * ERL_EPMD_PORT into it), else ERL_EPMD_PORT, else 4369. (lib/kernel/src/erl_epmd.erl
 * get_epmd_port/0, erts/etc/common/erlexec.c)
 */
struct dg_program dg_program_read(const char *name);

#endif
