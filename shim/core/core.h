/* What the core knows of the process it is in: set once by dg_core_start(), read by everyone. */
#ifndef DISTGUARD_CORE_H
#define DISTGUARD_CORE_H

#include "shim/abi.h"
#include "shim/core/program.h"
#include "shim/core/tls/channel.h"

struct dg_core {
    struct dg_real real;
    struct dg_program program;
    struct dg_transport transport; /* the real calls, as channels want them */
};

extern struct dg_core dg_core;

/* The entry; see shim/abi.h. */
dg_core_start_function dg_core_start;

#endif
