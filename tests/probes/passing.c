/* Calls that pass bytes by other ways, which guarded sockets refuse; here nothing is guarded. */
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/probes/probe.h"

/* What arrived, if anything did. */
static void report_arrival(const struct kind *kind, struct ends ends)
{
    char bytes[32];

    if (kind->carries_bytes && wait_for_bytes(ends.from)) {
        report_bytes("arrived", kind->name, CALL(read(ends.from, bytes, sizeof bytes)), bytes);
    }
}

static void probe_vectors(const struct kind *kind, struct ends ends)
{
    char bytes[8] = "abcdefg";
    struct iovec vector = {bytes, 7};

    if (strcmp(kind->name, "eventfd") == 0) {
        return; /* no offsets there, and its counter would be waited for */
    }
    report("pwritev2 at an offset", kind->name, CALL(pwritev2(ends.to, &vector, 1, 0, 0)));
    report("pwritev2", kind->name, CALL(pwritev2(ends.to, &vector, 1, -1, 0)));
    if (kind->carries_bytes) {
        (void)wait_for_bytes(ends.from);
    }
    report_bytes("preadv2 at an offset", kind->name, CALL(preadv2(ends.from, &vector, 1, 0, 0)),
                 bytes);
    report_bytes("preadv2", kind->name, CALL(preadv2(ends.from, &vector, 1, -1, 0)), bytes);
}

static void probe_splice(const struct kind *kind, struct ends ends)
{
    int ends_of_pipe[2];

    if (pipe(ends_of_pipe) != 0 || write(ends_of_pipe[1], "spliced", 7) != 7) {
        give_up("pipe");
    }
    report("splice", kind->name, CALL(splice(ends_of_pipe[0], NULL, ends.to, NULL, 7, 0)));
    report_arrival(kind, ends);
    (void)close(ends_of_pipe[0]);
    (void)close(ends_of_pipe[1]);
}

static void probe_stdio(const struct kind *kind, struct ends ends)
{
    int copy = dup(ends.to);
    FILE *stream;

    report("dprintf", kind->name, CALL(dprintf(ends.to, "%s %d", "printed", 42)));
    report_arrival(kind, ends);
    errno = ERRNO_BEFORE;
    stream = fdopen(copy, "w");
    report("fdopen", kind->name, outcome_of(stream != NULL ? 0 : -1));
    if (stream != NULL) {
        report("fprintf", kind->name, CALL(fprintf(stream, "streamed")));
        report("fclose", kind->name, CALL(fclose(stream)));
        report_arrival(kind, ends);
    }
}

static void probe_aio(const struct kind *kind, struct ends ends)
{
    char bytes[] = "asynchronous";
    struct aiocb request = {.aio_fildes = ends.to, .aio_buf = bytes, .aio_nbytes = 12};
    const struct aiocb *const list[] = {&request};

    report("aio_write", kind->name, CALL(aio_write(&request)));
    while (aio_error(&request) == EINPROGRESS) {
        (void)aio_suspend(list, 1, NULL);
    }
    report("aio_error", kind->name, (struct outcome){-1, aio_error(&request)});
    report("aio_return", kind->name, (struct outcome){aio_return(&request), ERRNO_BEFORE});
    report_arrival(kind, ends);
}

static void with(const struct kind *kind, void (*probe)(const struct kind *, struct ends))
{
    struct ends ends = kind->open();

    probe(kind, ends);
    close_ends(ends);
}

void probe_passing(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        if (kinds[i].carries_bytes || kinds[i].is_tcp) {
            with(&kinds[i], probe_vectors);
            with(&kinds[i], probe_splice);
            with(&kinds[i], probe_stdio);
            with(&kinds[i], probe_aio);
        }
    }
}
