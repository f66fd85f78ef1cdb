/*
 * A log line whose words strangers have chosen, into lines of any size: it is one line of logfmt,
 * nothing in it steers a terminal, and it says what was put in.
 *
 * Input: two bytes (room for the line), then values, ended by NUL bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "shim/core/report/log.h"
#include "tests/fuzz/support/bytes.h"

enum { VALUES = 4, MOST = 4096 };

static size_t format(char *line, size_t size, const char *event, ...)
{
    va_list pairs;
    size_t length;

    va_start(pairs, event);
    length = dg_log_format(line, size, event, pairs);
    va_end(pairs);
    return length;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes `\"`, `\\` or `\xHH`. */
static const char *take_escape(const char *at, char *value)
{
    if (at[0] == '"' || at[0] == '\\') {
        *value = at[0];
        return at + 1;
    }
    if (at[0] != 'x' || digit(at[1]) < 0 || digit(at[2]) < 0) {
        fuzz_fail("an escape that is none: \\%s", at);
    }
    *value = (char)(digit(at[1]) * 16 + digit(at[2]));
    return at + 3;
}

/* A value as a reader of logfmt takes it; returns what follows. */
static const char *take_value(const char *at, char *value)
{
    bool quoted = *at == '"';

    for (at += quoted; *at != '\0' && *at != (quoted ? '"' : ' '); value++) {
        if (!quoted && strchr("\"=\\", *at) != NULL) {
            fuzz_fail("a bare value with %c in it", *at);
        }
        if (*at == '\\') {
            at = take_escape(at + 1, value);
        } else {
            *value = *at++;
        }
    }
    *value = '\0';
    if (quoted && *at != '"') {
        fuzz_fail("a quoted value does not end");
    }
    return at + quoted;
}

static void check_characters(const char *line)
{
    for (const char *at = line; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            fuzz_fail("a control byte %02x in the line", (unsigned)*at);
        }
    }
}

/* Every pair that is there must be whole in its form; `values` in their order. The last one of a
 * line that was too small may be cut. */
static void check_line(const char *line, const char *const *keys, const char *const *values,
                       bool roomy)
{
    static char value[MOST];
    const char *at = line;
    size_t count = 0;

    check_characters(line);
    for (; *at != '\0'; count++) {
        size_t size = strlen(keys[count]);

        if (strncmp(at, keys[count], size) != 0 || at[size] != '=') {
            fuzz_fail("no %s= at: %s", keys[count], at);
        }
        at = take_value(at + size + 1, value);
        if (roomy ? strcmp(value, values[count]) != 0
                  : strncmp(value, values[count], strlen(value)) != 0) {
            fuzz_fail("%s says %s, not %s", keys[count], value, values[count]);
        }
        if (*at == ' ' && at[1] != '\0') {
            at++;
        } else if (*at != '\0') {
            fuzz_fail("what follows a value is: %s", at);
        }
    }
    if (roomy && count != VALUES) {
        fuzz_fail("%zu pairs of %d", count, VALUES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[VALUES + 1] = {"event", "node", "certificate", "reason", "none"};
    static char text[MOST];
    struct fuzz_bytes bytes = {.next = data, .left = size};
    size_t room = fuzz_word(&bytes), length;
    bool roomy = room % 2 == 0;
    const char *values[VALUES + 1];
    const char *next = text;
    char *line;

    if (bytes.left >= sizeof text / 8) {
        return 0;
    }
    memset(text, 0, sizeof text);
    memcpy(text, bytes.next, bytes.left);
    for (int i = 0; i <= VALUES; i++) {
        values[i] = next;
        next += strlen(next) + 1;
    }
    values[VALUES] = "";
    room = roomy ? MOST : room % 512;
    line = malloc(room > 0 ? room : 1);
    length = format(line, room, values[0], keys[1], values[1], keys[2], values[2], keys[3],
                    values[3], "absent", NULL, NULL);
    if (room > 0) {
        if (length >= room || strlen(line) != length) {
            fuzz_fail("a line of %zu bytes says it has %zu, in room for %zu", strlen(line), length,
                      room);
        }
        check_line(line, keys, values, roomy);
    }
    free(line);
    return 0;
}
