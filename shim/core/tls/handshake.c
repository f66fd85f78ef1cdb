#include "shim/core/tls/handshake.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/tls/bio.h"
#include "shim/core/tls/identity.h"
#include "shim/core/tls/internal.h"
#include "shim/core/tls/trust.h"

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
    const struct dg_policy *policy;
    bool accepted;               /* the peer's certificate was verified in this very handshake */
    struct dg_identity identity; /* whom it stands for then */
    char refusal[512];           /* why it was not; "" before */
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

/* --- the peer's certificate --- */

static void refuse(struct dg_handshake *handshake, X509 *certificate, const char *why)
{
    char names[128];

    dg_tls_describe_certificate(certificate, names, sizeof names);
    (void)snprintf(handshake->refusal, sizeof handshake->refusal,
                   "certificate of the peer refused: %s (%s)", why, names);
}

/* What the chain, which OpenSSL has found good, leaves open. Returns an X509_V_ value. */
static int check_leaf(struct dg_handshake *handshake, X509 *certificate)
{
    struct dg_error error = {""};
    int result;

    dg_identity_clear(&handshake->identity);
    result = dg_identity_read(certificate, &handshake->identity, &error);
    if (result == X509_V_OK && !dg_policy_admits(handshake->policy, &handshake->identity, &error)) {
        result = X509_V_ERR_CERT_REJECTED;
    }
    if (result != X509_V_OK) {
        refuse(handshake, certificate, error.text);
    }
    return result;
}

/*
 * In place of OpenSSL's own verification, so that all of its checks are through before ours begin:
 * a callback for each certificate would come before the name constraints. The error that is set
 * here chooses the alert.
 */
static int verify_peer(X509_STORE_CTX *check, void *unused)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(check, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dg_handshake *handshake = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get0_cert(check);
    char why[256];

    (void)unused;
    if (!dg_trust_verify(check, why, sizeof why)) {
        refuse(handshake, certificate, why);
        return 0;
    }
    X509_STORE_CTX_set_error(check, check_leaf(handshake, certificate));
    handshake->accepted = X509_STORE_CTX_get_error(check) == X509_V_OK;
    return handshake->accepted;
}

void dg_handshake_prepare(SSL_CTX *context)
{
    SSL_CTX_set_keylog_callback(context, take_secret);
    SSL_CTX_set_cert_verify_callback(context, verify_peer, NULL);
}

/* --- the handshake --- */

struct dg_handshake *dg_handshake_new(const struct dg_credentials *credentials,
                                      enum dg_channel_side side, struct dg_buffer *in,
                                      size_t *whole, struct dg_buffer *out)
{
    struct dg_handshake *handshake = calloc(1, sizeof *handshake);

    dg_tls_know_thread();
    if (handshake == NULL) {
        return NULL;
    }
    handshake->side = side;
    handshake->policy = credentials->policy;
    handshake->ssl = SSL_new(credentials->context);
    if (handshake->ssl == NULL || SSL_set_app_data(handshake->ssl, handshake) != 1 ||
        dg_bio_attach(handshake->ssl, in, whole, out) != 0) {
        dg_handshake_free(handshake);
        ERR_clear_error();
        return NULL;
    }
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
        dg_identity_clear(&handshake->identity);
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
    dg_tls_explain(reason, reason_size);
    if (handshake->refusal[0] != '\0') {
        (void)snprintf(reason, reason_size, "%s", handshake->refusal);
    }
    return DG_HANDSHAKE_FAILED;
}

/* --- what it has come to --- */

/* What both versions derive keys with, in OpenSSL's names. */
struct suite {
    const char *cipher;
    const char *digest;
    size_t digest_size;
};

static int derive_1_3(const struct dg_handshake *handshake, const struct suite *suite,
                      struct dg_keys *receiving, struct dg_keys *sending)
{
    bool client = handshake->side == DG_CHANNEL_CLIENT;
    const struct secret *ours = client ? &handshake->client : &handshake->server;
    const struct secret *theirs = client ? &handshake->server : &handshake->client;
    size_t size = suite->digest_size;

