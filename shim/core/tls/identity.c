#include "shim/core/tls/identity.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "policy/hostname.h"
#include "policy/lists.h"
#include "policy/uri.h"
#include "shim/core/tls/internal.h"

enum {
    NAMES_MAX = 256,
    URI_MAX = 2048,   /* as a policy's */
    MAPPED_SIZE = 12, /* what stands before the IPv4 address in an IPv4-mapped IPv6 one */
};

/* --- the certificate as a whole --- */

/* RFC 5280 section 4.2 forbids it, as readers would differ in which one they see. */
static bool repeats_an_extension(const X509 *certificate)
{
    int count = X509_get_ext_count(certificate);

    for (int i = 0; i < count; i++) {
        ASN1_OBJECT *object = X509_EXTENSION_get_object(X509_get_ext(certificate, i));

        if (X509_get_ext_by_OBJ(certificate, object, i) >= 0) {
            return true;
        }
    }
    return false;
}

static int check_use(X509 *certificate, struct dg_error *error)
{
    bool restricted = (X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) != 0;
    uint32_t usage = X509_get_key_usage(certificate);

    if (repeats_an_extension(certificate)) {
        (void)dg_fail(error, "it has one extension twice");
        return X509_V_ERR_CERT_REJECTED;
    }
    if ((X509_get_extension_flags(certificate) & EXFLAG_CA) != 0 ||
        (restricted && (usage & KU_KEY_CERT_SIGN) != 0)) {
        (void)dg_fail(error, "it is a CA's (CA:TRUE or keyCertSign), which stands for no node");
        return X509_V_ERR_INVALID_PURPOSE;
    }
    if (restricted && (usage & KU_DIGITAL_SIGNATURE) == 0) {
        (void)dg_fail(error, "its keyUsage lacks digitalSignature");
        return X509_V_ERR_INVALID_PURPOSE;
    }
    return X509_V_OK;
}

/* --- names --- */

/* No name may mean one thing to who compares it with its length and another to who stops at a NUL,
 * or to who reads a log. */
static int check_bytes(const ASN1_STRING *name, const char *kind, int most, struct dg_error *error)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(name);
    int size = ASN1_STRING_length(name);

    if (size == 0) {
        return dg_fail(error, "one of its %s names is empty", kind);
    }
    if (size > most) {
        return dg_fail(error, "one of its %s names is longer than %d bytes", kind, most);
    }
    for (int i = 0; i < size; i++) {
        if (bytes[i] == '\0') {
            return dg_fail(error, "one of its %s names holds a NUL byte", kind);
        }
        if (bytes[i] <= ' ' || bytes[i] == 0x7f) {
            return dg_fail(error, "one of its %s names holds a control byte or a space", kind);
        }
        if (bytes[i] > 0x7f) {
            return dg_fail(error, "one of its %s names holds a byte that is not ASCII", kind);
        }
    }
    return 0;
}

static int out_of_memory(struct dg_error *error)
{
    return dg_fail(error, "out of memory");
}

static int add_text(struct dg_string_list *list, const ASN1_STRING *name, const char *kind,
                    int most, struct dg_error *error)
{
    char text[URI_MAX + 1];
    size_t size;

    if (check_bytes(name, kind, most, error) != 0) {
        return -1;
    }
    size = (size_t)ASN1_STRING_length(name);
    memcpy(text, ASN1_STRING_get0_data(name), size);
    text[size] = '\0';
    return dg_string_list_append(list, text) == 0 ? 0 : out_of_memory(error);
}

static bool is_mapped(const unsigned char *bytes)
{
    static const unsigned char mapped[MAPPED_SIZE] = {[10] = 0xff, [11] = 0xff};

    return memcmp(bytes, mapped, sizeof mapped) == 0;
}

