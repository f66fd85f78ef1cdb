/* What a profile comes to on this very host: where its listeners will be, who may connect, and from
 * where connections are made. */
#ifndef DISTGUARD_CLI_FORECAST_H
#define DISTGUARD_CLI_FORECAST_H

#include "policy/policy.h"

/* Prints it as facts. */
void dg_forecast_print(const struct dg_policy *policy);

/* Whether this host has the addresses that the policy needs. 0, or -1 with the reason in `error`.
 */
int dg_forecast_check(const struct dg_policy *policy, struct dg_error *error);

#endif