    if (ours->size != size || theirs->size != size ||
        dg_keys_init(receiving, suite->cipher, suite->digest, theirs->bytes, size, false) != 0) {
        return -1;
    }
    return dg_keys_init(sending, suite->cipher, suite->digest, ours->bytes, size, true);
}

static int derive_1_2(const struct dg_handshake *handshake, const struct suite *suite,
                      struct dg_keys *receiving, struct dg_keys *sending)
{
    bool client = handshake->side == DG_CHANNEL_CLIENT;
    const SSL *ssl = handshake->ssl;
    struct dg_master master;
    int result = -1;

    if (SSL_SESSION_get_master_key(SSL_get0_session(ssl), master.secret, sizeof master.secret) ==
            sizeof master.secret &&
        SSL_get_client_random(ssl, master.client_random, DG_RANDOM_SIZE) == DG_RANDOM_SIZE &&
        SSL_get_server_random(ssl, master.server_random, DG_RANDOM_SIZE) == DG_RANDOM_SIZE &&
        dg_keys_init_1_2(receiving, suite->cipher, suite->digest, &master, !client, false) == 0) {
        result = dg_keys_init_1_2(sending, suite->cipher, suite->digest, &master, client, true);
    }
    OPENSSL_cleanse(&master, sizeof master);
    return result;
}

static int derive(const struct dg_handshake *handshake, const SSL_CIPHER *agreed,
                  struct dg_keys *receiving, struct dg_keys *sending)
{
    const EVP_MD *digest = agreed != NULL ? SSL_CIPHER_get_handshake_digest(agreed) : NULL;
    struct suite suite;

    if (digest == NULL) {
        return -1;
    }
    suite = (struct suite){.cipher = OBJ_nid2ln(SSL_CIPHER_get_cipher_nid(agreed)),
                           .digest = EVP_MD_get0_name(digest),
                           .digest_size = (size_t)EVP_MD_get_size(digest)};
    switch (SSL_version(handshake->ssl)) {
    case TLS1_3_VERSION:
        return derive_1_3(handshake, &suite, receiving, sending);
    case TLS1_2_VERSION:
        return derive_1_2(handshake, &suite, receiving, sending);
    default:
        return -1;
    }
}

static void describe(SSL *ssl, const SSL_CIPHER *suite, X509 *certificate, struct dg_agreed *agreed)
{
    const char *group = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));

    (void)snprintf(agreed->version, sizeof agreed->version, "%s", SSL_get_version(ssl));
    (void)snprintf(agreed->cipher, sizeof agreed->cipher, "%s", SSL_CIPHER_get_name(suite));
    (void)snprintf(agreed->group, sizeof agreed->group, "%s", group != NULL ? group : "");
    dg_tls_describe_certificate(certificate, agreed->certificate, sizeof agreed->certificate);
}

int dg_handshake_finish(struct dg_handshake *handshake, struct dg_agreed *agreed,
                        struct dg_keys *receiving, struct dg_keys *sending, char *reason,
                        size_t reason_size)
{
    X509 *certificate = SSL_get0_peer_certificate(handshake->ssl);
    const SSL_CIPHER *suite = SSL_get_current_cipher(handshake->ssl);

    /* Belt and braces: SSL_VERIFY_FAIL_IF_NO_PEER_CERT should have seen to it, and a session that
     * is resumed, without its certificate being looked at again, is never ours. */
    if (certificate == NULL || !handshake->accepted ||
        SSL_get_verify_result(handshake->ssl) != X509_V_OK) {
        (void)snprintf(reason, reason_size, "peer has shown no valid certificate");
        return -1;
    }
    if (derive(handshake, suite, receiving, sending) != 0) {
        (void)snprintf(reason, reason_size, "OpenSSL gives no keys for the agreed cipher suite");
        return -1;
    }
    describe(handshake->ssl, suite, certificate, agreed);
    agreed->identity = handshake->identity;
    handshake->identity = (struct dg_identity){.address_count = 0};
    return 0;
}
