/*
 * Logfmt: key=value pairs, a value in double quotes where it needs them. Strangers choose some of
 * the values (node names, subject names), so nothing in a value may end it, end the line, or steer
 * a terminal.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/report/log.h"

/* A line of bounded size. Only whole pieces are put in: once one does not fit, nothing more is. */
struct line {
    char *bytes;
    size_t size;
    size_t used;
    bool full;
};

static void put(struct line *line, const char *bytes, size_t size, size_t keep_free)
{
    if (line->full || size + keep_free >= line->size - line->used) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->used, bytes, size);
    line->used += size;
}

/* The least value that a UTF-8 sequence of this many bytes may hold; anything less is an overlong
 * form. */
static const unsigned least_of_size[] = {0, 0, 0x80, 0x800, 0x10000};

/* The size of the valid UTF-8 sequence at `text`, or 0. */
static size_t utf8_size(const unsigned char *text, unsigned *code)
{
    size_t size = text[0] < 0x80   ? 1
                  : text[0] < 0xc0 ? 0
                  : text[0] < 0xe0 ? 2
                  : text[0] < 0xf0 ? 3
                  : text[0] < 0xf8 ? 4
                                   : 0;

    if (size < 2) {
        *code = text[0];
        return size;
    }
    *code = text[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) /* the end of the string, too */
            return 0;
        *code = *code << 6 | (text[i] & 0x3f);
    }
    if (*code < least_of_size[size] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return size;
}

/* C0, DEL and C1; line and paragraph separator; the marks that turn the direction of text. */
static bool is_control(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/* The size of the character at `text` if it may stand for itself, else 0: then its first byte is to
 * be escaped. */
static size_t plain_size(const char *text)
{
    unsigned code;
    size_t size = utf8_size((const unsigned char *)text, &code);

    return size == 0 || is_control(code) ? 0 : size;
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0')
        return true;
    while (*value != '\0') {
        size_t size = plain_size(value);

        if (size == 0 || strchr(" \"=\\", *value) != NULL)
            return true;
        value += size;
    }
    return false;
}

/* The caller has seen to it that there is room for two quotes. */
static void put_quoted(struct line *line, const char *value)
{
    put(line, "\"", 1, 1);
    while (*value != '\0' && !line->full) {
        size_t size = plain_size(value);
        char escaped[sizeof "\\xff"];

        if (size == 0) {
            (void)snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned char)*value++);
            put(line, escaped, strlen(escaped), 1);
            continue;
        }
        if (*value == '"' || *value == '\\') {
            escaped[0] = '\\';
            escaped[1] = *value;
            put(line, escaped, 2, 1);
        } else {
            put(line, value, size, 1);
        }
        value += size;
    }
    /* Every piece before has left room for it. */
    line->bytes[line->used++] = '"';
}

static void put_bare(struct line *line, const char *value)
{
    while (*value != '\0' && !line->full) {
        size_t size = plain_size(value);

        put(line, value, size, 0);
        value += size;
    }
}

static void put_pair(struct line *line, const char *key, const char *value)
{
    bool quotes = needs_quotes(value);
    size_t start = line->used, value_size = quotes ? strlen("\"\"") : plain_size(value);

    /* A key goes in with the beginning of its value, or not at all. */
    if (start > 0)
        put(line, " ", 1, 0);
    put(line, key, strlen(key), 0);
    put(line, "=", 1, value_size);
    if (line->full)
        line->used = start;
    else if (quotes)
        put_quoted(line, value);
    else
        put_bare(line, value);
}

size_t dg_log_format(char *line, size_t size, const char *event, va_list pairs)
{
    struct line out = {.bytes = line, .size = size};
    const char *key;

    if (size == 0)
        return 0;
    put_pair(&out, "event", event);
    while ((key = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);

        if (value != NULL && !out.full)
            put_pair(&out, key, value);
    }
    line[out.used] = '\0';
    return out.used;
}
