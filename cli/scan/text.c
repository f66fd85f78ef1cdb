#include "cli/scan/text.h"

#include <stdio.h>
#include <string.h>

static const char cut[] = "...";

/* Returns the size of what it writes. */
static size_t escape(char piece[sizeof "\\xff"], uint8_t byte)
{
    if (byte == '\\')
        return (size_t)snprintf(piece, sizeof "\\xff", "\\\\");
    if (byte >= ' ' && byte <= '~')
        return (size_t)snprintf(piece, sizeof "\\xff", "%c", byte);
    return (size_t)snprintf(piece, sizeof "\\xff", "\\x%02x", byte);
}

void dg_scan_escape(char *text, size_t size, const uint8_t *bytes, size_t count)
{
    char piece[sizeof "\\xff"];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        size_t piece_size = escape(piece, bytes[i]);

        if (used + piece_size + sizeof cut > size) {
            memcpy(text + used, cut, sizeof cut);
            return;
        }
        memcpy(text + used, piece, piece_size);
        used += piece_size;
    }
    text[used] = '\0';
}
