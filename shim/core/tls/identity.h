/* Whom a certificate stands for, and what OpenSSL does not ask of a peer's or of our own. */
#ifndef DISTGUARD_TLS_IDENTITY_H
#define DISTGUARD_TLS_IDENTITY_H

#include <openssl/x509.h>

#include "policy/identity.h"

/*
 * Reads the names and the key's hash of the certificate of a node. OpenSSL checks chains; whether
 * the last certificate of one can stand for a node, is checked here: it is no CA's, may sign, has
 * each extension once, and names in a subject alternative name that are what they seem to be. The
 * common name is never looked at.
 *
 * Returns X509_V_OK and an identity that the caller clears; or else the X509_V_ERR_ that chooses
 * the alert, with the reason in `error` and an empty identity.
 */
int dg_identity_read(X509 *certificate, struct dg_identity *identity, struct dg_error *error);

#endif
