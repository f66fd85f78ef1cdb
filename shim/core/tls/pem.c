#include "shim/core/tls/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "shim/core/tls/internal.h"

enum { FILE_MAX = 16 * 1024 * 1024 /* a CRL of a large authority */, FIRST_SIZE = 16 * 1024 };

/* One PEM file in memory. */
struct pem {
    char *bytes;
    size_t size;
    size_t room;
    BIO *bio;
};

static void pem_close(struct pem *pem)
{
    BIO_free(pem->bio);
    OPENSSL_clear_free(pem->bytes, pem->room);
}

/* A private key passes through here, so that the memory it has left is wiped. */
static bool grow(struct pem *pem)
{
    size_t room = pem->room == 0 ? FIRST_SIZE : 2 * pem->room;
    char *bytes = room <= FILE_MAX ? OPENSSL_clear_realloc(pem->bytes, pem->room, room) : NULL;

    if (bytes == NULL) {
        return false;
    }
    pem->bytes = bytes;
    pem->room = room;
    return true;
}

static int read_all(int fd, struct pem *pem)
{
    ssize_t count;

    do {
        if (pem->size == pem->room && !grow(pem)) {
            return -1;
        }
        count = read(fd, pem->bytes + pem->size, pem->room - pem->size);
        pem->size += count > 0 ? (size_t)count : 0;
    } while (count > 0);
    return count == 0 ? 0 : -1;
}

static int pem_open(struct pem *pem, const char *path, const char *what, enum dg_privacy privacy,
                    struct dg_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result = -1;

    *pem = (struct pem){.bytes = NULL};
    if (fd < 0) {
        return dg_fail(error, "%s: %s cannot be read: %s", path, what, strerror(errno));
    }
    if (dg_policy_check_file(fd, path, what, privacy, error) == 0) {
        if (read_all(fd, pem) != 0) {
            (void)dg_fail(error, "%s: %s cannot be read, or is larger than %d bytes", path, what,
                          FILE_MAX);
        } else if ((pem->bio = BIO_new_mem_buf(pem->bytes, (int)pem->size)) == NULL) {
            (void)dg_fail(error, "%s: out of memory", path);
        } else {
            result = 0;
        }
    }
    close(fd);
    if (result != 0) {
        pem_close(pem);
    }
    return result;
}

static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

/* At the end of a PEM file the queue says "no start line"; anything else is damage. */
static bool at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    ERR_clear_error();
    return end;
}

/* --- lists --- */

/* Each appends the next of its kind; false at the end of the file and (then with errors in the
 * queue) where it is broken. What PEM_read_bio_… has not made its own it leaves to us. */

static bool next_certificate(BIO *bio, void *list)
{
    X509 *certificate = X509_new_ex(dg_tls_library(), NULL);

    ERR_clear_error();
    if (certificate == NULL || PEM_read_bio_X509(bio, &certificate, no_passphrase, NULL) == NULL ||
        sk_X509_push(list, certificate) == 0) {
        X509_free(certificate);
        return false;
    }
    return true;
}

static bool next_crl(BIO *bio, void *list)
{
    X509_CRL *crl = X509_CRL_new_ex(dg_tls_library(), NULL);

    ERR_clear_error();
    if (crl == NULL || PEM_read_bio_X509_CRL(bio, &crl, no_passphrase, NULL) == NULL ||
        sk_X509_CRL_push(list, crl) == 0) {
        X509_CRL_free(crl);
        return false;
    }
    return true;
}

static int read_list(const char *path, const char *what, const char *of,
                     bool (*next)(BIO *bio, void *list), void *list, struct dg_error *error)
{
    struct pem pem;
    bool any = false;
    bool whole;

    if (pem_open(&pem, path, what, DG_FILE_PUBLIC, error) != 0) {
        return -1;
    }
    while (next(pem.bio, list)) {
        any = true;
    }
    whole = at_end();
    pem_close(&pem);
    if (!whole || !any) {
        return dg_fail(error, "%s: %s holds no %s, or a broken one (PEM is expected)", path, what,
                       of);
    }
    return 0;
}

int dg_pem_certificates(const char *path, const char *what, STACK_OF(X509) * certificates,
                        struct dg_error *error)
{
    return read_list(path, what, "certificate", next_certificate, certificates, error);
}

int dg_pem_crls(const char *path, STACK_OF(X509_CRL) * crls, struct dg_error *error)
{
    return read_list(path, "list of revoked certificates", "CRL", next_crl, crls, error);
}

/* --- the key --- */

EVP_PKEY *dg_pem_key(const char *path, enum dg_privacy privacy, struct dg_error *error)
{
    struct pem pem;
    EVP_PKEY *key;

    if (pem_open(&pem, path, "private key", privacy, error) != 0) {
        return NULL;
    }
    ERR_clear_error();
    key = PEM_read_bio_PrivateKey_ex(pem.bio, NULL, no_passphrase, NULL, dg_tls_library(), NULL);
    ERR_clear_error();
    pem_close(&pem);
    if (key == NULL) {
        (void)dg_fail(error,
                      "%s: private key cannot be used: it must be PEM and not protected by a "
                      "passphrase (nobody is there to type it)",
                      path);
    }
    return key;
}
