#include "tests/unit/support/peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/kernel.h"
#include "tests/unit/support/pki.h"

static void need(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "test peer: %s\n", what);
        abort();
    }
}

static void on_message(int sent, int version, int type, const void *bytes, size_t size, SSL *ssl,
                       void *argument)
{
    const uint8_t *message = bytes;
    struct peer *peer = argument;

    (void)version;
    (void)ssl;
    if (sent || size == 0) {
        return;
    }
    if (type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_NEWSESSION_TICKET) {
        peer->tickets++;
    } else if (type == SSL3_RT_HANDSHAKE && message[0] == SSL3_MT_KEY_UPDATE) {
        peer->key_updates++;
    } else if (type == SSL3_RT_ALERT && size >= 2) {
        peer->alert = message[1];
    }
}

/* OpenSSL's own function for this refuses a file with an extension that it cannot read. */
static void use_chain(SSL_CTX *context, const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *certificate;
    bool first = true;

    need(file != NULL, path);
    while ((certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        need((first ? SSL_CTX_use_certificate(context, certificate)
                    : SSL_CTX_add1_chain_cert(context, certificate)) == 1,
             path);
        X509_free(certificate);
        first = false;
    }
    ERR_clear_error();
    need(!first, path);
    (void)fclose(file);
}

struct peer *peer_of_files(int fd, const char *certificate, const char *key)
{
    struct peer *peer = calloc(1, sizeof *peer);

    need(peer != NULL, "out of memory");
    peer->fd = fd;
    peer->alert = -1;
    peer->context = SSL_CTX_new(fd == KERNEL_CLIENT ? TLS_client_method() : TLS_server_method());
    need(peer->context != NULL, "SSL_CTX_new");
    SSL_CTX_set_security_level(peer->context, 0);
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_NONE, NULL);
    if (certificate != NULL) {
        use_chain(peer->context, certificate);
        need(SSL_CTX_use_PrivateKey_file(peer->context, key, SSL_FILETYPE_PEM) == 1, key);
    }
    peer->ssl = SSL_new(peer->context);
    need(peer->ssl != NULL, "SSL_new");
    SSL_set_bio(peer->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_msg_callback(peer->ssl, on_message);
    SSL_set_msg_callback_arg(peer->ssl, peer);
    if (fd == KERNEL_CLIENT) {
        SSL_set_connect_state(peer->ssl);
    } else {
        SSL_set_accept_state(peer->ssl);
    }
    return peer;
}

struct peer *peer_new(int fd, const char *authority, const char *name)
{
    struct dg_tls_policy policy;

    if (name == NULL) {
        return peer_of_files(fd, NULL, NULL);
    }
    policy = pki_policy(authority, name, authority);
    return peer_of_files(fd, policy.certificate, policy.private_key);
}

void peer_free(struct peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    free(peer);
}

static void take(struct peer *peer)
{
    char bytes[4096];
    size_t size;

    while ((size = kernel_take(peer->fd, bytes, sizeof bytes)) > 0) {
        need(BIO_write(SSL_get_rbio(peer->ssl), bytes, (int)size) == (int)size, "BIO_write");
    }
}

size_t peer_give(struct peer *peer, size_t most)
{
    size_t given = 0;
    char bytes[4096];
    int size;

    while (given < most &&
           (size = BIO_read(SSL_get_wbio(peer->ssl), bytes,
                            (int)(most - given < sizeof bytes ? most - given : sizeof bytes))) >
               0) {
        kernel_inject(1 - peer->fd, bytes, (size_t)size);
        given += (size_t)size;
    }
    return given;
}

static void give(struct peer *peer)
{
    if (!peer->slow) {
        (void)peer_give(peer, SIZE_MAX);
    }
}

void peer_step(struct peer *peer)
{
    int result;

    take(peer);
    do {
        result =
            SSL_read(peer->ssl, peer->text + peer->size, (int)(sizeof peer->text - 1 - peer->size));
        peer->size += result > 0 ? (size_t)result : 0;
    } while (result > 0);
    ERR_clear_error();
    give(peer);
}

void peer_send(struct peer *peer, const void *bytes, size_t size)
{
    need(SSL_write(peer->ssl, bytes, (int)size) == (int)size, "SSL_write");
    give(peer);
}
