#include "shim/core/report/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syslog.h>
#include <unistd.h>

#include "shim/core/report/status.h"
#include "shim/core/report/targets.h"
#include "shim/core/report/timestamp.h"

/* All of a line, its newline included: less than PIPE_BUF, so that a pipe takes it whole or not at
 * all. */
#define LINE_SIZE 1000
#define PREFIX_SIZE 200
#define PROGRAM_SIZE 64

/* Written by dg_log_start() only, so that no thread needs a lock. */
static struct {
    bool started;
    enum dg_log_target target;
    enum dg_log_level level;
    char *file;
    char program[PROGRAM_SIZE];
    struct dg_log_calls calls;
    struct dg_log_identity stderr_identity;
} log_state;

static _Atomic unsigned long dropped_lines;

void dg_log_start(const struct dg_log_policy *policy, const char *program,
                  const struct dg_log_calls *calls)
{
    free(log_state.file);
    log_state.target = policy->target;
    log_state.level = policy->level;
    log_state.file = policy->file == NULL ? NULL : strdup(policy->file);
    (void)snprintf(log_state.program, sizeof log_state.program, "%s", program);
    log_state.calls = *calls;
    log_state.stderr_identity = dg_log_identify(STDERR_FILENO);
    atomic_store(&dropped_lines, 0);
    log_state.started = true;
}

static int syslog_priority(enum dg_log_level level)
{
    static const int severities[] = {
        [DG_LOG_DEBUG] = LOG_DEBUG,
        [DG_LOG_INFO] = LOG_INFO,
        [DG_LOG_WARNING] = LOG_WARNING,
        [DG_LOG_ERROR] = LOG_ERR,
    };

    return LOG_DAEMON | severities[level];
}

/* No time in syslog's line: the daemon sets its own, and local time would cost libc's time zone
 * lock. */
static size_t put_prefix(char *line, enum dg_log_level level)
{
    char stamp[DG_TIMESTAMP_SIZE];
    struct timespec now;
    int length = 0;

    switch (log_state.target) {
    case DG_LOG_TO_SYSLOG:
        length = snprintf(line, PREFIX_SIZE, "<%d>distguard[%ld]: program=%s ",
                          syslog_priority(level), (long)getpid(), log_state.program);
        break;
    case DG_LOG_TO_STDERR:
        length = snprintf(line, PREFIX_SIZE, "distguard[%s]: ", log_state.program);
        break;
    case DG_LOG_TO_FILE:
        clock_gettime(CLOCK_REALTIME, &now);
        dg_timestamp(&now, stamp);
        length = snprintf(line, PREFIX_SIZE, "%s distguard[%s]: ", stamp, log_state.program);
        break;
    }
    return (size_t)length;
}

static bool deliver(const char *line, size_t size)
{
    switch (log_state.target) {
    case DG_LOG_TO_SYSLOG:
        return dg_log_to_syslog(&log_state.calls, line, size);
    case DG_LOG_TO_STDERR:
        return dg_log_to_stderr(&log_state.calls, &log_state.stderr_identity, line, size);
    case DG_LOG_TO_FILE:
        return log_state.file != NULL &&
               dg_log_to_file(&log_state.calls, log_state.file, line, size);
    }
    return false;
}

static void write_line(enum dg_log_level level, const char *event, va_list pairs)
{
    unsigned long dropped = atomic_exchange(&dropped_lines, 0);
    char line[LINE_SIZE], suffix[64] = "";
    size_t size, suffix_size = 0;

    if (dropped > 0)
        suffix_size = (size_t)snprintf(suffix, sizeof suffix, " dropped=%lu", dropped);
    size = put_prefix(line, level);
    /* The NUL that this leaves room for makes way for the newline. */
    size += dg_log_format(line + size, sizeof line - size - suffix_size, event, pairs);
    memcpy(line + size, suffix, suffix_size);
    size += suffix_size;
    if (log_state.target != DG_LOG_TO_SYSLOG) /* a datagram ends by itself */
        line[size++] = '\n';
    if (!deliver(line, size)) {
        atomic_fetch_add(&dropped_lines, dropped + 1);
        dg_status_line_dropped();
    }
}

void dg_log(enum dg_log_level level, const char *event, ...)
{
    int saved_errno = errno;
    va_list pairs;

    if (!log_state.started || level < log_state.level)
        return;
    va_start(pairs, event);
    write_line(level, event, pairs);
    va_end(pairs);
    errno = saved_errno;
}

void dg_log_tell(const char *sentence)
{
    int saved_errno = errno;
    char line[LINE_SIZE];
    int size;

    if (!log_state.started || log_state.target == DG_LOG_TO_STDERR)
        return;
    size = snprintf(line, sizeof line, "distguard[%s]: %s\n", log_state.program, sentence);
    if (size > 0 && (size_t)size < sizeof line)
        (void)dg_log_to_stderr(&log_state.calls, &log_state.stderr_identity, line, (size_t)size);
    errno = saved_errno;
}
