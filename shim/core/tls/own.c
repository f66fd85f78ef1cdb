#include "shim/core/tls/own.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "shim/core/tls/identity.h"
#include "shim/core/tls/internal.h"

/* What an operator does about it. */
static const char *remedy(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "issue a new one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "wait, or set this host's clock";
    case X509_V_ERR_CERT_REVOKED:
        return "issue a new one, with a new key";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return "put its CA into tls.ca, and the CAs between behind it in its own file";
    case X509_V_ERR_INVALID_PURPOSE:
        return "issue it with the extended key usages serverAuth and clientAuth, or with none";
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return "issue it with EC P-256 or RSA of 2048 bits at least, and SHA-256";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return "put the CA's present one there";
    default:
        return "issue it anew";
    }
}

/* Whether a peer with our own trust anchors would accept our certificate in this role. */
static int check_chain(SSL_CTX *context, STACK_OF(X509) * chain, int purpose, const char *path,
                       struct dg_error *error)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new_ex(dg_tls_library(), NULL);
    char why[256];
    int result = -1;

    if (check == NULL || X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context),
                                             sk_X509_value(chain, 0), chain) != 1) {
        (void)dg_fail(error, "out of memory");
    } else {
        dg_trust_parameters(X509_STORE_CTX_get0_param(check));
        X509_STORE_CTX_set_purpose(check, purpose);
        if (dg_trust_verify(check, why, sizeof why)) {
            result = 0;
        } else {
            (void)dg_fail(error, "%s: no peer would accept this certificate as a %s: %s; %s", path,
                          purpose == X509_PURPOSE_SSL_SERVER ? "server" : "client", why,
                          remedy(X509_STORE_CTX_get_error(check)));
        }
    }
    ERR_clear_error();
    X509_STORE_CTX_free(check);
    return result;
}

/* As verify_peer() of a handshake does, but for `peers`, which speak of others. */
static int check_leaf(X509 *certificate, const char *path, struct dg_error *error)
{
    struct dg_identity identity;
    struct dg_error why;

    if (dg_identity_read(certificate, &identity, &why) != X509_V_OK) {
        ERR_clear_error();
        return dg_fail(error, "%s: no peer would accept this certificate: %s; issue it anew", path,
                       why.text);
    }
    dg_identity_clear(&identity);
    return 0;
}

static int use(SSL_CTX *context, const struct dg_material *material, const char *path,
               struct dg_error *error)
{
    STACK_OF(X509) *issuers = sk_X509_dup(material->chain);
    int result;

    if (issuers == NULL) {
        return dg_fail(error, "out of memory");
    }
    (void)sk_X509_shift(issuers);
    result = SSL_CTX_use_cert_and_key(context, sk_X509_value(material->chain, 0), material->key,
                                      issuers, 1);
    sk_X509_free(issuers);
    if (result != 1) {
        char reason[160];

        dg_tls_explain(reason, sizeof reason);
        return dg_fail(error, "%s: certificate cannot be used: %s", path, reason);
    }
    return 0;
}

int dg_own_set(SSL_CTX *context, const struct dg_tls_policy *policy,
               const struct dg_material *material, struct dg_error *error)
{
    const char *path = policy->certificate;

    if (X509_check_private_key(sk_X509_value(material->chain, 0), material->key) != 1) {
        ERR_clear_error();
        return dg_fail(error,
                       "%s: private key does not belong to the certificate %s; name the two that "
                       "were issued together",
                       policy->private_key, path);
    }
    if (check_chain(context, material->chain, X509_PURPOSE_SSL_SERVER, path, error) != 0 ||
        check_chain(context, material->chain, X509_PURPOSE_SSL_CLIENT, path, error) != 0 ||
        check_leaf(sk_X509_value(material->chain, 0), path, error) != 0) {
        return -1;
    }
    return use(context, material, path, error);
}
