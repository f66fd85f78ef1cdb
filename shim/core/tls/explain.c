/* OpenSSL's errors and certificates in an operator's words. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "shim/core/tls/internal.h"

const char *dg_tls_alert_name(int description)
{
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

static void explain_reason(const SSL *ssl, unsigned long error, char *text, size_t size)
{
    int reason = ERR_GET_REASON(error);
    long verified = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    const char *words;

    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        words = ERR_reason_error_string(error);
        (void)snprintf(text, size, "%s", words != NULL ? words : "unknown error");
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        (void)snprintf(text, size, "certificate of the peer refused: %s",
                       X509_verify_cert_error_string(verified));
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        (void)snprintf(text, size, "peer has shown no certificate");
    } else if (received_alert(reason) != NULL) {
        (void)snprintf(text, size, "peer refused with alert: %s", received_alert(reason));
    } else {
        words = ERR_reason_error_string(error);
        (void)snprintf(text, size, "TLS: %s", words != NULL ? words : "unknown error");
    }
}

void dg_tls_explain(const SSL *ssl, char *text, size_t size)
{
    unsigned long error = ERR_peek_error();

    if (error == 0) {
        (void)snprintf(text, size, "TLS: protocol error");
    } else {
        explain_reason(ssl, error, text, size);
    }
    ERR_clear_error();
}

/* Appends to a string of `size` bytes in all; cut where it does not fit. */
static void add(char *text, size_t size, const char *prefix, const char *words, size_t words_size)
{
    size_t used = strlen(text);

    if (used + 1 < size) {
        (void)snprintf(text + used, size - used, "%s%s%.*s", used > 0 ? "," : "", prefix,
                       (int)words_size, words);
    }
}

static void add_address(const ASN1_STRING *address, char *text, size_t size)
{
    char words[INET6_ADDRSTRLEN];
    int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;

    if (ASN1_STRING_length(address) != 4 && ASN1_STRING_length(address) != 16) {
        return;
    }
    if (inet_ntop(family, ASN1_STRING_get0_data(address), words, sizeof words) != NULL) {
        add(text, size, "IP:", words, strlen(words));
    }
}

static void add_name(const GENERAL_NAME *name, char *text, size_t size)
{
    switch (name->type) {
    case GEN_DNS:
        add(text, size, "DNS:", (const char *)ASN1_STRING_get0_data(name->d.dNSName),
            (size_t)ASN1_STRING_length(name->d.dNSName));
        break;
    case GEN_URI:
        add(text, size,
            "URI:", (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
            (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier));
        break;
    case GEN_IPADD:
        add_address(name->d.iPAddress, text, size);
        break;
    default:
        break;
    }
}

void dg_tls_describe_certificate(X509 *certificate, char *text, size_t size)
{
    GENERAL_NAMES *names;

    text[0] = '\0';
    if (certificate == NULL) {
        return;
    }
    names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        add_name(sk_GENERAL_NAME_value(names, i), text, size);
    }
    GENERAL_NAMES_free(names);
    if (text[0] == '\0') {
        X509_NAME_oneline(X509_get_subject_name(certificate), text, (int)size);
    }
}
