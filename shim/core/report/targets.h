/* Where log lines go. Each function delivers one whole line without blocking and says whether it
 * got through. */
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

bool dg_log_to_syslog(const struct dg_log_calls *calls, const char *line, size_t size);
bool dg_log_to_file(const struct dg_log_calls *calls, const char *path, const char *line,
                    size_t size);
bool dg_log_to_stderr(const struct dg_log_calls *calls, const struct dg_log_identity *identity,
                      const char *line, size_t size);

#endif
