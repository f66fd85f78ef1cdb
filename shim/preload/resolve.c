/* The real functions: found once, eagerly, all of them, by dlsym, which nothing else in distguard
 * calls. */
#include <dlfcn.h>
#include <string.h>

#include "shim/preload/preload.h"

_Atomic int dg_stage;
struct dg_real_all dg_real_all;

/* Two threads may do this at once; they write the same values. */
void dg_resolve(void)
{
    int unresolved = DG_STAGE_UNRESOLVED;

#define DG_RESOLVE(type, name, parameters)                                                         \
    do {                                                                                           \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&dg_real_all.name, &found, sizeof found);                                           \
    } while (0);
    DG_INTERPOSED(DG_RESOLVE)
#undef DG_RESOLVE
    /* The constructor, where it has already run, has decided more. */
    atomic_compare_exchange_strong(&dg_stage, &unresolved, DG_STAGE_INERT);
}
