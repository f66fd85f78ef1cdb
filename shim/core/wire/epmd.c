#include "shim/core/wire/epmd.h"

#include "shim/core/wire/bytes.h"

uint8_t dg_epmd_request(const uint8_t *bytes, size_t size)
{
    return size >= 3 ? bytes[2] : 0;
}

/* L:16 | 'x' | PortNo:16 | NodeType:8 | Protocol:8 | HighestVersion:16 | LowestVersion:16 | Nlen:16
 * | Name | Elen:16 | Extra. The port is told as soon as it is there: nothing behind it changes what
 * it means for us. */
enum dg_parse dg_epmd_parse_alive2_req(const uint8_t *bytes, size_t size, uint16_t *port)
{
    enum { LEAST_LENGTH = 13 };

    if (size >= 2 && dg_get16(bytes) < LEAST_LENGTH) {
        return DG_PARSE_OTHER;
    }
    if (size >= 3 && bytes[2] != DG_EPMD_ALIVE2_REQ) {
        return DG_PARSE_OTHER;
    }
    if (size < 5) {
        return DG_PARSE_MORE;
    }
    *port = dg_get16(bytes + 3);
    return DG_PARSE_DONE;
}

/* 'w' | Result:8 | PortNo:16 | … */
enum dg_parse dg_epmd_parse_port2_resp(const uint8_t *bytes, size_t size, uint16_t *port)
{
    enum { PORT2_RESP = 'w' };

    if (size >= 1 && bytes[0] != PORT2_RESP) {
        return DG_PARSE_OTHER;
    }
    if (size >= 2 && bytes[1] != 0) {
        return DG_PARSE_OTHER;
    }
    if (size < 4) {
        return DG_PARSE_MORE;
    }
    *port = dg_get16(bytes + 2);
    return DG_PARSE_DONE;
}

/* L:16 | 'z' | Name, or 00 01 | 'n' */
enum dg_epmd_remote dg_epmd_parse_remote_request(const uint8_t *bytes, size_t size)
{
    size_t length;

    if (size < 2) {
        return DG_EPMD_REMOTE_MORE;
    }
    length = dg_get16(bytes);
    if (length < 1 || 2 + length > DG_EPMD_REMOTE_REQUEST_MAX || size > 2 + length) {
        return DG_EPMD_REMOTE_OTHER;
    }
    if (size >= 3 && bytes[2] != DG_EPMD_PORT_PLEASE2_REQ &&
        (bytes[2] != DG_EPMD_NAMES_REQ || length != 1)) {
        return DG_EPMD_REMOTE_OTHER;
    }
    if (size < 2 + length) {
        return DG_EPMD_REMOTE_MORE;
    }
    return bytes[2] == DG_EPMD_NAMES_REQ ? DG_EPMD_REMOTE_NAMES : DG_EPMD_REMOTE_PORT_PLEASE;
}
