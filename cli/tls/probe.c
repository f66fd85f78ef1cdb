#include "cli/tls/probe.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "shim/core/tls/internal.h"
#include "shim/core/wire/tls_record.h"

struct dg_probe {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in;                          /* owned by ssl */
    BIO *out;                         /* owned by ssl */
    uint8_t head[DG_TLS_HEADER_SIZE]; /* of what the peer sends */
    size_t head_size;
    struct dg_probe_findings findings;
};

static struct dg_probe *of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* Called instead of the verification, with what the peer has shown; whatever it is, we go on. */
static int look_at_certificate(X509_STORE_CTX *store, void *unused)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dg_probe_findings *findings = &of(ssl)->findings;
    X509 *certificate = X509_STORE_CTX_get0_cert(store);
    struct tm end = {0};

    (void)unused;
    dg_tls_describe_certificate(certificate, findings->certificate, sizeof findings->certificate);
    if (certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1)
        findings->expires = timegm(&end);
    return 1;
}

static void look_at_alert(const SSL *ssl, int where, int value)
{
    enum { DESCRIPTION = 0xff };
    struct dg_probe_findings *findings = &of(ssl)->findings;

    if (where == SSL_CB_READ_ALERT && (value & DESCRIPTION) != SSL_AD_CLOSE_NOTIFY)
        (void)snprintf(findings->refusal, sizeof findings->refusal, "%s",
                       dg_tls_alert_name(value & DESCRIPTION));
}

/* A stranger may well speak what we never would: old versions and weak keys are what is looked for.
 */
static SSL_CTX *make_context(void)
{
    SSL_CTX *context = SSL_CTX_new_ex(dg_tls_library(), NULL, TLS_client_method());

    if (context == NULL)
        return NULL;
    SSL_CTX_set_security_level(context, 0);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    (void)SSL_CTX_set_max_proto_version(context, 0);
    SSL_CTX_set_cert_verify_callback(context, look_at_certificate, NULL);
    SSL_CTX_set_info_callback(context, look_at_alert);
    return context;
}

static bool make_connection(struct dg_probe *probe, const char *server)
{
    probe->ssl = SSL_new(probe->context);
    probe->in = BIO_new(BIO_s_mem());
    probe->out = BIO_new(BIO_s_mem());
    if (probe->ssl == NULL || probe->in == NULL || probe->out == NULL ||
        SSL_set_app_data(probe->ssl, probe) != 1) {
        BIO_free(probe->in);
        BIO_free(probe->out);
        return false;
    }
    SSL_set_bio(probe->ssl, probe->in, probe->out);
    SSL_set_connect_state(probe->ssl);
    if (server != NULL)
        (void)SSL_set_tlsext_host_name(probe->ssl, server);
    return true;
}

struct dg_probe *dg_probe_new(const char *server)
{
    struct dg_probe *probe = calloc(1, sizeof *probe);

    if (probe == NULL)
        return NULL;
    probe->context = make_context();
    if (probe->context == NULL || !make_connection(probe, server)) {
        dg_probe_free(probe);
        probe = NULL;
    }
    ERR_clear_error();
    return probe;
}

void dg_probe_free(struct dg_probe *probe)
{
    if (probe == NULL)
        return;
    SSL_free(probe->ssl);
    SSL_CTX_free(probe->context);
    free(probe);
}

static void note_agreement(struct dg_probe *probe)
{
    struct dg_probe_findings *findings = &probe->findings;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(probe->ssl);

    if (cipher == NULL)
        cipher = SSL_get_pending_cipher(probe->ssl);
    if (cipher == NULL)
        return;
    (void)snprintf(findings->version, sizeof findings->version, "%s", SSL_get_version(probe->ssl));
    (void)snprintf(findings->cipher, sizeof findings->cipher, "%s", SSL_CIPHER_get_name(cipher));
}

/* The handshake as far as it goes, then what the peer says behind it; its data is of no interest.
 */
static enum dg_probe_state step(struct dg_probe *probe)
{
    char data[256];
    int result = SSL_do_handshake(probe->ssl);
    bool through = result == 1;

    while (result > 0 && through)
        result = SSL_read(probe->ssl, data, sizeof data);
    note_agreement(probe);
    if (SSL_get_error(probe->ssl, result) != SSL_ERROR_WANT_READ)
        return DG_PROBE_OVER;
    return through ? DG_PROBE_THROUGH : DG_PROBE_WAITS;
}

/* OpenSSL would call much of what is no TLS by other names. */
static bool is_tls(struct dg_probe *probe, const uint8_t *bytes, size_t size)
{
    while (probe->head_size < sizeof probe->head && size > 0) {
        probe->head[probe->head_size++] = *bytes++;
        size--;
    }
    return dg_tls_record_size(probe->head, probe->head_size) != DG_TLS_RECORD_INVALID;
}

enum dg_probe_state dg_probe_receive(struct dg_probe *probe, const uint8_t *bytes, size_t size)
{
    enum dg_probe_state state;

    if (!is_tls(probe, bytes, size))
        return DG_PROBE_NOT_TLS;
    if (size > INT_MAX || (size > 0 && BIO_write(probe->in, bytes, (int)size) != (int)size))
        return DG_PROBE_OVER;
    ERR_clear_error();
    state = step(probe);
    ERR_clear_error();
    return state;
}

size_t dg_probe_send(struct dg_probe *probe, uint8_t *bytes, size_t size)
{
    int taken = BIO_read(probe->out, bytes, size < INT_MAX ? (int)size : INT_MAX);

    return taken > 0 ? (size_t)taken : 0;
}

const struct dg_probe_findings *dg_probe_findings(const struct dg_probe *probe)
{
    return &probe->findings;
}
