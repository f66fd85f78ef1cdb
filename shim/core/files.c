#include "shim/core/files.h"

#include <sys/stat.h>

/* FNV-1a */
static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Member by member: between them there may be bytes that mean nothing. */
static void mix_time(struct dg_files_stamp *stamp, const struct timespec *time)
{
    stamp->identity = mix(stamp->identity, &time->tv_sec, sizeof time->tv_sec);
    stamp->identity = mix(stamp->identity, &time->tv_nsec, sizeof time->tv_nsec);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* File systems take the time of the last timer tick: `time`, so many ticks later. */
static struct timespec grains(const struct timespec *time, long count)
{
    enum { GRAIN = 10000000, SECOND = 1000000000 }; /* nanoseconds */
    struct timespec moved = *time;

    moved.tv_nsec += count * GRAIN;
    if (moved.tv_nsec < 0) {
        moved.tv_sec--;
        moved.tv_nsec += SECOND;
    } else if (moved.tv_nsec >= SECOND) {
        moved.tv_sec++;
        moved.tv_nsec -= SECOND;
    }
    return moved;
}

/* A change that is yet to come (a clock that was set back, a server's that is ahead) tells nothing.
 */
static void note_newest(struct dg_files_stamp *stamp, const struct timespec *changed)
{
    struct timespec now = grains(&stamp->looked, 1);

    if (later(changed, &stamp->newest) && !later(changed, &now)) {
        stamp->newest = *changed;
    }
}

static void look_at(struct dg_files_stamp *stamp, const char *path)
{
    struct stat status;
    bool missing;

    if (path == NULL) {
        return;
    }
    missing = stat(path, &status) != 0;
    stamp->identity = mix(stamp->identity, &missing, sizeof missing);
    if (missing) {
        return;
    }
    stamp->identity = mix(stamp->identity, &status.st_dev, sizeof status.st_dev);
    stamp->identity = mix(stamp->identity, &status.st_ino, sizeof status.st_ino);
    stamp->identity = mix(stamp->identity, &status.st_size, sizeof status.st_size);
    mix_time(stamp, &status.st_mtim);
    mix_time(stamp, &status.st_ctim); /* owner and mode count, too */
    note_newest(stamp, &status.st_ctim);
}

struct dg_files_stamp dg_files_look(const struct dg_policy *policy)
{
    struct dg_files_stamp stamp = {.identity = UINT64_C(0xcbf29ce484222325)};

    clock_gettime(CLOCK_REALTIME, &stamp.looked);
    for (size_t i = 0; i < policy->files.count; i++) {
        look_at(&stamp, policy->files.strings[i]);
    }
    if (policy->mode != DG_MODE_OFF) {
        look_at(&stamp, policy->tls.certificate);
        look_at(&stamp, policy->tls.private_key);
        look_at(&stamp, policy->tls.ca);
        look_at(&stamp, policy->tls.crl);
    }
    return stamp;
}

bool dg_files_same(const struct dg_files_stamp *a, const struct dg_files_stamp *b)
{
    return a->identity == b->identity;
}

bool dg_files_changed_since(const struct dg_files_stamp *stamp, const struct timespec *time)
{
    struct timespec from = grains(time, -1);

    return later(&stamp->newest, &from);
}
