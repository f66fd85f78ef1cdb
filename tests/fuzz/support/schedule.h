/*
 * A schedule of what happens to a connection: calls of both programs, what their kernels do, what
 * somebody on the wire does, and what a peer does that is nobody's friend. What arrives must be a
 * prefix of what was sent, the promises to the poller are kept after every call, and nothing may be
 * on the wire in plaintext.
 *
 * Input: a byte (bit 0: TLS 1.2, where there is no handshake; bit 1: packets), then steps: a byte
 * (bit 7: the end; the rest: which step), and what the step needs.
 */
#ifndef DISTGUARD_FUZZ_SCHEDULE_H
#define DISTGUARD_FUZZ_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For LLVMFuzzerInitialize. */
void schedule_start(void);

/* One input, with the handshake or from where that is through. */
void schedule_run(const uint8_t *data, size_t size, bool handshake);

#endif
