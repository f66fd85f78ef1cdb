/* Threads of our own, for what no call of the program's is there to do. */
#ifndef DISTGUARD_BACKGROUND_H
#define DISTGUARD_BACKGROUND_H

#include <stdbool.h>

/* Starts a thread that takes no signals and is never joined; `run` names it. False where none can
 * be had. */
bool dg_background_start(void *(*run)(void *));

#endif
