/*
 * Our certificate, its key and the trust anchors, made ready for handshakes: immutable once built.
 *
 * Uses an OpenSSL library context of its own, so that neither the VM's crypto application nor we
 * can change the other's settings, and sets every parameter itself, so that nothing of OPENSSL_CONF
 * counts.
 */
#ifndef DISTGUARD_TLS_CREDENTIALS_H
#define DISTGUARD_TLS_CREDENTIALS_H

#include "policy/policy.h"
#include "shim/core/tls/expiry.h"

struct dg_credentials;

/*
 * To be called once in a process before any other use of OpenSSL: no atexit handler (a VM that
 * exits while its threads are inside OpenSSL would crash, openssl #17112).
 */
int dg_tls_start(struct dg_error *error);

/*
 * OpenSSL may be ended all the same: by a library that used it before us and did not say that, or
 * by the program itself. From then on no channel can be made and no credentials are freed;
 * `handler` is called before anything is torn down, to let go of the channels that there are.
 */
void dg_tls_at_end(void (*handler)(void));
bool dg_tls_has_ended(void);

/*
 * Reads and checks the files that the policy names: certificate chain, private key (permissions,
 * never a passphrase prompt, match with the certificate), trust anchors, CRLs. A certificate that
 * no peer with the same anchors would accept in both roles is refused. `policy` must outlive the
 * credentials: its `peers` are asked in every handshake.
 *
 * Returns 0 and credentials that the caller frees with dg_credentials_free(), or -1 with the reason
 * in `error`.
 */
int dg_credentials_load(const struct dg_policy *policy, struct dg_credentials **credentials,
                        struct dg_error *error);
void dg_credentials_free(struct dg_credentials *credentials);

/* What ends when: each certificate of our chain, each trust anchor, each CRL. It is the
 * credentials'. */
const struct dg_expiry *dg_credentials_expiries(const struct dg_credentials *credentials,
                                                size_t *count);

#endif
