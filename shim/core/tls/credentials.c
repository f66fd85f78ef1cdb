#include "shim/core/tls/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/core/tls/handshake.h"
#include "shim/core/tls/internal.h"

enum { FILE_MAX = 1024 * 1024, CHAIN_DEPTH = 4, SECURITY_LEVEL = 2 };

/* Our preferences; both ends of a channel are ours or OTP's, so that nothing old is needed. */
#define CIPHERSUITES "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS_HYBRID "X25519MLKEM768:X25519:P-256:P-384" /* OpenSSL 3.5 and later */
#define GROUPS "X25519:P-256:P-384"
#define SIGNATURES                                                                                 \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:RSA-PSS+SHA256:RSA-PSS+SHA384:"          \
    "RSA-PSS+SHA512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                     \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* One PEM file in memory. */
struct pem {
    const char *path;
    char *bytes;
    size_t size;
    BIO *bio;
};

static void pem_close(struct pem *pem)
{
    BIO_free(pem->bio);
    if (pem->bytes != NULL) {
        OPENSSL_cleanse(pem->bytes, pem->size);
    }
    free(pem->bytes);
}

static int read_all(int fd, struct pem *pem)
{
    ssize_t count;

    while ((count = read(fd, pem->bytes + pem->size, FILE_MAX - pem->size)) > 0) {
        pem->size += (size_t)count;
    }
    return count == 0 && pem->size < FILE_MAX ? 0 : -1;
}

static int pem_open(struct pem *pem, const char *path, const char *what, bool secret,
                    struct dg_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result = -1;

    *pem = (struct pem){.path = path};
    if (fd < 0) {
        return dg_fail(error, "%s: %s cannot be read: %s", path, what, strerror(errno));
    }
    if (dg_policy_check_file(fd, path, what, secret, error) == 0) {
        pem->bytes = malloc(FILE_MAX);
        if (pem->bytes == NULL || read_all(fd, pem) != 0) {
            (void)dg_fail(error, "%s: %s cannot be read, or is larger than %d bytes", path, what,
                          FILE_MAX);
        } else if ((pem->bio = BIO_new_mem_buf(pem->bytes, (int)pem->size)) == NULL) {
            (void)dg_fail(error, "%s: out of memory", path);
        } else {
            result = 0;
        }
    }
    close(fd);
    if (result != 0) {
        pem_close(pem);
    }
    return result;
}

static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

/* The next certificate of the file, or NULL at its end and (then with errors in the queue) where it
 * is broken. */
static X509 *next_certificate(struct pem *pem)
{
    X509 *certificate = X509_new_ex(dg_tls_library(), NULL);

    ERR_clear_error();
    if (certificate != NULL &&
        PEM_read_bio_X509(pem->bio, &certificate, no_passphrase, NULL) == NULL) {
        /* PEM_read_bio_X509 has freed it or left it to us, depending on how far it came. */
        X509_free(certificate);
        certificate = NULL;
    }
    return certificate;
}

/* At the end of a PEM file the queue says "no start line"; anything else is damage. */
static bool at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return end;
}

static int load_certificates(const char *path, const char *what, STACK_OF(X509) * certificates,
                             struct dg_error *error)
{
    struct pem pem;
    X509 *certificate;
    bool whole;

    if (pem_open(&pem, path, what, false, error) != 0) {
        return -1;
    }
    while ((certificate = next_certificate(&pem)) != NULL) {
        if (!sk_X509_push(certificates, certificate)) {
            X509_free(certificate);
            break;
        }
    }
    whole = at_end();
    pem_close(&pem);
    if (!whole || sk_X509_num(certificates) == 0) {
        return dg_fail(error, "%s: %s holds no certificate, or a broken one (PEM is expected)",
                       path, what);
    }
    return 0;
}

static EVP_PKEY *load_key(const char *path, struct dg_error *error)
{
    struct pem pem;
    EVP_PKEY *key;

    if (pem_open(&pem, path, "private key", true, error) != 0) {
        return NULL;
    }
    ERR_clear_error();
    key = PEM_read_bio_PrivateKey_ex(pem.bio, NULL, no_passphrase, NULL, dg_tls_library(), NULL);
    ERR_clear_error();
    pem_close(&pem);
    if (key == NULL) {
        (void)dg_fail(error,
                      "%s: private key cannot be used: it must be PEM and not protected by a "
                      "passphrase (nobody is there to type it)",
                      path);
    }
    return key;
}

/*
 * SSL_CTX_new_ex applies the "system_default" section of OPENSSL_CONF to every context. Here each
 * setting it could have made is made anew; a certificate from there cannot be taken back, so that
 * one is refused.
 */
static int set_protocol(SSL_CTX *context, struct dg_error *error)
{
    if (SSL_CTX_get0_certificate(context) != NULL) {
        return dg_fail(error,
                       "OPENSSL_CONF sets a certificate for every TLS context of this process "
                       "(system_default); remove it, or unset OPENSSL_CONF for this service");
    }
    SSL_CTX_clear_options(context, ~(uint64_t)0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    SSL_CTX_set_quiet_shutdown(context, 0);
    SSL_CTX_set_read_ahead(context, 0);
    SSL_CTX_set0_CA_list(context, NULL);
    SSL_CTX_set_client_CA_list(context, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, CIPHERSUITES) != 1 ||
        (SSL_CTX_set1_groups_list(context, GROUPS_HYBRID) != 1 &&
         SSL_CTX_set1_groups_list(context, GROUPS) != 1) ||
        SSL_CTX_set1_sigalgs_list(context, SIGNATURES) != 1 ||
        SSL_CTX_set1_client_sigalgs_list(context, SIGNATURES) != 1 ||
        SSL_CTX_set_num_tickets(context, 0) != 1 || SSL_CTX_set_max_early_data(context, 0) != 1 ||
        SSL_CTX_set_block_padding(context, 0) != 1) {
        return dg_fail(error,
                       "this OpenSSL refuses our TLS 1.3 settings; OpenSSL 3.0 or later, with its "
                       "default provider, is needed");
    }
    dg_handshake_prepare(context);
    ERR_clear_error();
    return 0;
}

