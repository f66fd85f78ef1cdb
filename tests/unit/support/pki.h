/* Certificate authorities and certificates in a folder of their own, made anew by every program. */
#ifndef DISTGUARD_TESTS_PKI_H
#define DISTGUARD_TESTS_PKI_H

#include <stdbool.h>

#include "policy/policy.h"
#include "shim/core/tls/credentials.h"

/*
 * In the folder: ours/ and other/, two authorities (ca.pem, ca.key), each with node.pem, node.key
 * and peer.pem, peer.key; and both/ca.pem, which holds both as anchors. Aborts where they cannot be
 * made. cmocka's group setup and teardown.
 */
int pki_make(void **state);
int pki_remove(void **state);

/* Instead, the folder that another process has made and will remove. */
void pki_use(const char *made);

/* A path within the folder; good until the fourth call after. */
char *pki_path(const char *name);

/* The policy of certificate NAME.pem and key NAME.key in `authority`, with the trust anchors of
 * `anchors`. */
struct dg_tls_policy pki_policy(const char *authority, const char *name, const char *anchors);

/* Credentials that must load. */
struct dg_credentials *pki_credentials(const char *authority, const char *name,
                                       const char *anchors);

/* The same of a whole policy, which must outlive them. */
struct dg_credentials *pki_credentials_of(const struct dg_policy *policy);

/* Credentials whose channels speak nothing newer than TLS 1.2, if that. */
void pki_cap_1_2(struct dg_credentials *credentials);

/* What dg_issuer_issue would not make. */
struct pki_special {
    const char *name;
    long from; /* seconds from now */
    long until;
    const char *usages; /* extendedKeyUsage, in OpenSSL's words; NULL: none */
    char *passphrase;
    bool weak; /* a key that nobody should accept any more: RSA with 1024 bits */
};

/* Makes it, signed by `authority`, in that folder. */
void pki_special(const char *authority, const struct pki_special *special);

void pki_write(const char *name, const char *text);
void pki_copy(const char *from, const char *to);

#endif
