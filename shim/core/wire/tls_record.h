/* The outside of TLS records: where one ends. (RFC 8446 section 5.1) */
#ifndef DISTGUARD_WIRE_TLS_RECORD_H
#define DISTGUARD_WIRE_TLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define DG_TLS_HEADER_SIZE 5
/* 2^14 bytes of plaintext, and at most 256 of expansion (RFC 8446 section 5.2) */
#define DG_TLS_RECORD_MAX (DG_TLS_HEADER_SIZE + 16384 + 256)
/* The least that any record we negotiate costs beyond its plaintext: header, content type, 16-byte
 * AEAD tag. */
#define DG_TLS_RECORD_OVERHEAD (DG_TLS_HEADER_SIZE + 1 + 16)
/* A stream whose first byte is this is TLS: a handshake record. A distribution name message begins
 * with a length below 0x1600, and no EPMD request is that long either. */
#define DG_TLS_FIRST_BYTE 0x16

#define DG_TLS_RECORD_INVALID SIZE_MAX

/* The size of the record at the start of `bytes`, header included; 0 where the header is not yet
 * whole; DG_TLS_RECORD_INVALID where it is none. */
size_t dg_tls_record_size(const uint8_t *bytes, size_t size);

#endif