static int set_trust(SSL_CTX *context, STACK_OF(X509) * anchors, struct dg_error *error)
{
    X509_STORE *store = X509_STORE_new();

    if (store == NULL) {
        return dg_fail(error, "out of memory");
    }
    SSL_CTX_set_cert_store(context, store); /* owns it from here on */
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        if (X509_STORE_add_cert(store, sk_X509_value(anchors, i)) != 1) {
            return dg_fail(error, "out of memory");
        }
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(context, CHAIN_DEPTH);
    return 0;
}

/* Whether a peer with our own trust anchors would accept our certificate in this role. */
static int verify_own(SSL_CTX *context, STACK_OF(X509) * chain, int purpose, const char *path,
                      struct dg_error *error)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new_ex(dg_tls_library(), NULL);
    int result = -1;

    if (check == NULL || X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context),
                                             sk_X509_value(chain, 0), chain) != 1) {
        (void)dg_fail(error, "out of memory");
    } else {
        X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(check), CHAIN_DEPTH);
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(check), SECURITY_LEVEL);
        X509_STORE_CTX_set_purpose(check, purpose);
        if (X509_verify_cert(check) == 1) {
            result = 0;
        } else {
            (void)dg_fail(error, "%s: no peer would accept this certificate as a %s: %s", path,
                          purpose == X509_PURPOSE_SSL_SERVER ? "server" : "client",
                          X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
        }
    }
    ERR_clear_error();
    X509_STORE_CTX_free(check);
    return result;
}

static int set_own(SSL_CTX *context, const struct dg_tls_policy *policy, STACK_OF(X509) * chain,
                   EVP_PKEY *key, struct dg_error *error)
{
    X509 *certificate = sk_X509_value(chain, 0);
    STACK_OF(X509) * issuers;
    int result;

    if (X509_check_private_key(certificate, key) != 1) {
        ERR_clear_error();
        return dg_fail(error, "%s: private key does not belong to the certificate %s",
                       policy->private_key, policy->certificate);
    }
    if (verify_own(context, chain, X509_PURPOSE_SSL_SERVER, policy->certificate, error) != 0 ||
        verify_own(context, chain, X509_PURPOSE_SSL_CLIENT, policy->certificate, error) != 0) {
        return -1;
    }
    issuers = sk_X509_dup(chain);
    if (issuers == NULL) {
        return dg_fail(error, "out of memory");
    }
    (void)sk_X509_shift(issuers);
    result = SSL_CTX_use_cert_and_key(context, certificate, key, issuers, 1);
    sk_X509_free(issuers);
    if (result != 1) {
        char reason[160];

        dg_tls_explain(NULL, reason, sizeof reason);
        return dg_fail(error, "%s: certificate cannot be used: %s", policy->certificate, reason);
    }
    return 0;
}

/* Everything that is read from files, kept together so that it is freed in one place. */
struct material {
    STACK_OF(X509) * chain;
    STACK_OF(X509) * anchors;
    EVP_PKEY *key;
};

static int build(SSL_CTX *context, const struct dg_tls_policy *policy, struct material *material,
                 struct dg_error *error)
{
    if (set_protocol(context, error) != 0 ||
        load_certificates(policy->ca, "trust anchors", material->anchors, error) != 0 ||
        load_certificates(policy->certificate, "certificate", material->chain, error) != 0) {
        return -1;
    }
    material->key = load_key(policy->private_key, error);
    if (material->key == NULL) {
        return -1;
    }
    if (set_trust(context, material->anchors, error) != 0) {
        return -1;
    }
    return set_own(context, policy, material->chain, material->key, error);
}

int dg_credentials_load(const struct dg_policy *policy, struct dg_credentials **credentials,
                        struct dg_error *error)
{
    struct material material = {.chain = sk_X509_new_null(), .anchors = sk_X509_new_null()};
    struct dg_credentials *made = calloc(1, sizeof *made);
    int result = -1;

    ERR_clear_error();
    if (made == NULL || material.chain == NULL || material.anchors == NULL ||
        (made->context = SSL_CTX_new_ex(dg_tls_library(), NULL, TLS_method())) == NULL) {
        (void)dg_fail(error,
                      "OpenSSL makes no TLS context: out of memory, or a broken OPENSSL_CONF");
    } else {
        made->policy = policy;
        result = build(made->context, &policy->tls, &material, error);
    }
    ERR_clear_error();
    sk_X509_pop_free(material.chain, X509_free);
    sk_X509_pop_free(material.anchors, X509_free);
    EVP_PKEY_free(material.key);
    if (result == 0) {
        *credentials = made;
    } else {
        dg_credentials_free(made);
    }
    return result;
}

void dg_credentials_free(struct dg_credentials *credentials)
{
    if (credentials != NULL) {
        SSL_CTX_free(credentials->context);
        free(credentials);
    }
}
