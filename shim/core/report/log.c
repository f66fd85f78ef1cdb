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
#include "shim/core/report/writer.h"

#define PREFIX_SIZE 200
#define PROGRAM_SIZE 64

/* What comes behind a line when it is delivered. */
#define SUFFIX_SIZE (sizeof " dropped=18446744073709551615\n" - 1)

/* How long the end of the program may wait for a disk. */
#define LAST_WORDS_MILLISECONDS 1000

/* How long all sentences on stderr together may, so that they come before what the program says
 * next. It says that as it fails to start; one that lives on is not held up for ever. */
#define SENTENCES_MILLISECONDS 100

/* Written by dg_log_start() only, so that no thread needs a lock. */
static struct {
    bool started;
    enum dg_log_target target;
    enum dg_log_level level;
    char *file;
    char program[PROGRAM_SIZE];
    struct dg_log_calls calls;
    struct dg_log_identity stderr_identity;
    enum dg_log_way stderr_way;
    enum dg_log_way way; /* of the lines */
} log_state;

static _Atomic unsigned long undelivered; /* not told yet */
static _Atomic unsigned long unwritten;   /* since a line was last handed to the writer */

static atomic_uint patience = SENTENCES_MILLISECONDS; /* what is left of them */

static dg_writer_deliver deliver;

static enum dg_log_way way_of_lines(void)
{
    switch (log_state.target) {
    case DG_LOG_TO_SYSLOG:
        return DG_LOG_AT_ONCE;
    case DG_LOG_TO_STDERR:
        return log_state.stderr_way;
    case DG_LOG_TO_FILE:
        break;
    }
    return DG_LOG_BY_WRITER;
}

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
    log_state.stderr_way = dg_log_way_to_stderr(calls, &log_state.stderr_identity);
    log_state.way = way_of_lines();
    dg_writer_prepare(deliver, log_state.stderr_way == DG_LOG_BY_WRITER);
    atomic_store(&undelivered, 0);
    atomic_store(&unwritten, 0);
    atomic_store(&patience, SENTENCES_MILLISECONDS);
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

static bool send_to_stderr(const char *line, size_t size)
{
    return dg_log_to_stderr(&log_state.calls, &log_state.stderr_identity, log_state.stderr_way,
                            line, size);
}

static bool send_to_target(const char *line, size_t size)
{
    switch (log_state.target) {
    case DG_LOG_TO_SYSLOG:
        return dg_log_to_syslog(&log_state.calls, line, size);
    case DG_LOG_TO_STDERR:
        return send_to_stderr(line, size);
    case DG_LOG_TO_FILE:
        return log_state.file != NULL &&
               dg_log_to_file(&log_state.calls, log_state.file, line, size);
    }
    return false;
}

/* On the writer's thread, or on the caller's where that cannot block. */
static void deliver(struct dg_line *line)
{
    unsigned long lost;

    if (line->is_sentence) {
        (void)send_to_stderr(line->text, line->size);
        return;
    }
    lost = atomic_exchange(&undelivered, 0) + line->lost;
    if (lost > 0)
        line->size += (size_t)snprintf(line->text + line->size, DG_LINE_SIZE - line->size,
                                       " dropped=%lu", lost);
    if (log_state.target != DG_LOG_TO_SYSLOG) /* a datagram ends by itself */
        line->text[line->size++] = '\n';
    if (!send_to_target(line->text, line->size)) {
        atomic_fetch_add(&undelivered, lost + 1);
        dg_status_line_dropped();
    }
}

static void hand_over(struct dg_line *line)
{
    line->lost = atomic_exchange(&unwritten, 0);
    if (!dg_writer_put(line)) {
        atomic_fetch_add(&unwritten, line->lost + 1);
        dg_status_line_dropped();
    }
}

static void write_line(enum dg_log_level level, const char *event, va_list pairs)
{
    struct dg_line line = {.size = 0};

    line.size = put_prefix(line.text, level);
    line.size +=
        dg_log_format(line.text + line.size, DG_LINE_SIZE - line.size - SUFFIX_SIZE, event, pairs);
    if (log_state.way == DG_LOG_BY_WRITER)
        hand_over(&line);
    else
        deliver(&line);
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
    struct dg_line line = {.is_sentence = true};
    int size;

    if (!log_state.started || log_state.target == DG_LOG_TO_STDERR)
        return;
    size =
        snprintf(line.text, sizeof line.text, "distguard[%s]: %s\n", log_state.program, sentence);
    if (size > 0 && (size_t)size < sizeof line.text) {
        line.size = (size_t)size;
        if (log_state.stderr_way != DG_LOG_BY_WRITER)
            deliver(&line);
        else if (dg_writer_put(&line))
            atomic_store(&patience, dg_writer_flush(atomic_load(&patience)));
    }
    errno = saved_errno;
}

void dg_log_flush(void)
{
    (void)dg_writer_flush(LAST_WORDS_MILLISECONDS);
}

__attribute__((destructor)) static void flush_at_exit(void)
{
    dg_log_flush();
}

void dg_log_forked(void)
{
    dg_writer_forked();
    atomic_store(&undelivered, 0);
    atomic_store(&unwritten, 0);
    atomic_store(&patience, SENTENCES_MILLISECONDS);
}
