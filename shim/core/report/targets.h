/* Where log lines go. Each function delivers one whole line and says whether it got through. */
#ifndef DISTGUARD_REPORT_TARGETS_H
#define DISTGUARD_REPORT_TARGETS_H

#include <stdbool.h>
#include <stddef.h>

#include "shim/core/report/log.h"

/* Which file a descriptor stood for when we looked, so that we notice when its number means another
 * one. */
struct dg_log_identity {
    bool known;
    dev_t device;
    ino_t inode;
    mode_t type;
};

struct dg_log_identity dg_log_identify(int fd);

enum dg_log_way {
    DG_LOG_AT_ONCE,   /* by whoever has something to say: it cannot block */
    DG_LOG_BY_WRITER, /* by the thread that may wait */
};

/* How stderr, which is this, can be written to. */
enum dg_log_way dg_log_way_to_stderr(const struct dg_log_calls *calls,
                                     const struct dg_log_identity *identity);

/* Does not block. */
bool dg_log_to_syslog(const struct dg_log_calls *calls, const char *line, size_t size);

/* May block. */
bool dg_log_to_file(const struct dg_log_calls *calls, const char *path, const char *line,
                    size_t size);

/* May block where `way` is the writer's. */
bool dg_log_to_stderr(const struct dg_log_calls *calls, const struct dg_log_identity *identity,
                      enum dg_log_way way, const char *line, size_t size);

#endif
