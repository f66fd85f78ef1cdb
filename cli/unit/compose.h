/* What goes into the drop-ins. */
#ifndef DISTGUARD_CLI_UNIT_COMPOSE_H
#define DISTGUARD_CLI_UNIT_COMPOSE_H

#include "cli/unit/plan.h"

/* For the service. To be freed; NULL with the reason in `error`. */
char *dg_compose_service(const struct dg_plan *plan, struct dg_error *error);

/*
 * For EPMD's socket, which systemd opens, so that the library cannot move it: loopback, and where
 * the policy wants EPMD. To be freed; NULL with the reason in `error`.
 */
char *dg_compose_socket(const struct dg_plan *plan, const struct dg_unit *socket,
                        struct dg_error *error);

#endif
