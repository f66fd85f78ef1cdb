/* Patterns of node names. Pure. */
#ifndef DISTGUARD_POLICY_GLOB_H
#define DISTGUARD_POLICY_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* `*` stands for any run of bytes, an empty one too, and `?` for any one; but neither for an `@`,
 * so that a name is never taken for a host, nor for a control character. `text` is not terminated.
 */
bool dg_glob_matches(const char *pattern, const char *text, size_t size);

#endif
