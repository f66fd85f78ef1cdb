/*
 * What the probes share: how an outcome is reported, the descriptors that are tried, and the calls
 * by which bytes move.
 */
#ifndef DISTGUARD_PROBES_PROBE_H
#define DISTGUARD_PROBES_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* --- outcomes (report.c) --- */

/* errno before each call: a call that succeeds must leave it. */
enum { ERRNO_BEFORE = 4711 };

struct outcome {
    ssize_t result;
    int error;
};

#define CALL(expression) (errno = ERRNO_BEFORE, outcome_of((ssize_t)(expression)))

struct outcome outcome_of(ssize_t result);

/* One line: WHAT ON: RESULT, then errno's name or the bytes that came. */
void report(const char *what, const char *on, struct outcome outcome);
void report_bytes(const char *what, const char *on, struct outcome outcome, const void *bytes);
/* As report(), for calls that return a new descriptor: its number is not told. Returns it. */
int report_descriptor(const char *what, const char *on, struct outcome outcome);

/* From now on a SIGPIPE is reported with the call that caused it. */
void report_broken_pipes(void);

/* Ends the probe: it could not even set up what it is about. */
_Noreturn void give_up(const char *what);

/* --- descriptors (kinds.c) --- */

/* What is written to `to` is read from `from`. */
struct ends {
    int from, to;
};

struct kind {
    const char *name;
    struct ends (*open)(void);
    bool carries_bytes; /* what is written can be read */
    bool is_tcp;
};

extern const struct kind kinds[];
extern const size_t kind_count;

struct ends tcp_ends(void); /* the server reads what the client writes */
void close_ends(struct ends ends);
/* Whether bytes, or the end, can be read within the time that loopback may take. */
bool wait_for_bytes(int fd);

/* First bytes of protocols that are no distribution, some of which begin as one. */
struct payload {
    const char *name;
    const char *bytes;
    size_t size;
};

extern const struct payload payloads[];
extern const size_t payload_count;

/* --- calls (calls.c, fortified.c) --- */

struct reader {
    const char *name;
    ssize_t (*call)(int fd, void *bytes, size_t size);
    bool sockets_only;
};

struct writer {
    const char *name;
    ssize_t (*call)(int fd, const void *bytes, size_t size);
    bool sockets_only;
};

extern const struct reader readers[];
extern const size_t reader_count;
extern const struct writer writers[];
extern const size_t writer_count;

/* Through __read_chk and its like; no more than 4096 bytes. */
ssize_t read_fortified(int fd, void *bytes, size_t size);
ssize_t recv_fortified(int fd, void *bytes, size_t size);
ssize_t recvfrom_fortified(int fd, void *bytes, size_t size);
/* Asks for more than the buffer holds: libc ends the program. */
void overflow_fortified(int fd);
/* dprintf as a fortified program calls it. */
int print_fortified(int fd, const char *text);

/* --- probes: no arguments, all they see on stdout --- */

void probe_bytes(void);
void probe_flags(void);
void probe_arguments(void);
void probe_sockets(void);
void probe_copies(void);
void probe_closing(void);
void probe_control(void);
void probe_passing(void);
void probe_children(void);
void probe_signals(void);
void probe_fortified(void);

#endif
