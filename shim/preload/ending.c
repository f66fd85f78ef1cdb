/* How a program ends, where that passes by exit(3) and its destructors. */
#include <stdlib.h>
#include <unistd.h>

#include "shim/preload/preload.h"

static void end(void)
{
    if (dg_guarding() && dg_hooks.ends != NULL) {
        dg_hooks.ends();
    }
}

DG_EXPORT _Noreturn void _exit(int status)
{
    end();
    dg_real()->_exit(status);
    __builtin_unreachable();
}

DG_EXPORT _Noreturn void _Exit(int status)
{
    end();
    dg_real()->_Exit(status);
    __builtin_unreachable();
}
