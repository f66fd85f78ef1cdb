#include "shim/core/socket/gathering.h"

#include <time.h>

enum {
    INSTANT = 50 * 1000, /* nanoseconds */
    /* So many go at once: a gen_server:call is three (the end of the last call's monitor, a
     * monitor, the request), and who waits for its answer must not wait for the poller as well. */
    AT_ONCE = 8,
    /* What a VM gathers before it waits for its poller is its port's high watermark (8 KiB,
     * inet_drv.c INET_HIGH_WATERMARK). One that reads little at a time (1460 bytes in OTP 25 and
     * 27) is helped even by a few messages in one record, as it takes that from the kernel once.
     * One that reads much (9216 in OTP 29) is not, and its sender would wait for the poller more
     * than it saves, unless the messages are many. */
    LARGE_READ = 4096,
    MOST_TO_SMALL_READS = 4096,
    MOST_TO_LARGE_READS = 512,
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

void dg_gathering_start(struct dg_gathering *gathering, size_t first_read)
{
    gathering->most = first_read < LARGE_READ ? MOST_TO_SMALL_READS : MOST_TO_LARGE_READS;
}

bool dg_gathering_waits(struct dg_gathering *gathering, size_t size)
{
    uint64_t time = now();

    if (gathering->waiting) { /* for the poller: that is no pause */
        gathering->waiting = false;
    } else if (time - gathering->last >= INSTANT) {
        gathering->in_row = 0;
    } else if (size <= gathering->most && gathering->in_row >= AT_ONCE) {
        gathering->waiting = true;
        return true;
    }
    gathering->in_row++;
    gathering->last = time;
    return false;
}
