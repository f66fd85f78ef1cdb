/* OpenSSL's view of a channel's ciphertext: it reads whole records only, and writes without ever
 * having to wait. */
#ifndef DISTGUARD_TLS_BIO_H
#define DISTGUARD_TLS_BIO_H

#include <openssl/ssl.h>

#include "shim/core/tls/buffer.h"

/*
 * Lets `ssl` read the first *whole bytes of `in` (taking them, and lowering *whole) and append to
 * `out`. All three must outlive `ssl`. Returns 0, or -1 where memory is out.
 */
int dg_bio_attach(SSL *ssl, struct dg_buffer *in, size_t *whole, struct dg_buffer *out);

#endif
