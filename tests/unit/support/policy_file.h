/* A shim.conf in a folder of its own, loaded or refused. */
#ifndef DISTGUARD_TESTS_POLICY_FILE_H
#define DISTGUARD_TESTS_POLICY_FILE_H

#include "policy/policy.h"

/* cmocka's setup and teardown. */
int policy_file_make(void **state);
int policy_file_remove(void **state);

const char *policy_file_path(void);

/* The policy of this text, which must load; the caller frees it. */
struct dg_policy *policy_of(const char *text);

/* Messages as they are written, with "~" for the policy file's path: what loading this text must
 * say, and what something else must have said. */
void assert_policy_refused(const char *text, const char *message);
void assert_message(const struct dg_error *error, const char *message);

#endif
