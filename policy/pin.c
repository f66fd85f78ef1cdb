#include "policy/pin.h"

#include <stdio.h>
#include <string.h>

#define HEX_PREFIX "sha256:"
#define BASE64_PREFIX "sha256/"
#define BASE64_SIZE ((size_t)44) /* of 32 bytes, with one = at the end */

/* The value of a digit in an alphabet, or -1. */
static int digit_value(const char *alphabet, char digit)
{
    const char *found = digit == '\0' ? NULL : strchr(alphabet, digit);

    return found == NULL ? -1 : (int)(found - alphabet);
}

static bool parse_hex(const char *text, uint8_t pin[DG_SPKI_SIZE])
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";

    if (strlen(text) != (size_t)2 * DG_SPKI_SIZE)
        return false;
    for (size_t i = 0; i < DG_SPKI_SIZE; i++) {
        int high = digit_value(digits, text[2 * i]), low = digit_value(digits, text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        pin[i] = (uint8_t)((high % 16) << 4 | low % 16);
    }
    return true;
}

/* Four digits are three bytes; the last three digits and a = are two. */
static bool parse_base64(const char *text, uint8_t pin[DG_SPKI_SIZE])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, count = 0;
    size_t used = 0;

    if (strlen(text) != BASE64_SIZE || text[BASE64_SIZE - 1] != '=')
        return false;
    for (size_t i = 0; i + 1 < BASE64_SIZE; i++) {
        int value = digit_value(digits, text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            pin[used++] = (uint8_t)(bits >> count);
            bits &= (1u << count) - 1;
        }
    }
    return bits == 0; /* what is beyond the last byte */
}

bool dg_pin_parse(const char *text, uint8_t pin[DG_SPKI_SIZE])
{
    if (strncmp(text, HEX_PREFIX, strlen(HEX_PREFIX)) == 0)
        return parse_hex(text + strlen(HEX_PREFIX), pin);
    return strncmp(text, BASE64_PREFIX, strlen(BASE64_PREFIX)) == 0 &&
           parse_base64(text + strlen(BASE64_PREFIX), pin);
}

void dg_pin_print(const uint8_t pin[DG_SPKI_SIZE], char text[DG_PIN_TEXT])
{
    int used = snprintf(text, DG_PIN_TEXT, "%s", HEX_PREFIX);

    for (size_t i = 0; i < DG_SPKI_SIZE; i++)
        used += snprintf(text + used, DG_PIN_TEXT - (size_t)used, "%02x", pin[i]);
}
