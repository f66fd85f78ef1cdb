/* Subject alternative names as no issuer should make them. */
#ifndef DISTGUARD_TESTS_COUNTERFEIT_NAMES_H
#define DISTGUARD_TESTS_COUNTERFEIT_NAMES_H

#include <openssl/x509.h>
#include <stddef.h>

/*
 * "critical,DNS:a\x00b,URI:…,IP:10.0.0.1,EMAIL:…,HEX:0a0001" (bytes of an IP name), "LONG:254" (a
 * DNS name of that many bytes), "MANY:300" (DNS names), "empty" (a list of none), "DER:0500" (what
 * is no list at all). NULL where it is none of these.
 */
X509_EXTENSION *counterfeit_names(const char *text);

/* Resolves \xff. Returns how many bytes `name` has then, which has room for `most`. */
size_t counterfeit_bytes(const char *text, size_t size, char *name, size_t most);

#endif