static int add_address(struct dg_identity *identity, const ASN1_STRING *address,
                       struct dg_error *error)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(address);
    int size = ASN1_STRING_length(address);
    struct dg_host host = {.family = size == 4 ? DG_FAMILY_IPV4 : DG_FAMILY_IPV6};
    struct dg_host *more;

    if (size != 4 && size != 16) {
        return dg_fail(error, "one of its IP names has %d bytes, where 4 or 16 are right", size);
    }
    if (size == 16 && is_mapped(bytes)) {
        host.family = DG_FAMILY_IPV4;
        bytes += MAPPED_SIZE;
        size -= MAPPED_SIZE;
    }
    memcpy(host.bytes, bytes, (size_t)size);
    more = realloc(identity->addresses, (identity->address_count + 1) * sizeof *more);
    if (more == NULL) {
        return out_of_memory(error);
    }
    identity->addresses = more;
    more[identity->address_count++] = host;
    return 0;
}

static int add_name(struct dg_identity *identity, const GENERAL_NAME *name, struct dg_error *error)
{
    switch (name->type) {
    case GEN_DNS:
        return add_text(&identity->dns, name->d.dNSName, "DNS", DG_HOSTNAME_MAX, error);
    case GEN_URI:
        return add_text(&identity->uris, name->d.uniformResourceIdentifier, "URI", URI_MAX, error);
    case GEN_IPADD:
        return add_address(identity, name->d.iPAddress, error);
    default:
        return 0; /* an e-mail address and the like: nobody asks for it */
    }
}

/* X.509-SVID section 2: one SPIFFE ID, well-formed, and no other URI beside it. */
static int check_uris(const struct dg_string_list *uris, struct dg_error *error)
{
    for (size_t i = 0; i < uris->count; i++) {
        const char *problem;

        if (!dg_uri_is_spiffe(uris->strings[i])) {
            continue;
        }
        if (uris->count > 1) {
            return dg_fail(error, "it has a SPIFFE ID and another URI beside it");
        }
        /* A last segment * is a policy's pattern, and no name. */
        problem = strchr(uris->strings[i], '*') != NULL ? "has a wildcard"
                                                        : dg_uri_problem(uris->strings[i]);
        if (problem != NULL) {
            return dg_fail(error, "its SPIFFE ID %s", problem);
        }
    }
    return 0;
}

/* --- all of it --- */

static int add_names(struct dg_identity *identity, const GENERAL_NAMES *names,
                     struct dg_error *error)
{
    int count = sk_GENERAL_NAME_num(names);

    if (count > NAMES_MAX) {
        return dg_fail(error, "it has %d names; at most %d are looked at", count, NAMES_MAX);
    }
    for (int i = 0; i < count; i++) {
        if (add_name(identity, sk_GENERAL_NAME_value(names, i), error) != 0) {
            return -1;
        }
    }
    if (identity->dns.count + identity->uris.count + identity->address_count == 0) {
        return dg_fail(error, "its subject alternative name holds no DNS, IP or URI name");
    }
    return check_uris(&identity->uris, error);
}

static int read_names(X509 *certificate, struct dg_identity *identity, struct dg_error *error)
{
    int critical;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    int result;

    if (names == NULL) {
        return critical == -1
                   ? dg_fail(
                         error,
                         "it has no subject alternative name (a common name counts for nothing)")
                   : dg_fail(error, "its subject alternative name cannot be read");
    }
    result = add_names(identity, names, error);
    GENERAL_NAMES_free(names);
    return result;
}

static int hash_key(const X509 *certificate, struct dg_identity *identity, struct dg_error *error)
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    EVP_MD *digest = EVP_MD_fetch(dg_tls_library(), "SHA2-256", NULL);
    int result = 0;

    if (size <= 0 || digest == NULL ||
        EVP_Digest(der, (size_t)size, identity->spki, NULL, digest, NULL) != 1) {
        result = dg_fail(error, "its public key cannot be hashed");
    }
    EVP_MD_free(digest);
    OPENSSL_free(der);
    return result;
}

int dg_identity_read(X509 *certificate, struct dg_identity *identity, struct dg_error *error)
{
    int result = check_use(certificate, error);

    *identity = (struct dg_identity){.address_count = 0};
    if (result == X509_V_OK && (read_names(certificate, identity, error) != 0 ||
                                hash_key(certificate, identity, error) != 0)) {
        result = X509_V_ERR_CERT_REJECTED;
    }
    if (result != X509_V_OK) {
        dg_identity_clear(identity);
    }
    return result;
}
