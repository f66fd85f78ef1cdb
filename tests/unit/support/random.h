/* Reproducible random numbers: a test that fails prints its seed, and DG_SEED=… runs it again. */
#ifndef DISTGUARD_TESTS_RANDOM_H
#define DISTGUARD_TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* From 0 up to, but not including, `limit`. */
static inline size_t random_below(struct random *random, size_t limit)
{
    return (size_t)(random_next(random) % limit);
}

/* Up to `limit`, small sizes as often as large ones. */
static inline size_t random_size(struct random *random, size_t limit)
{
    size_t scale = limit >> random_below(random, 20);

    return random_below(random, scale + 1);
}

#endif
