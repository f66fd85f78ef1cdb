/* A fuzzer's bytes, taken piece by piece to decide what happens next. When they are used up, all
 * that comes is zero. */
#ifndef DISTGUARD_FUZZ_BYTES_H
#define DISTGUARD_FUZZ_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_bytes {
    const uint8_t *next;
    size_t left;
};

/* One target: what libFuzzer calls for each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

uint8_t fuzz_byte(struct fuzz_bytes *bytes);
uint16_t fuzz_word(struct fuzz_bytes *bytes);

/* Small sizes are one byte; up to 255 * 255 in two. */
size_t fuzz_size(struct fuzz_bytes *bytes);

/* Up to `most` bytes as they are; returns how many. */
size_t fuzz_take(struct fuzz_bytes *bytes, const uint8_t **taken, size_t most);

/* A copy in memory of exactly this size, in which the sanitizer sees a read beyond its end; to be
 * freed. */
uint8_t *fuzz_copy(const uint8_t *bytes, size_t size);

/* Ends the process with a message, which the fuzzer takes for a finding. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
