#include "policy/number.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/ascii.h"

#define LONGEST_NUMBER 63

size_t dg_word_length(const char *text, size_t size)
{
    size_t length = 0;

    while (length < size && (dg_is_letter(text[length]) || dg_is_digit(text[length]) ||
                             (text[length] != '\0' && strchr("_*.+-", text[length]) != NULL)))
        length++;
    return length;
}

static int base_of(const char *number)
{
    number += *number == '-' || *number == '+';
    return number[0] == '0' && dg_lower(number[1]) == 'x' ? 16 : 10;
}

const char *dg_number_remedy(const char *word, size_t size)
{
    char text[LONGEST_NUMBER + 1] = "", *end;
    long long value;

    memcpy(text, word, size < LONGEST_NUMBER ? size : LONGEST_NUMBER);
    errno = 0;
    value = strtoll(text, &end, base_of(text));
    if (end == text)
        return NULL;
    if (*end == '\0' && (value < INT32_MIN || value > INT32_MAX))
        return "is more than 32 bits hold; write an L behind it";
    if (end[0] == 'L' && errno == ERANGE)
        return "is more than 64 bits hold; write a smaller number";
    return NULL;
}
