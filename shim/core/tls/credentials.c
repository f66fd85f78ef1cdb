#include "shim/core/tls/credentials.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "shim/core/tls/handshake.h"
#include "shim/core/tls/internal.h"
#include "shim/core/tls/own.h"
#include "shim/core/tls/pem.h"
#include "shim/core/tls/trust.h"

/* Our preferences; both ends of a channel are ours or OTP's, so that nothing old is needed. */
#define CIPHERSUITES "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
/* TLS 1.2, where the policy allows it: what the record layer here knows, with forward secrecy. */
#define CIPHERS_1_2                                                                                \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define GROUPS_HYBRID "X25519MLKEM768:X25519:P-256:P-384" /* OpenSSL 3.5 and later */
#define GROUPS "X25519:P-256:P-384"
#define SIGNATURES                                                                                 \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:RSA-PSS+SHA256:RSA-PSS+SHA384:"          \
    "RSA-PSS+SHA512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                     \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

/*
 * SSL_CTX_new_ex applies the "system_default" section of OPENSSL_CONF to every context. Here each
 * setting it could have made is made anew; a certificate from there cannot be taken back, so that
 * one is refused.
 */
static int set_protocol(SSL_CTX *context, enum dg_tls_version least, struct dg_error *error)
{
    int min_version = least == DG_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;

    if (SSL_CTX_get0_certificate(context) != NULL) {
        return dg_fail(error,
                       "OPENSSL_CONF sets a certificate for every TLS context of this process "
                       "(system_default); remove it, or unset OPENSSL_CONF for this service");
    }
    SSL_CTX_clear_options(context, ~(uint64_t)0);
    /* OTP's client asks for the compatibility mode of RFC 8446 D.4 and insists on it. */
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(context, DG_SECURITY_LEVEL);
    SSL_CTX_set_quiet_shutdown(context, 0);
    SSL_CTX_set_read_ahead(context, 0);
    SSL_CTX_set0_CA_list(context, NULL);
    SSL_CTX_set_client_CA_list(context, NULL);
    if (SSL_CTX_set_min_proto_version(context, min_version) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, CIPHERSUITES) != 1 ||
        SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1 ||
        (SSL_CTX_set1_groups_list(context, GROUPS_HYBRID) != 1 &&
         SSL_CTX_set1_groups_list(context, GROUPS) != 1) ||
        SSL_CTX_set1_sigalgs_list(context, SIGNATURES) != 1 ||
        SSL_CTX_set1_client_sigalgs_list(context, SIGNATURES) != 1 ||
        SSL_CTX_set_num_tickets(context, 0) != 1 || SSL_CTX_set_max_early_data(context, 0) != 1 ||
        SSL_CTX_set_block_padding(context, 0) != 1) {
        return dg_fail(error,
                       "this OpenSSL refuses our TLS settings; OpenSSL 3.0 or later, with its "
                       "default provider, is needed");
    }
    dg_handshake_prepare(context);
    ERR_clear_error();
    return 0;
}

/* --- when it ends --- */

static void note_certificates(struct dg_credentials *credentials, STACK_OF(X509) * certificates,
                              enum dg_expiry_kind kind, const char *file)
{
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        struct dg_expiry *expiry = &credentials->expiries[credentials->expiry_count++];

        *expiry = (struct dg_expiry){.kind = kind,
                                     .file = file,
                                     .begins = dg_tls_seconds(X509_get0_notBefore(certificate)),
                                     .ends = dg_tls_seconds(X509_get0_notAfter(certificate))};
        dg_tls_describe_certificate(certificate, expiry->name, sizeof expiry->name);
    }
}

static void note_crls(struct dg_credentials *credentials, STACK_OF(X509_CRL) * crls,
                      const char *file)
{
    for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
        const X509_CRL *crl = sk_X509_CRL_value(crls, i);
        struct dg_expiry *expiry = &credentials->expiries[credentials->expiry_count++];

        *expiry = (struct dg_expiry){.kind = DG_EXPIRY_CRL,
                                     .file = file,
                                     .begins = dg_tls_seconds(X509_CRL_get0_lastUpdate(crl)),
                                     .ends = dg_tls_seconds(X509_CRL_get0_nextUpdate(crl))};
        X509_NAME_oneline(X509_CRL_get_issuer(crl), expiry->name, sizeof expiry->name);
    }
}

