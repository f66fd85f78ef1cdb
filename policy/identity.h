/*
 * Whom a certificate stands for, and whether the policy lets it join, and as which node.
 *
 * Pure: the names are read from the certificate by shim/core/tls/identity.c; here they are compared
 * (RFC 9525 for host names, SPIFFE ID section 2 and X.509-SVID section 4 for URIs).
 */
#ifndef DISTGUARD_POLICY_IDENTITY_H
#define DISTGUARD_POLICY_IDENTITY_H

#include "policy/policy.h"

/* The names of one certificate's subject alternative name; free of NUL and other control bytes. The
 * common name is not among them, and never looked at. */
struct dg_identity {
    struct dg_string_list dns;
    struct dg_string_list uris;
    struct dg_host *addresses;
    size_t address_count;
    uint8_t spki[DG_SPKI_SIZE]; /* SHA-256 of its SubjectPublicKeyInfo */
};

/* Frees what it holds, not the struct. */
void dg_identity_clear(struct dg_identity *identity);

/*
 * Whether a host name that somebody claims is one of the identity's: a DNS name, compared without
 * regard to case, whose left-most label may be a lone `*` standing for one label; or, where `host`
 * is an address, an IP name. `host` is not terminated.
 */
bool dg_identity_has_host(const struct dg_identity *identity, const char *host, size_t size);

/*
 * Whether `peers` let a certificate in at all, whichever node it will claim to be. False with the
 * reason in `error`.
 */
bool dg_policy_admits(const struct dg_policy *policy, const struct dg_identity *identity,
                      struct dg_error *error);

/*
 * Whether a certificate may be the node `name` ("name@host", not terminated; "@host" for a node
 * that lets its peer choose its name, DFLAG_NAME_ME): the first entry of `peers` that matches the
 * certificate decides by its `nodes`, and `node_names` must be satisfied, too. False with the
 * reason in `error`, which names the rule (file and line) but not the claim.
 */
bool dg_policy_admits_node(const struct dg_policy *policy, const struct dg_identity *identity,
                           const char *name, size_t size, struct dg_error *error);

#endif
