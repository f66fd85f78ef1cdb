/* A token bucket: how often somebody may ask for something. Pure; the caller reads the clock. */
#ifndef DISTGUARD_TLS_BUCKET_H
#define DISTGUARD_TLS_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Full at first, and never holds more than one second's worth. */
struct dg_bucket {
    unsigned rate;      /* tokens a second, at least 1 */
    uint64_t content;   /* thousandths of a token */
    uint64_t filled_at; /* milliseconds of a clock that never goes back */
};

void dg_bucket_init(struct dg_bucket *bucket, unsigned rate, uint64_t now);

/* Takes a token. False where there is none. */
bool dg_bucket_take(struct dg_bucket *bucket, uint64_t now);

#endif
