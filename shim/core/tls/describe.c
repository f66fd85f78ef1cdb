#include "shim/core/tls/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "shim/core/tls/internal.h"

time_t dg_tls_seconds(const ASN1_TIME *time)
{
    struct tm broken = {0};

    return ASN1_TIME_to_tm(time, &broken) == 1 ? timegm(&broken) : 0;
}

static void describe_one(X509 *certificate, struct dg_certificate_description *description)
{
    time_t expires = dg_tls_seconds(X509_get0_notAfter(certificate));

    if (description->count == 0)
        dg_tls_describe_certificate(certificate, description->names, sizeof description->names);
    if (description->count == 0 || expires < description->expires)
        description->expires = expires;
    description->count++;
}

static void describe_all(BIO *bio, struct dg_certificate_description *description)
{
    for (;;) {
        X509 *certificate = X509_new_ex(dg_tls_library(), NULL);

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

    *description = (struct dg_certificate_description){.count = 0};
    if (fd < 0)
        return dg_fail(error, "%s cannot be read: %s", path, strerror(errno));
    bio = BIO_new_fd(fd, BIO_CLOSE);
    if (bio == NULL)
        (void)close(fd);
    else
        describe_all(bio, description);
    BIO_free(bio);
    ERR_clear_error();
    if (description->count == 0)
        return dg_fail(error, "%s holds no certificate in PEM", path);
    return 0;
}
