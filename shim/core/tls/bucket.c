#include "shim/core/tls/bucket.h"

enum { TOKEN = 1000 };

void dg_bucket_init(struct dg_bucket *bucket, unsigned rate, uint64_t now)
{
    *bucket = (struct dg_bucket){.rate = rate, .content = (uint64_t)rate * TOKEN, .filled_at = now};
}

bool dg_bucket_take(struct dg_bucket *bucket, uint64_t now)
{
    uint64_t full = (uint64_t)bucket->rate * TOKEN;
    uint64_t elapsed = now - bucket->filled_at;

    /* A token has a thousand parts and a second a thousand milliseconds: nothing is to be divided,
     * and no fraction lost, however often this is asked. */
    if (elapsed >= 1000 || bucket->content + elapsed * bucket->rate > full) {
        bucket->content = full;
    } else {
        bucket->content += elapsed * bucket->rate;
    }
    bucket->filled_at = now;
    if (bucket->content < TOKEN) {
        return false;
    }
    bucket->content -= TOKEN;
    return true;
}
