#include "shim/core/tls/trust.h"

#include <openssl/x509v3.h>

#include "shim/core/tls/internal.h"

/* How many certificates may stand between a leaf and its trust anchor. */
enum { CHAIN_DEPTH = 4 };

void dg_trust_parameters(X509_VERIFY_PARAM *parameters)
{
    X509_VERIFY_PARAM_set_depth(parameters, CHAIN_DEPTH);
    X509_VERIFY_PARAM_set_auth_level(parameters, DG_SECURITY_LEVEL);
}

/* OpenSSL looks for the issuer of a certificate with an extension that cannot be read, or is there
 * twice, finds that it could be nobody's, and reports that. */
static bool is_malformed(X509 *certificate)
{
    return certificate != NULL && (X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0;
}

bool dg_trust_verify(X509_STORE_CTX *check, char *why, size_t size)
{
    if (X509_verify_cert(check) == 1) {
        return true;
    }
    if (is_malformed(X509_STORE_CTX_get_current_cert(check))) {
        X509_STORE_CTX_set_error(check, X509_V_ERR_INVALID_EXTENSION);
    } else if (X509_STORE_CTX_get_error(check) == X509_V_OK) {
        X509_STORE_CTX_set_error(check, X509_V_ERR_UNSPECIFIED);
    }
    dg_tls_explain_chain(check, why, size);
    return false;
}

/* --- anchors --- */

/* A leaf among the anchors would be believed on its own, past every CA. */
static int check_anchor(X509 *anchor, const char *path, struct dg_error *error)
{
    char name[128];

    if (X509_check_ca(anchor) != 0) {
        return 0;
    }
    X509_NAME_oneline(X509_get_subject_name(anchor), name, sizeof name);
    return dg_fail(error,
                   "%s: trust anchor %s is not the certificate of a CA (basicConstraints CA:TRUE, "
                   "keyUsage keyCertSign); take it out, or issue the CA's anew",
                   path, name);
}

static int add_anchors(X509_STORE *store, STACK_OF(X509) * anchors, const char *path,
                       struct dg_error *error)
{
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        if (check_anchor(sk_X509_value(anchors, i), path, error) != 0) {
            return -1;
        }
        if (X509_STORE_add_cert(store, sk_X509_value(anchors, i)) != 1) {
            return dg_fail(error, "out of memory");
        }
    }
    return 0;
}

/* --- CRLs --- */

static bool has_crl(STACK_OF(X509_CRL) * crls, const X509_NAME *issuer)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        if (X509_NAME_cmp(X509_CRL_get_issuer(sk_X509_CRL_value(crls, i)), issuer) == 0) {
            return true;
        }
    }
    return false;
}

/* Of a CA without a CRL nobody could join, which is better said at start than of each peer. */
static int check_complete(const struct dg_tls_policy *policy, const struct dg_material *material,
                          struct dg_error *error)
{
    for (int i = 0; i < sk_X509_num(material->anchors); i++) {
        const X509_NAME *name = X509_get_subject_name(sk_X509_value(material->anchors, i));
        char words[128];

        if (!has_crl(material->crls, name)) {
            X509_NAME_oneline(name, words, sizeof words);
            return dg_fail(error,
                           "%s: there is no CRL of the trust anchor %s (tls.ca = %s), so that none "
                           "of its certificates could join; add it, even if it revokes nothing",
                           policy->crl, words, policy->ca);
        }
    }
    return 0;
}

static int add_crls(X509_STORE *store, STACK_OF(X509_CRL) * crls, const char *path,
                    struct dg_error *error)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        X509_CRL *crl = sk_X509_CRL_value(crls, i);
        char name[128];

        X509_NAME_oneline(X509_CRL_get_issuer(crl), name, sizeof name);
        if (X509_CRL_get0_nextUpdate(crl) == NULL) {
            return dg_fail(error,
                           "%s: the CRL of %s has no nextUpdate, and would be believed for ever; "
                           "make it with one",
                           path, name);
        }
        if (X509_STORE_add_crl(store, crl) != 1) {
            return dg_fail(error, "out of memory");
        }
    }
    return 0;
}

static int set_crls(X509_STORE *store, const struct dg_tls_policy *policy,
                    const struct dg_material *material, struct dg_error *error)
{
    if (policy->crl == NULL) {
        return 0;
    }
    if (check_complete(policy, material, error) != 0 ||
        add_crls(store, material->crls, policy->crl, error) != 0) {
        return -1;
    }
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

int dg_trust_set(SSL_CTX *context, const struct dg_tls_policy *policy,
                 const struct dg_material *material, struct dg_error *error)
{
    X509_STORE *store = X509_STORE_new();

    if (store == NULL) {
        return dg_fail(error, "out of memory");
    }
    SSL_CTX_set_cert_store(context, store); /* owns it from here on */
    if (add_anchors(store, material->anchors, policy->ca, error) != 0 ||
        set_crls(store, policy, material, error) != 0) {
        return -1;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    dg_trust_parameters(SSL_CTX_get0_param(context));
    return 0;
}
