/* Per-thread memory for ciphertext and gathered plaintext in passing; made at a thread's first use,
 * freed with it. */
#ifndef DISTGUARD_TLS_SCRATCH_H
#define DISTGUARD_TLS_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/core/tls/record.h"

/* How much is fetched from or handed to the kernel at once. Larger batches mean fewer system calls
 * and wake-ups; beyond this the caches are worse off than the calls saved. */
#define DG_BATCH ((size_t)256 * 1024)

struct dg_scratch {
    uint8_t in[DG_BATCH + DG_TLS_RECORD_MAX];
    /* a batch's records: 16 of them, and some room for control records */
    uint8_t out[DG_BATCH + (size_t)32 * (DG_TLS_RECORD_MAX - DG_PLAINTEXT_MAX)];
};

/* NULL where memory is out. */
struct dg_scratch *dg_scratch(void);

/* Whether this thread has it already: that it has received or sent something. */
bool dg_scratch_is_made(void);

#endif
