/* Our own certificate: one that no peer would accept is refused at start. */
#ifndef DISTGUARD_TLS_OWN_H
#define DISTGUARD_TLS_OWN_H

#include "shim/core/tls/trust.h"

/* Makes the context, to which dg_trust_set() has given its anchors, show our certificate. Returns
 * 0, or -1 with what is wrong with it and what to do in `error`. */
int dg_own_set(SSL_CTX *context, const struct dg_tls_policy *policy,
               const struct dg_material *material, struct dg_error *error);

#endif
