/* The SHA-256 of a public key as text. Pure. */
#ifndef DISTGUARD_POLICY_PIN_H
#define DISTGUARD_POLICY_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

/* "sha256:" and 64 hexadecimal digits, as sha256sum prints them, or "sha256/" and base64, as in
 * HPKP (RFC 7469). */
bool dg_pin_parse(const char *text, uint8_t pin[DG_SPKI_SIZE]);

/* Room for "sha256:", the digits and the terminator */
#define DG_PIN_TEXT (sizeof "sha256:" + (size_t)2 * DG_SPKI_SIZE)

void dg_pin_print(const uint8_t pin[DG_SPKI_SIZE], char text[DG_PIN_TEXT]);

#endif
