/* OpenSSL's errors and certificates in an operator's words. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/tls/internal.h"

const char *dg_tls_alert_name(int description)
{
    /* TLS 1.3's own, which OpenSSL 3.0 has no words for */
    if (description == SSL_AD_CERTIFICATE_REQUIRED) {
        return "certificate required";
    }
    return SSL_alert_desc_string_long(description);
}

/* What libssl adds to the number of an alert it received (SSL_AD_REASON_OFFSET). */
static const char *received_alert(int reason)
{
    if (reason <= SSL_AD_REASON_OFFSET || reason > SSL_AD_REASON_OFFSET + 255) {
        return NULL;
    }
    return dg_tls_alert_name(reason - SSL_AD_REASON_OFFSET);
}

static void explain_reason(unsigned long error, char *text, size_t size)
{
    int reason = ERR_GET_REASON(error);
    const char *words;

    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        words = ERR_reason_error_string(error);
        (void)snprintf(text, size, "%s", words != NULL ? words : "unknown error");
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        (void)snprintf(text, size, "peer has shown no certificate");
    } else if (received_alert(reason) != NULL) {
        (void)snprintf(text, size, "peer refused with alert: %s", received_alert(reason));
    } else {
        words = ERR_reason_error_string(error);
        (void)snprintf(text, size, "TLS: %s", words != NULL ? words : "unknown error");
    }
}

void dg_tls_explain(char *text, size_t size)
{
    unsigned long error = ERR_peek_error();

    if (error == 0) {
        (void)snprintf(text, size, "TLS: protocol error");
    } else {
        explain_reason(error, text, size);
    }
    ERR_clear_error();
}

/* --- what is wrong with a chain --- */

/* Where OpenSSL's words say nothing of tls.crl, of which a reader should think first; NULL
 * elsewhere. A name follows. */
static const char *revocation_words(int error)
{
    switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return "tls.crl has no CRL of its issuer ";
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return "in tls.crl, past its nextUpdate is the CRL of its issuer ";
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return "in tls.crl, not yet valid is the CRL of its issuer ";
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        return "in tls.crl, wrongly signed is the CRL of its issuer ";
    default:
        return NULL;
    }
}

/* OpenSSL's words, but for those that differ from one release to the next. */
static const char *chain_words(int error)
{
    return error == X509_V_ERR_CERT_NOT_YET_VALID ? "certificate is not yet valid"
                                                  : X509_verify_cert_error_string(error);
}

void dg_tls_explain_chain(X509_STORE_CTX *check, char *text, size_t size)
{
    int error = X509_STORE_CTX_get_error(check);
    X509 *certificate = X509_STORE_CTX_get_current_cert(check);
    const char *words = revocation_words(error);
    char name[128] = "";

    if (words != NULL && certificate != NULL) {
        X509_NAME_oneline(X509_get_issuer_name(certificate), name, sizeof name);
        (void)snprintf(text, size, "%s%s", words, name);
        return;
    }
    words = chain_words(error);
    if (certificate != NULL && X509_STORE_CTX_get_error_depth(check) > 0) {
        X509_NAME_oneline(X509_get_subject_name(certificate), name, sizeof name);
        (void)snprintf(text, size, "%s, at its issuer %s", words, name);
    } else {
        (void)snprintf(text, size, "%s", words);
    }
}

/* --- whose a certificate is --- */

struct words {
    char *text;
    size_t size;
    size_t used;
};

static void add_byte(struct words *words, unsigned char byte)
{
    bool plain = byte > ' ' && byte < 0x7f && byte != ',' && byte != '\\';
    char escaped[sizeof "\\xff"];
    size_t size;

    if (plain) {
        (void)snprintf(escaped, sizeof escaped, "%c", byte);
    } else {
        (void)snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    }
    size = strlen(escaped);
    if (words->used + size < words->size) {
        memcpy(words->text + words->used, escaped, size + 1);
        words->used += size;
    }
}

/* A certificate's bytes are foreign: none may look like the end of a name, or the begin of the
 * next. */
static void add(struct words *words, const char *prefix, const unsigned char *bytes, int size)
{
    if (words->used > 0 && words->used + 1 < words->size) {
        memcpy(words->text + words->used++, ",", 2);
    }
    while (*prefix != '\0') {
        add_byte(words, (unsigned char)*prefix++);
    }
    for (int i = 0; i < size; i++) {
        add_byte(words, bytes[i]);
    }
}

static void add_address(struct words *words, const ASN1_STRING *address)
{
    char text[INET6_ADDRSTRLEN];
    int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;

    if ((ASN1_STRING_length(address) == 4 || ASN1_STRING_length(address) == 16) &&
        inet_ntop(family, ASN1_STRING_get0_data(address), text, sizeof text) != NULL) {
        add(words, "IP:", (const unsigned char *)text, (int)strlen(text));
    }
}

static void add_name(struct words *words, const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_DNS:
        add(words, "DNS:", ASN1_STRING_get0_data(name->d.dNSName),
            ASN1_STRING_length(name->d.dNSName));
        break;
    case GEN_URI:
        add(words, "URI:", ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
            ASN1_STRING_length(name->d.uniformResourceIdentifier));
        break;
    case GEN_IPADD:
        add_address(words, name->d.iPAddress);
        break;
    default:
        break;
    }
}

void dg_tls_describe_certificate(X509 *certificate, char *text, size_t size)
{
    struct words words = {.text = text, .size = size};
    GENERAL_NAMES *names;

    text[0] = '\0';
    if (certificate == NULL) {
        return;
    }
    names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        add_name(&words, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    if (text[0] == '\0') {
        X509_NAME_oneline(X509_get_subject_name(certificate), text, (int)size);
    }
}
