/* Whether the files of a policy, and of the credentials that it names, are still those that were
 * read. */
#ifndef DISTGUARD_CORE_FILES_H
#define DISTGUARD_CORE_FILES_H

#include <stdint.h>
#include <time.h>

#include "policy/policy.h"

/* An identity that no files have. */
#define DG_FILES_UNKNOWN UINT64_C(0)

struct dg_files_stamp {
    uint64_t identity;      /* of all of them: where they lie, their size, when they changed */
    struct timespec newest; /* the last change of any, up to then */
    struct timespec looked; /* CLOCK_REALTIME */
};

/* Follows symbolic links, so that one which is led elsewhere counts as a change. A file that is
 * missing is one that has changed. */
struct dg_files_stamp dg_files_look(const struct dg_policy *policy);

bool dg_files_same(const struct dg_files_stamp *a, const struct dg_files_stamp *b);

/* Whether one of them was changed at that time or later, as far as the file system's clock tells.
 */
bool dg_files_changed_since(const struct dg_files_stamp *stamp, const struct timespec *time);

#endif
