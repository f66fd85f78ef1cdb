/* Bytes as ASCII has them: of the C locale, whatever the program's is. */
#ifndef DISTGUARD_POLICY_ASCII_H
#define DISTGUARD_POLICY_ASCII_H

#include <stdbool.h>

static inline char dg_lower(char c)
{
    return 'A' <= c && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool dg_is_digit(char c)
{
    return '0' <= c && c <= '9';
}

static inline bool dg_is_letter(char c)
{
    return 'a' <= dg_lower(c) && dg_lower(c) <= 'z';
}

static inline bool dg_equal_ignoring_case(const char *a, const char *b)
{
    while (*a != '\0' && dg_lower(*a) == dg_lower(*b)) {
        a++;
        b++;
    }
    return dg_lower(*a) == dg_lower(*b);
}

#endif
