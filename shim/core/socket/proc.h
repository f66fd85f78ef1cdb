/* What the kernel tells in a small file of /proc. */
#ifndef DISTGUARD_SOCKET_PROC_H
#define DISTGUARD_SOCKET_PROC_H

#include "shim/abi.h"

enum { DG_PROC_TEXT = 128 };

/* The beginning of the file; "" if it cannot be read. */
void dg_proc_read(const struct dg_real *real, const char *path, char text[DG_PROC_TEXT]);

#endif
