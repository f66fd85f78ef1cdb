/* DISTGUARD_PROGRAMS: which programs the library guards besides those that it knows. It may not
 * read the policy in other programs to learn of more. */
#ifndef DISTGUARD_CLI_PROGRAMS_H
#define DISTGUARD_CLI_PROGRAMS_H

#include "policy/policy.h"

/* "my_node:other", or "" where there is nothing to say; to be freed. NULL with the reason in
 * `error`. */
char *dg_programs_word(const struct dg_string_list *programs, struct dg_error *error);

#endif
