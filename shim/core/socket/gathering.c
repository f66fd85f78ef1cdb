#include "shim/core/socket/gathering.h"

#include <time.h>

enum {
    INSTANT = 50 * 1000, /* nanoseconds */
    /* Where the peer has spoken in between, this may be its question's answer: no round trip is as
     * short as this, but the messages of two floods that meet are. */
    SHORTER_INSTANT = 10 * 1000,
    /* Beyond that a record of its own costs little; and the VM, told to wait with more than its
     * port's high watermark (8 KiB, inet_drv.c INET_HIGH_WATERMARK), would suspend the sender. */
    SMALL = 4096,
};

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
}

bool dg_gathering_waits(struct dg_gathering *gathering, size_t size)
{
    uint64_t time = now();
    uint64_t instant = gathering->conversed ? SHORTER_INSTANT : INSTANT;

    if (!gathering->waiting && size <= SMALL && time - gathering->last < instant) {
        gathering->waiting = true;
        return true;
    }
    gathering->waiting = false;
    gathering->conversed = false;
    gathering->last = time;
    return false;
}
