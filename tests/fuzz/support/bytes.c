#include "tests/fuzz/support/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t fuzz_byte(struct fuzz_bytes *bytes)
{
    if (bytes->left == 0) {
        return 0;
    }
    bytes->left--;
    return *bytes->next++;
}

uint16_t fuzz_word(struct fuzz_bytes *bytes)
{
    unsigned high = fuzz_byte(bytes);

    return (uint16_t)(high << 8 | fuzz_byte(bytes));
}

size_t fuzz_size(struct fuzz_bytes *bytes)
{
    size_t first = fuzz_byte(bytes);

    return first < 0x80 ? first : (first - 0x7f) * fuzz_byte(bytes);
}

size_t fuzz_take(struct fuzz_bytes *bytes, const uint8_t **taken, size_t most)
{
    size_t size = most < bytes->left ? most : bytes->left;

    *taken = bytes->next;
    bytes->next += size;
    bytes->left -= size;
    return size;
}

uint8_t *fuzz_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

void fuzz_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    abort();
}
