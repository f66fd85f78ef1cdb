#include "shim/core/wire/epmd_names.h"

#include <string.h>

#include "shim/core/wire/bytes.h"
#include "shim/core/wire/epmd.h"

static const char before_name[] = "name ";
static const char before_port[] = " at port ";

enum {
    BEFORE_NAME = sizeof before_name - 1,
    BEFORE_PORT = sizeof before_port - 1,
    PORT_DIGITS = 5,
    LINE_MAX = BEFORE_NAME + DG_EPMD_NAME_MAX + BEFORE_PORT + PORT_DIGITS + 1,
};

enum dg_parse dg_epmd_parse_names_head(const uint8_t *bytes, size_t size, uint16_t *port)
{
    if ((size >= 1 && bytes[0] != 0) || (size >= 2 && bytes[1] != 0)) {
        return DG_PARSE_OTHER;
    }
    if (size < DG_EPMD_NAMES_HEAD) {
        return DG_PARSE_MORE;
    }
    *port = dg_get16(bytes + 2);
    return *port != 0 ? DG_PARSE_DONE : DG_PARSE_OTHER;
}

/* Zero for what is no port. */
static uint16_t read_port(const uint8_t *digits, size_t count)
{
    unsigned value = 0;

    if (count > PORT_DIGITS) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return 0;
        }
        value = 10 * value + (unsigned)(digits[i] - '0');
    }
    return value <= UINT16_MAX ? (uint16_t)value : 0;
}

/* Names may hold blanks, and even " at port "; so the line is read from its end. */
static enum dg_parse parse_line(const uint8_t *line, size_t size, struct dg_epmd_name *name)
{
    size_t digits = 0;

    while (digits < size && line[size - digits - 1] != ' ') {
        digits++;
    }
    if (size < BEFORE_NAME + BEFORE_PORT + digits || memcmp(line, before_name, BEFORE_NAME) != 0 ||
        memcmp(line + size - digits - BEFORE_PORT, before_port, BEFORE_PORT) != 0) {
        return DG_PARSE_OTHER;
    }
    name->name = line + BEFORE_NAME;
    name->size = size - BEFORE_NAME - BEFORE_PORT - digits;
    name->port = read_port(line + size - digits, digits);
    return name->size > 0 && name->port != 0 ? DG_PARSE_DONE : DG_PARSE_OTHER;
}

enum dg_parse dg_epmd_parse_names_line(const uint8_t *bytes, size_t size, struct dg_epmd_name *name,
                                       size_t *used)
{
    const uint8_t *end = memchr(bytes, '\n', size < LINE_MAX ? size : LINE_MAX);

    if (end == NULL) {
        return size < LINE_MAX ? DG_PARSE_MORE : DG_PARSE_OTHER;
    }
    *used = (size_t)(end - bytes) + 1;
    return parse_line(bytes, *used - 1, name);
}
