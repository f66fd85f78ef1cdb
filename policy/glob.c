#include "policy/glob.h"

static bool is_wild(char byte)
{
    return byte != '@' && byte != '\x7f' && (unsigned char)byte >= ' ';
}

static bool byte_matches(char pattern, char byte)
{
    return pattern == '?' ? is_wild(byte) : pattern != '\0' && pattern == byte;
}

bool dg_glob_matches(const char *pattern, const char *text, size_t size)
{
    const char *star = NULL; /* the last one: only that one needs to be tried with more bytes */
    size_t taken = 0, at = 0;

    for (;;) {
        if (*pattern == '*') {
            star = pattern++;
            taken = at;
        } else if (at == size && *pattern == '\0') {
            return true;
        } else if (at < size && byte_matches(*pattern, text[at])) {
            pattern++;
            at++;
        } else if (star != NULL && taken < size && is_wild(text[taken])) {
            pattern = star + 1;
            at = ++taken;
        } else {
            return false;
        }
    }
}
