#include "shim/core/tls/describe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct text {
    char *start;
    size_t size;
    size_t used;
};

/* Certificates are foreign bytes and go to terminals: only what is printable passes. */
static void append(struct text *text, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && text->used + 1 < text->size; i++)
        text->start[text->used++] = bytes[i] > ' ' && bytes[i] <= '~' ? bytes[i] : '?';
    text->start[text->used] = '\0';
}

static void append_kind(struct text *text, const char *kind)
{
    if (text->used > 0)
        append(text, ",", 1);
    append(text, kind, strlen(kind));
}

static void append_string(struct text *text, const char *kind, const ASN1_STRING *string)
{
    append_kind(text, kind);
    append(text, (const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

static void append_address(struct text *text, const ASN1_OCTET_STRING *address)
{
    char printed[INET6_ADDRSTRLEN] = "?";
    int size = ASN1_STRING_length(address);

    if (size == 4 || size == 16)
        (void)inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), printed,
                        sizeof printed);
    append_kind(text, "IP:");
    append(text, printed, strlen(printed));
}

static void append_name(struct text *text, const GENERAL_NAME *name)
{
    int type;
    void *value = GENERAL_NAME_get0_value(name, &type);

    if (type == GEN_DNS)
        append_string(text, "DNS:", value);
    else if (type == GEN_URI)
        append_string(text, "URI:", value);
    else if (type == GEN_IPADD)
        append_address(text, value);
}

static void describe_names(X509 *certificate, struct dg_certificate_description *description)
{
    struct text text = {.start = description->names, .size = sizeof description->names};
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        append_name(&text, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
}

static void describe_one(X509 *certificate, struct dg_certificate_description *description)
{
    struct tm end = {0};
    time_t expires = 0; /* an unreadable date is as good as expired */

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1)
        expires = timegm(&end);
    if (description->count == 0)
        describe_names(certificate, description);
    if (description->count == 0 || expires < description->expires)
        description->expires = expires;
    description->count++;
}

static void describe_all(BIO *bio, OSSL_LIB_CTX *library,
                         struct dg_certificate_description *description)
{
    for (;;) {
        X509 *certificate = X509_new_ex(library, NULL);

        if (certificate == NULL || PEM_read_bio_X509(bio, &certificate, NULL, NULL) == NULL) {
            X509_free(certificate);
            return;
        }
        describe_one(certificate, description);
        X509_free(certificate);
    }
}

int dg_certificate_describe(const char *path, struct dg_certificate_description *description,
                            struct dg_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    BIO *bio;
    OSSL_LIB_CTX *library;

    *description = (struct dg_certificate_description){.count = 0};
    if (fd < 0)
        return dg_fail(error, "%s cannot be read: %s", path, strerror(errno));
    bio = BIO_new_fd(fd, BIO_CLOSE);
    library = OSSL_LIB_CTX_new();
    if (bio != NULL && library != NULL)
        describe_all(bio, library, description);
    if (bio == NULL)
        (void)close(fd);
    BIO_free(bio);
    OSSL_LIB_CTX_free(library);
    ERR_clear_error();
    if (description->count == 0)
        return dg_fail(error, "%s holds no certificate in PEM", path);
    return 0;
}
