#include "cli/tls/mint.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "cli/tls/san.h"

#define SERIAL_SIZE 20             /* the most that RFC 5280 allows */
#define BACKDATE_SECONDS (60 * 60) /* peers' clocks may be behind */
#define CA_NAME_BYTES 4            /* random, in the CA's name: two CAs differ */

struct extension {
    int nid;
    const char *value;
};

EVP_PKEY *dg_mint_key(OSSL_LIB_CTX *library)
{
    return EVP_PKEY_Q_keygen(library, NULL, "EC", "P-256");
}

/* 20 bytes with the first two bits 01: positive, and of full length whatever the rest is. */
static bool set_serial(X509 *certificate, OSSL_LIB_CTX *library)
{
    unsigned char bytes[SERIAL_SIZE];
    BIGNUM *number;
    bool done;

    if (RAND_bytes_ex(library, bytes, sizeof bytes, 0) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done;
}

static bool set_validity(X509 *certificate, int days)
{
    time_t now = time(NULL);

    return X509_time_adj_ex(X509_getm_notBefore(certificate), 0, -BACKDATE_SECONDS, &now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, &now) != NULL;
}

/* What CA and leaf have in common. */
static X509 *new_certificate(OSSL_LIB_CTX *library, EVP_PKEY *key, int days)
{
    X509 *certificate = X509_new_ex(library, NULL);

    if (certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        set_serial(certificate, library) && set_validity(certificate, days) &&
        X509_set_pubkey(certificate, key) == 1)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct extension *extensions,
                           size_t count)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        X509_EXTENSION *extension =
            X509V3_EXT_conf_nid(NULL, &context, extensions[i].nid, extensions[i].value);
        bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;

        X509_EXTENSION_free(extension);
        if (!added)
            return false;
    }
    return true;
}

/* Edwards curves have their digest built in and refuse any other. */
static bool sign(X509 *certificate, EVP_PKEY *key)
{
    bool edwards = EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1;

    return X509_sign(certificate, key, edwards ? NULL : EVP_sha256()) > 0;
}

static bool name_ca(X509 *certificate, OSSL_LIB_CTX *library)
{
    unsigned char bytes[CA_NAME_BYTES];
    char name[64];
    X509_NAME *subject = X509_get_subject_name(certificate);

    if (RAND_bytes_ex(library, bytes, sizeof bytes, 0) != 1)
        return false;
    (void)snprintf(name, sizeof name, "distguard CA %02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
                   bytes[3]);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(certificate, subject) == 1;
}

X509 *dg_mint_ca(OSSL_LIB_CTX *library, EVP_PKEY *key, int days)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };
    X509 *certificate = new_certificate(library, key, days);

    if (certificate != NULL && name_ca(certificate, library) &&
        add_extensions(certificate, certificate, extensions,
                       sizeof extensions / sizeof extensions[0]) &&
        sign(certificate, key))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool add_name(GENERAL_NAMES *names, int type, const void *bytes, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (name == NULL || value == NULL || ASN1_STRING_set(value, bytes, (int)size) != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool add_texts(GENERAL_NAMES *names, int type, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!add_name(names, type, texts[i], strlen(texts[i])))
            return false;
    }
    return true;
}

static bool add_addresses(GENERAL_NAMES *names, const char *const *texts, size_t count)
{
    struct dg_san_address address;
    struct dg_error ignored; /* the request has been checked */

    for (size_t i = 0; i < count; i++) {
        if (dg_san_parse_ip(texts[i], &address, &ignored) != 0 ||
            !add_name(names, GEN_IPADD, address.bytes, (size_t)address.size))
            return false;
    }
    return true;
}

/* Critical, as RFC 5280 4.2.1.6 demands where the subject is empty. */
static bool add_san(X509 *certificate, const struct dg_certificate_request *request)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool done =
        names != NULL && add_texts(names, GEN_DNS, request->dns, request->dns_count) &&
        add_addresses(names, request->ip, request->ip_count) &&
        add_texts(names, GEN_URI, request->uri, request->uri_count) &&
        X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;

    GENERAL_NAMES_free(names);
    return done;
}

/* Peers would refuse a leaf beyond its CA's end anyway, and its own date would only mislead. */
static bool end_with_issuer(X509 *certificate, const X509 *issuer)
{
    const ASN1_TIME *end = X509_get0_notAfter(issuer);

    return ASN1_TIME_compare(X509_get0_notAfter(certificate), end) <= 0 ||
           X509_set1_notAfter(certificate, end) == 1;
}

X509 *dg_mint_leaf(OSSL_LIB_CTX *library, EVP_PKEY *key,
                   const struct dg_certificate_request *request,
                   const struct dg_mint_issuer *issuer)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        /* A node both accepts and connects. */
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},
    };
    X509 *certificate = new_certificate(library, key, request->days);

    if (certificate != NULL && end_with_issuer(certificate, issuer->certificate) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate)) == 1 &&
        add_extensions(certificate, issuer->certificate, extensions,
                       sizeof extensions / sizeof extensions[0]) &&
        add_san(certificate, request) && sign(certificate, issuer->key))
        return certificate;
    X509_free(certificate);
    return NULL;
}
