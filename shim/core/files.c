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

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
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
    stamp->identity = mix(stamp->identity, &status.st_mtim, sizeof status.st_mtim);
    /* Owner and mode count, too. */
    stamp->identity = mix(stamp->identity, &status.st_ctim, sizeof status.st_ctim);
    if (later(&status.st_ctim, &stamp->newest)) {
        stamp->newest = status.st_ctim;
    }
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
    enum { GRAIN = 10000000 }; /* nanoseconds: file systems take the time of the last timer tick */
    struct timespec from = *time;

    from.tv_nsec -= GRAIN;
    if (from.tv_nsec < 0) {
        from.tv_sec--;
        from.tv_nsec += 1000000000L;
    }
    return later(&stamp->newest, &from);
}
