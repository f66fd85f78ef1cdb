/*
 * The audit log: one line of logfmt per event, to syslog, stderr or a file.
 *
 * Keeps no descriptor open between lines (epmd and erl_child_setup close what they do not know, and the number
 * would be somebody else's), never blocks, and never changes errno.
 */
#ifndef DISTGUARD_REPORT_LOG_H
#define DISTGUARD_REPORT_LOG_H

#include "policy/policy.h"

/* What log lines go through; replaced in tests. Set once by dg_log_start() before any other thread runs. */
struct dg_log_calls {
    long (*write)(int fd, const void *bytes, unsigned long size);
    int (*close)(int fd);
    int (*socket)(int domain, int type, int protocol);
};

/* `program` is the base name of the guarded program; it is copied. */
void dg_log_start(const struct dg_log_policy *policy, const char *program,
                  const struct dg_log_calls *calls);

/*
 * Writes `distguard[program]: event=EVENT key=value …`. The arguments after `event` are pairs of const char *, ended
 * by NULL; a pair whose value is NULL is left out; values are quoted where logfmt needs it.
 */
void dg_log(enum dg_log_level level, const char *event, ...) __attribute__((sentinel));

/* The line itself, without its end, cut at `size`; for tests and for dg_log(). Returns its length. */
#include <stdarg.h>
#include <stddef.h>
size_t dg_log_format(char *line, size_t size, const char *event, va_list pairs);

#endif