static int note_expiries(struct dg_credentials *credentials, const struct dg_material *material,
                         struct dg_error *error)
{
    const struct dg_tls_policy *policy = &credentials->policy->tls;
    int count = sk_X509_num(material->chain) + sk_X509_num(material->anchors) +
                sk_X509_CRL_num(material->crls);

    credentials->expiries = calloc((size_t)count, sizeof *credentials->expiries);
    if (credentials->expiries == NULL) {
        return dg_fail(error, "out of memory");
    }
    note_certificates(credentials, material->chain, DG_EXPIRY_CERTIFICATE, policy->certificate);
    note_certificates(credentials, material->anchors, DG_EXPIRY_ANCHOR, policy->ca);
    note_crls(credentials, material->crls, policy->crl);
    return 0;
}

const struct dg_expiry *dg_credentials_expiries(const struct dg_credentials *credentials,
                                                size_t *count)
{
    *count = credentials->expiry_count;
    return credentials->expiries;
}

/* --- all of it --- */

static int read_material(const struct dg_tls_policy *policy, struct dg_material *material,
                         struct dg_error *error)
{
    if (dg_pem_certificates(policy->ca, "trust anchors", material->anchors, error) != 0 ||
        (policy->crl != NULL && dg_pem_crls(policy->crl, material->crls, error) != 0) ||
        dg_pem_certificates(policy->certificate, "certificate", material->chain, error) != 0) {
        return -1;
    }
    material->key =
        dg_pem_key(policy->private_key,
                   policy->private_key_group_readable ? DG_FILE_OF_GROUP : DG_FILE_SECRET, error);
    return material->key != NULL ? 0 : -1;
}

static int build(struct dg_credentials *credentials, struct dg_material *material,
                 struct dg_error *error)
{
    const struct dg_tls_policy *policy = &credentials->policy->tls;

    if (set_protocol(credentials->context, policy->min_version, error) != 0 ||
        read_material(policy, material, error) != 0 ||
        dg_trust_set(credentials->context, policy, material, error) != 0 ||
        dg_own_set(credentials->context, policy, material, error) != 0) {
        return -1;
    }
    return note_expiries(credentials, material, error);
}

int dg_credentials_load(const struct dg_policy *policy, struct dg_credentials **credentials,
                        struct dg_error *error)
{
    struct dg_material material = {
        .chain = sk_X509_new_null(), .anchors = sk_X509_new_null(), .crls = sk_X509_CRL_new_null()};
    struct dg_credentials *made = calloc(1, sizeof *made);
    int result = -1;

    dg_tls_know_thread();
    ERR_clear_error();
    if (made == NULL || material.chain == NULL || material.anchors == NULL ||
        material.crls == NULL ||
        (made->context = SSL_CTX_new_ex(dg_tls_library(), NULL, TLS_method())) == NULL) {
        (void)dg_fail(error,
                      "OpenSSL makes no TLS context: out of memory, or a broken OPENSSL_CONF");
    } else {
        made->policy = policy;
        result = build(made, &material, error);
    }
    ERR_clear_error();
    sk_X509_pop_free(material.chain, X509_free);
    sk_X509_pop_free(material.anchors, X509_free);
    sk_X509_CRL_pop_free(material.crls, X509_CRL_free);
    EVP_PKEY_free(material.key);
    if (result == 0) {
        *credentials = made;
    } else {
        dg_credentials_free(made);
    }
    /* Where OpenSSL has ended it is left alone. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return result;
}

void dg_credentials_free(struct dg_credentials *credentials)
{
    if (credentials != NULL && !dg_tls_has_ended()) {
        SSL_CTX_free(credentials->context);
        free(credentials->expiries);
        free(credentials);
    }
}
