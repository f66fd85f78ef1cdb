/* Random schedules: each is known by its seed, so that one that fails can be run again alone. */
#ifndef DISTGUARD_TESTS_SCHEDULES_H
#define DISTGUARD_TESTS_SCHEDULES_H

#include <sys/uio.h>

#include "tests/unit/support/random.h"

/* Runs the schedules of seeds 1 to `standard`, or to DG_SCHEDULES; or that of DG_SEED alone. */
void schedules_run(unsigned long standard, void (*run_one)(uint64_t seed));

/* Cuts `size` bytes into up to `most` pieces, some of them empty; returns how many. */
int schedules_cut(struct random *random, uint8_t *bytes, size_t size, struct iovec *vector,
                  int most);

/* One of these. */
size_t schedules_pick(struct random *random, const size_t *from, size_t count);

#define PICK(random, ...)                                                                          \
    schedules_pick(random, (const size_t[]){__VA_ARGS__},                                          \
                   sizeof(size_t[]){__VA_ARGS__} / sizeof(size_t))

#endif
