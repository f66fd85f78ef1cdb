/* Big-endian integers out of a byte string, as EPMD, the distribution protocol and TLS send them.
 */
#ifndef DISTGUARD_WIRE_BYTES_H
#define DISTGUARD_WIRE_BYTES_H

#include <stdint.h>

static inline uint16_t dg_get16(const uint8_t *bytes)
{
    return (uint16_t)((bytes[0] << 8) | bytes[1]);
}

static inline uint64_t dg_get64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = (value << 8) | bytes[i];
    }
    return value;
}

#endif
