/* Bytes through every call on every kind of descriptor: what arrives, and what the calls say. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/probes/probe.h"

/* One write and what comes of it at the other end. */
static void pass(const char *on, bool carried, int to, int from, const struct payload *payload,
                 const struct writer *writer, const struct reader *reader)
{
    char bytes[64] = "";
    struct outcome written = CALL(writer->call(to, payload->bytes, payload->size));

    report(writer->name, on, written);
    if (!carried || (written.result > 0 && wait_for_bytes(from))) {
        report_bytes(reader->name, on, CALL(reader->call(from, bytes, sizeof bytes)), bytes);
    }
}

/* The payload, then more behind it, then the same payload back, then the end. */
static void converse(const struct kind *kind, const struct payload *payload,
                     const struct writer *writer, const struct reader *reader)
{
    static const struct payload more = {"more", "bbbbbbbbbbbbbbbbbbbbbbbbbbbb", 28};
    struct ends ends = kind->open();
    char on[160];
    char bytes[64];

    (void)snprintf(on, sizeof on, "%s, %s, %s", kind->name, payload->name, reader->name);
    pass(on, kind->carries_bytes, ends.to, ends.from, payload, writer, reader);
    pass(on, kind->carries_bytes, ends.to, ends.from, &more, writer, reader);
    if (kind->is_tcp && kind->carries_bytes) {
        pass(on, kind->carries_bytes, ends.from, ends.to, payload, writer, reader);
        (void)close(ends.to);
        ends.to = -1;
        (void)wait_for_bytes(ends.from);
        report_bytes("after the peer's close", on,
                     CALL(reader->call(ends.from, bytes, sizeof bytes)), bytes);
    }
    close_ends(ends);
}

static void converse_with_all(const struct kind *kind, const struct payload *payload)
{
    for (size_t i = 0; i < writer_count; i++) {
        converse(kind, payload, &writers[i], &readers[0]);
    }
    for (size_t i = 1; i < reader_count; i++) {
        converse(kind, payload, &writers[0], &readers[i]);
    }
}

void probe_bytes(void)
{
    for (size_t i = 0; i < kind_count; i++) {
        size_t count = kinds[i].is_tcp && kinds[i].carries_bytes ? payload_count : 1;

        for (size_t j = 0; j < count; j++) {
            converse_with_all(&kinds[i], &payloads[j]);
        }
    }
}
