/* PEM files of an operator's: read whole, checked for who may write them, never asked a passphrase
 * for. */
#ifndef DISTGUARD_TLS_PEM_H
#define DISTGUARD_TLS_PEM_H

#include <openssl/x509.h>

#include "policy/policy.h"

/*
 * Append what the file holds, which is at least one, to a list that the caller owns. `what` names
 * it in the error ("trust anchors"). Return 0, or -1 with `error`, and then perhaps with some
 * appended.
 */
int dg_pem_certificates(const char *path, const char *what, STACK_OF(X509) * certificates,
                        struct dg_error *error);
int dg_pem_crls(const char *path, STACK_OF(X509_CRL) * crls, struct dg_error *error);

/* A private key that nobody can read who `privacy` leaves out, or NULL with `error`. */
EVP_PKEY *dg_pem_key(const char *path, enum dg_privacy privacy, struct dg_error *error);

#endif
