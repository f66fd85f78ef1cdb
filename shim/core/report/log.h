/*
 * The audit log: one line of logfmt per event, to syslog, stderr or a file.
 *
 * Keeps no descriptor open between lines (epmd and erl_child_setup close what they do not know, and
 * the number would be somebody else's), never blocks, and never changes errno. Where a target may
 * block, a thread of ours does the writing (writer.h): for a file, and for a stderr that cannot be
 * written to without waiting; for syslog, a socket or a pipe there is none.
 */
#ifndef DISTGUARD_REPORT_LOG_H
#define DISTGUARD_REPORT_LOG_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "policy/policy.h"

/*
 * The calls that log lines go through: the real ones, for ours are intercepted; replaced in tests.
 * All must be set.
 */
struct dg_log_calls {
    ssize_t (*write)(int fd, const void *bytes, size_t size);
    int (*close)(int fd);
    int (*socket)(int domain, int type, int protocol);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t size);
    ssize_t (*send)(int fd, const void *bytes, size_t size, int flags);
};

/*
 * Called once, before any other thread runs. `program` is the base name of the guarded program; it
 * is copied, and so are the policy and the calls. Until then dg_log() does nothing.
 */
void dg_log_start(const struct dg_log_policy *policy, const char *program,
                  const struct dg_log_calls *calls);

/*
 * Says a sentence to whoever started the program, on stderr, wherever the log goes: for what makes
 * a program fail in a way that only we can explain. Comes before what the program then says itself,
 * unless stderr is a file on a disk that hangs: it is waited for no longer than a tenth of a
 * second.
 */
void dg_log_tell(const char *sentence);

/* Waits for what is still to be written, for a second at most; at the end of the program this is
 * done by itself. */
void dg_log_flush(void);

/* In the child of a fork: what waits to be written, or to be told as dropped, is its parent's. */
void dg_log_forked(void);

/*
 * Writes `distguard[program]: event=EVENT key=value …`. The arguments after `event` are pairs of
 * const char *, ended by NULL; a pair whose value is NULL is left out; values are quoted where
 * logfmt needs it, and what a terminal or a parser would take for something else is escaped, so
 * that no stranger can forge a line.
 *
 * A line that would block or cannot be delivered is dropped; the next one that gets through tells
 * `dropped=N`.
 */
void dg_log(enum dg_log_level level, const char *event, ...) __attribute__((sentinel));

/*
 * The line itself, without prefix and newline, cut so that it fits `size` with its NUL; what is cut
 * is still well formed. For tests and for dg_log(). Returns its length.
 */
size_t dg_log_format(char *line, size_t size, const char *event, va_list pairs);

#endif
