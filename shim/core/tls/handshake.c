#include "shim/core/tls/handshake.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/tls/bio.h"
#include "shim/core/tls/internal.h"

/* An application traffic secret (RFC 8446 section 7.1). */
struct secret {
    size_t size;
    uint8_t bytes[DG_SECRET_MAX];
};

struct dg_handshake {
    SSL *ssl;
    enum dg_channel_side side;
    struct secret client;
    struct secret server;
};

/* --- secrets --- */

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static void read_secret(struct secret *secret, const char *hex)
{
    secret->size = 0;
    while (secret->size < sizeof secret->bytes) {
        int high = hex_digit(hex[0]);
        int low = high < 0 ? -1 : hex_digit(hex[1]);

        if (low < 0) {
            return;
        }
        secret->bytes[secret->size++] = (uint8_t)(high << 4 | low);
        hex += 2;
    }
}

/* OpenSSL tells a connection's secrets by this callback alone, as lines "LABEL CLIENT_RANDOM
 * SECRET" (the format of SSLKEYLOGFILE). They go nowhere but here. */
static void take_secret(const SSL *ssl, const char *line)
{
    struct dg_handshake *handshake = SSL_get_app_data(ssl);
    const char *space = strchr(line, ' ');
    const char *last = strrchr(line, ' ');

    if (handshake == NULL || space == NULL) {
        return;
    }
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", (size_t)(space - line) + 1) == 0) {
        read_secret(&handshake->client, last + 1);
    } else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", (size_t)(space - line) + 1) == 0) {
        read_secret(&handshake->server, last + 1);
    }
}

void dg_handshake_prepare(SSL_CTX *context)
{
    SSL_CTX_set_keylog_callback(context, take_secret);
}

/* --- the handshake --- */

struct dg_handshake *dg_handshake_new(const struct dg_credentials *credentials,
                                      enum dg_channel_side side, struct dg_buffer *in,
                                      size_t *whole, struct dg_buffer *out)
{
    struct dg_handshake *handshake = calloc(1, sizeof *handshake);

    if (handshake == NULL) {
        return NULL;
    }
    handshake->side = side;
    handshake->ssl = SSL_new(credentials->context);
    if (handshake->ssl == NULL || dg_bio_attach(handshake->ssl, in, whole, out) != 0) {
        dg_handshake_free(handshake);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_app_data(handshake->ssl, handshake);
    if (side == DG_CHANNEL_CLIENT) {
        SSL_set_connect_state(handshake->ssl);
    } else {
        SSL_set_accept_state(handshake->ssl);
    }
    return handshake;
}

void dg_handshake_free(struct dg_handshake *handshake)
{
    if (handshake != NULL) {
        SSL_free(handshake->ssl);
        OPENSSL_cleanse(handshake, sizeof *handshake);
        free(handshake);
    }
}

enum dg_handshake_state dg_handshake_step(struct dg_handshake *handshake, char *reason,
                                          size_t reason_size)
{
    int result = SSL_do_handshake(handshake->ssl);

    if (result == 1) {
        return DG_HANDSHAKE_DONE;
    }
    if (SSL_get_error(handshake->ssl, result) == SSL_ERROR_WANT_READ) {
        return DG_HANDSHAKE_MORE;
    }
    dg_tls_explain(handshake->ssl, reason, reason_size);
    return DG_HANDSHAKE_FAILED;
}

static int derive(const struct dg_handshake *handshake, const SSL_CIPHER *suite,
                  struct dg_keys *receiving, struct dg_keys *sending)
{
    bool client = handshake->side == DG_CHANNEL_CLIENT;
    const struct secret *ours = client ? &handshake->client : &handshake->server;
    const struct secret *theirs = client ? &handshake->server : &handshake->client;
    const char *cipher = OBJ_nid2ln(SSL_CIPHER_get_cipher_nid(suite));
    const EVP_MD *digest = SSL_CIPHER_get_handshake_digest(suite);
    size_t size = digest != NULL ? (size_t)EVP_MD_get_size(digest) : 0;

    if (cipher == NULL || size == 0 || ours->size != size || theirs->size != size) {
        return -1;
    }
    return dg_keys_init(receiving, cipher, EVP_MD_get0_name(digest), theirs->bytes, size, false) ==
                       0 &&
                   dg_keys_init(sending, cipher, EVP_MD_get0_name(digest), ours->bytes, size,
                                true) == 0
               ? 0
               : -1;
}

int dg_handshake_finish(struct dg_handshake *handshake, struct dg_agreed *agreed,
                        struct dg_keys *receiving, struct dg_keys *sending, char *reason,
                        size_t reason_size)
{
    X509 *certificate = SSL_get0_peer_certificate(handshake->ssl);
    const SSL_CIPHER *suite = SSL_get_current_cipher(handshake->ssl);

    /* Belt and braces: SSL_VERIFY_FAIL_IF_NO_PEER_CERT should have seen to it. */
    if (certificate == NULL || SSL_get_verify_result(handshake->ssl) != X509_V_OK) {
        (void)snprintf(reason, reason_size, "peer has shown no valid certificate");
        return -1;
    }
    if (SSL_version(handshake->ssl) != TLS1_3_VERSION || suite == NULL ||
        derive(handshake, suite, receiving, sending) != 0) {
        (void)snprintf(reason, reason_size, "OpenSSL gives no keys for the agreed cipher suite");
        return -1;
    }
    (void)snprintf(agreed->version, sizeof agreed->version, "%s", SSL_get_version(handshake->ssl));
    (void)snprintf(agreed->cipher, sizeof agreed->cipher, "%s", SSL_CIPHER_get_name(suite));
    dg_tls_describe_certificate(certificate, agreed->certificate, sizeof agreed->certificate);
    return 0;
}
