/* Addresses and networks as values of settings. */
#ifndef DISTGUARD_POLICY_NETWORKS_H
#define DISTGUARD_POLICY_NETWORKS_H

#include "policy/keys.h"

/* Makes a network of the setting's text. Returns 0, or -1 with the reason in `reading`. */
int dg_read_network(const config_setting_t *setting, const char *text, struct dg_network *network,
                    struct dg_reading *reading);

#endif
