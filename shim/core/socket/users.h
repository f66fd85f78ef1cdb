/* Which users can be told apart from where we are. */
#ifndef DISTGUARD_SOCKET_USERS_H
#define DISTGUARD_SOCKET_USERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "shim/abi.h"

/*
 * Whether the kernel shows others as this user, too. In a user namespace (PrivateUsers= of a unit,
 * a container) it shows all who have no place in there as one, the overflow user
 * (user_namespaces(7)), who is nobody as a rule.
 */
bool dg_user_is_shared(const struct dg_real *real, uid_t user);

#endif
