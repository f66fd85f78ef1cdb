/* What strangers say, made fit for terminals and JSON. */
#ifndef DISTGUARD_CLI_SCAN_TEXT_H
#define DISTGUARD_CLI_SCAN_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Printable ASCII as it is, a backslash twice, all else as \xNN; what does not fit ends in "...".
 */
void dg_scan_escape(char *text, size_t size, const uint8_t *bytes, size_t count);

#endif
