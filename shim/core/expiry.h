/*
 * Says in the log what ends soon of what the credentials rely on, once at each threshold
 * (dg_expiry_step). The caller serialises these calls; NULL credentials: there are none.
 */
#ifndef DISTGUARD_CORE_EXPIRY_H
#define DISTGUARD_CORE_EXPIRY_H

#include <time.h>

#include "shim/core/tls/credentials.h"

/* Of credentials that have just been loaded. */
void dg_expiry_begin(const struct dg_credentials *credentials, time_t now);

/* Of the same, as connections are made: looks at most once an hour. */
void dg_expiry_again(const struct dg_credentials *credentials, time_t now);

#endif
