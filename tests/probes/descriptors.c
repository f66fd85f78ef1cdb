/* How descriptors are copied, closed and controlled. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/probes/probe.h"

enum { FAR = 500, FARTHER = 501 };

/* Bytes pass by the copy, also when the original is closed, and the peer sees the end only after
 * the last one. */
static void probe_copy(const struct kind *kind, const char *how, int copy, struct ends *ends)
{
    char bytes[16];

    if (copy < 0 || !kind->carries_bytes) {
        return;
    }
    report(how, "write by the copy", CALL(write(copy, "\0\x20N", 3)));
    report(how, "close the original", CALL(close(ends->to)));
    ends->to = -1;
    report(how, "write by the copy again", CALL(write(copy, "bbbbbb", 6)));
    (void)wait_for_bytes(ends->from);
    report_bytes(how, "read", CALL(read(ends->from, bytes, 3)), bytes);
    report(how, "close the copy", CALL(close(copy)));
    report(how, "close it twice", CALL(close(copy)));
    report(how, "write to what is closed", CALL(write(copy, "x", 1)));
}

static void probe_ways_to_copy(const struct kind *kind)
{
    for (int way = 0; way < 6; way++) {
        struct ends ends = kind->open();
        struct outcome outcome = {0};

        switch (way) {
        case 0:
            outcome = CALL(dup(ends.to));
            break;
        case 1:
            outcome = CALL(dup2(ends.to, FAR));
            break;
        case 2:
            outcome = CALL(dup3(ends.to, FAR, O_CLOEXEC));
            break;
        case 3:
            outcome = CALL(fcntl(ends.to, F_DUPFD, FAR));
            break;
        case 4:
            outcome = CALL(fcntl(ends.to, F_DUPFD_CLOEXEC, FAR));
            break;
        default:
            outcome = CALL(dup2(ends.to, ends.to));
            break;
        }
        report_descriptor("copy", kind->name, outcome);
        if (way < 5) {
            probe_copy(kind, kind->name, (int)outcome.result, &ends);
        }
        close_ends(ends);
    }
}

/* One kind in place of another; and copies that fail, which must leave all as it was. */
static void probe_replacing(const struct kind *kind)
{
    struct ends ends = kind->open();
    struct ends others = tcp_ends();
    char bytes[16];

    report("dup3 onto itself", kind->name, CALL(dup3(ends.to, ends.to, 0)));
    report("dup3 with odd flags", kind->name, CALL(dup3(ends.to, others.to, 0x7)));
    report("dup2 to -1", kind->name, CALL(dup2(ends.to, -1)));
    report("dup2 beyond", kind->name, CALL(dup2(ends.to, INT_MAX)));
    report("dup2 of -1", kind->name, CALL(dup2(-1, others.to)));
    report("write to what stayed", kind->name, CALL(write(others.to, "stays", 5)));
    (void)wait_for_bytes(others.from);
    report_bytes("read it", kind->name, CALL(read(others.from, bytes, 16)), bytes);
    report_descriptor("dup2 over a connection", kind->name, CALL(dup2(ends.to, others.to)));
    if (kind->carries_bytes) {
        report("write to what came", kind->name, CALL(write(others.to, "comes", 5)));
        (void)wait_for_bytes(ends.from);
        report_bytes("read what came", kind->name, CALL(read(ends.from, bytes, 16)), bytes);
        (void)wait_for_bytes(others.from);
        report_bytes("the replaced has ended", kind->name, CALL(read(others.from, bytes, 16)),
                     bytes);
    }
    close_ends(ends);
    close_ends(others);
}

void probe_copies(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        probe_ways_to_copy(&kinds[i]);
        probe_replacing(&kinds[i]);
    }
}

/* Two copies far above what the program itself has open. */
static void far_copies(struct ends ends)
{
    (void)dup2(ends.to, FAR);
    (void)dup2(ends.to, FARTHER);
}

static void report_far(const char *what, const char *on)
{
    report(what, on, CALL(fcntl(FAR, F_GETFD)));
    report(what, on, CALL(fcntl(FARTHER, F_GETFD)));
}

void probe_closing(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct ends ends = kinds[i].open();
        const char *on = kinds[i].name;

        far_copies(ends);
        report("close_range with odd flags", on, CALL(close_range(FAR, FARTHER, 0x100)));
        report("close_range backwards", on, CALL(close_range(FARTHER, FAR, 0)));
        report_far("still there", on);
        report("close_range of one", on, CALL(close_range(FAR, FAR, 0)));
        report_far("one", on);
        report("close_range to be closed on exec", on,
               CALL(close_range(FAR, UINT_MAX, (int)CLOSE_RANGE_CLOEXEC)));
        report_far("to be closed on exec", on);
        far_copies(ends);
        errno = ERRNO_BEFORE;
        closefrom(FAR);
        report("closefrom", on, outcome_of(0));
        report_far("after closefrom", on);
        if (kinds[i].carries_bytes) {
            report("write to the original", on, CALL(write(ends.to, "hello", 5)));
        }
        close_ends(ends);
    }
    errno = ERRNO_BEFORE;
    closefrom(3);
    report("closefrom 3", "all", outcome_of(0));
    report("close -1", "all", CALL(close(-1)));
}

void probe_control(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        struct ends ends = kinds[i].open();
        const char *on = kinds[i].name;
        int number = 0;

        if (kinds[i].carries_bytes) {
            report("write", on, CALL(write(ends.to, "hello", 5)));
            (void)wait_for_bytes(ends.from);
        }
        report("FIONREAD", on, CALL(ioctl(ends.from, FIONREAD, &number)));
        report("FIONREAD", "bytes", (struct outcome){number, ERRNO_BEFORE});
        report("FIONREAD to NULL", on, CALL(ioctl(ends.from, FIONREAD, NULL)));
        number = 1;
        report("FIONBIO", on, CALL(ioctl(ends.from, FIONBIO, &number)));
        report("TIOCGWINSZ", on, CALL(ioctl(ends.from, TIOCGWINSZ, &(struct winsize){0})));
        report("F_GETFL", on, CALL(fcntl(ends.from, F_GETFL)));
        report("F_SETFL", on, CALL(fcntl(ends.from, F_SETFL, 0)));
        report("F_SETFD", on, CALL(fcntl(ends.from, F_SETFD, FD_CLOEXEC)));
        report("F_GETFD", on, CALL(fcntl(ends.from, F_GETFD)));
        report("F_GETLK", on, CALL(fcntl(ends.from, F_GETLK, &(struct flock){.l_type = F_RDLCK})));
        report("F_GETPIPE_SZ", on, CALL(fcntl(ends.from, F_GETPIPE_SZ)));
        report("an unknown command", on, CALL(fcntl(ends.from, 9999, 0)));
        close_ends(ends);
    }
}
