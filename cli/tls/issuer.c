#include "cli/tls/issuer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "cli/tls/fresh_file.h"
#include "cli/tls/mint.h"
#include "cli/tls/san.h"
#include "policy/policy.h"

static const mode_t key_mode = S_IRUSR | S_IWUSR;
static const mode_t certificate_mode = S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;

/* Who signs. The library context is our own, so that nothing of OPENSSL_CONF counts. */
struct issuer {
    OSSL_LIB_CTX *library;
    const char *path; /* of the directory, for messages */
    int directory;
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * intermediates; /* what a leaf's file needs besides the leaf */
};

/* Says OpenSSL's reason and leaves its error queue empty. */
static int fail_crypto(struct dg_error *error, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    (void)dg_fail(error, "%s failed: %s", what,
                  reason != NULL ? reason : "OpenSSL gives no reason");
    ERR_clear_error();
    return -1;
}

/* Both are made in memory first, so that files exist only for the moment they are written in. */
static int write_pair(const struct issuer *issuer, const char *name, BIO *chain, BIO *key,
                      struct dg_error *error)
{
    char chain_name[NAME_MAX + 1];
    char key_name[NAME_MAX + 1];
    struct dg_fresh_file files[2] = {
        {.name = key_name, .mode = key_mode},
        {.name = chain_name, .mode = certificate_mode},
    };
    char *bytes = NULL;

    (void)snprintf(chain_name, sizeof chain_name, "%s.pem", name);
    (void)snprintf(key_name, sizeof key_name, "%s.key", name);
    files[0].size = (size_t)BIO_get_mem_data(key, &bytes);
    files[0].bytes = bytes;
    files[1].size = (size_t)BIO_get_mem_data(chain, &bytes);
    files[1].bytes = bytes;
    return dg_fresh_files_write(issuer->directory, issuer->path, files, 2, error);
}

static bool print_chain(BIO *out, const struct issuer *issuer, X509 *certificate)
{
    bool done = PEM_write_bio_X509(out, certificate) == 1;

    for (int i = 0; done && i < sk_X509_num(issuer->intermediates); i++)
        done = PEM_write_bio_X509(out, sk_X509_value(issuer->intermediates, i)) == 1;
    return done;
}

static int save(const struct issuer *issuer, const char *name, X509 *certificate, EVP_PKEY *key,
                struct dg_error *error)
{
    BIO *chain_pem = BIO_new(BIO_s_mem());
    BIO *key_pem = BIO_new(BIO_s_mem()); /* wiped when freed */
    int result;

    if (chain_pem != NULL && key_pem != NULL && print_chain(chain_pem, issuer, certificate) &&
        PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) == 1)
        result = write_pair(issuer, name, chain_pem, key_pem, error);
    else
        result = fail_crypto(error, "encoding certificate and key");
    BIO_free(chain_pem);
    BIO_free(key_pem);
    return result;
}

static void close_issuer(struct issuer *issuer)
{
    sk_X509_pop_free(issuer->intermediates, X509_free);
    X509_free(issuer->certificate);
    EVP_PKEY_free(issuer->key);
    OSSL_LIB_CTX_free(issuer->library);
    if (issuer->directory >= 0)
        (void)close(issuer->directory);
}

/* Who may write in the directory can put a CA of his own there. */
static int check_directory(int fd, const char *path, struct dg_error *error)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return dg_fail(error, "%s: %s", path, strerror(errno));
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return dg_fail(error, "%s belongs to user %u: use a directory of your own or of root's",
                       path, (unsigned)status.st_uid);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return dg_fail(error, "%s is writable by others (mode %04o): chmod go-w %s, or use another",
                       path, (unsigned)status.st_mode & 07777, path);
    return 0;
}

static int open_issuer(struct issuer *issuer, const char *path, struct dg_error *error)
{
    *issuer = (struct issuer){.path = path};
    issuer->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (issuer->directory < 0)
        return dg_fail(error, "%s cannot be opened as a directory: %s", path, strerror(errno));
    if (check_directory(issuer->directory, path, error) != 0)
        return -1;
    issuer->library = OSSL_LIB_CTX_new();
    issuer->intermediates = sk_X509_new_null();
    if (issuer->library == NULL || issuer->intermediates == NULL)
        return fail_crypto(error, "starting OpenSSL");
    return 0;
}

static BIO *open_pem(const struct issuer *issuer, const char *name, const char *what,
                     enum dg_privacy privacy, struct dg_error *error)
{
    char path[PATH_MAX];
    int fd = openat(issuer->directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    BIO *bio;

    (void)snprintf(path, sizeof path, "%s/%s", issuer->path, name);
    if (fd < 0) {
        (void)dg_fail(error, "%s cannot be read: %s; `distguard pki init %s` makes a CA", path,
                      strerror(errno), issuer->path);
        return NULL;
    }
    if (dg_policy_check_file(fd, path, what, privacy, error) != 0) {
        (void)close(fd);
        return NULL;
    }
    bio = BIO_new_fd(fd, BIO_CLOSE);
    if (bio == NULL) {
        (void)fail_crypto(error, "reading the CA");
        (void)close(fd);
    }
    return bio;
}

/* Returns the next certificate, NULL at the end; *bad where there is one that cannot be read. */
static X509 *next_certificate(BIO *bio, OSSL_LIB_CTX *library, bool *bad)
{
    X509 *certificate = X509_new_ex(library, NULL);
    unsigned long reason;

    if (certificate != NULL && PEM_read_bio_X509(bio, &certificate, NULL, NULL) != NULL)
        return certificate;
    reason = ERR_peek_last_error();
    *bad = ERR_GET_LIB(reason) != ERR_LIB_PEM || ERR_GET_REASON(reason) != PEM_R_NO_START_LINE;
    X509_free(certificate);
    return NULL;
}

/* A leaf's file carries what leads to the anchor, not the anchor. */
static bool add_intermediate(struct issuer *issuer, X509 *certificate)
{
    if (X509_self_signed(certificate, 0) == 1)
        return true;
    if (X509_up_ref(certificate) != 1)
        return false;
    if (sk_X509_push(issuer->intermediates, certificate) > 0)
        return true;
    X509_free(certificate);
    return false;
}

static int read_certificates(struct issuer *issuer, struct dg_error *error)
{
    BIO *bio = open_pem(issuer, "ca.pem", "CA certificate", DG_FILE_PUBLIC, error);
    bool bad = false;
    X509 *certificate;

    if (bio == NULL)
        return -1;
    while (!bad && (certificate = next_certificate(bio, issuer->library, &bad)) != NULL) {
        bad = !add_intermediate(issuer, certificate);
        if (issuer->certificate == NULL)
            issuer->certificate = certificate;
        else
            X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (bad || issuer->certificate == NULL)
        return dg_fail(error, "%s/ca.pem holds %s: it must be the CA's certificate in PEM",
                       issuer->path, bad ? "a damaged certificate" : "no certificate");
    return 0;
}

/* A passphrase is never asked for: this also runs unattended. */
static int no_passphrase(char *buffer, int size, int writing, void *unused)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

static int read_key(struct issuer *issuer, struct dg_error *error)
{
    BIO *bio = open_pem(issuer, "ca.key", "CA key", DG_FILE_SECRET, error);

    if (bio == NULL)
        return -1;
    issuer->key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_passphrase, NULL, issuer->library, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (issuer->key == NULL)
        return dg_fail(error, "%s/ca.key is not a private key in PEM without a passphrase",
                       issuer->path);
    return 0;
}

static int check_ca(const struct issuer *issuer, struct dg_error *error)
{
    bool matches = X509_check_private_key(issuer->certificate, issuer->key) == 1;

    ERR_clear_error();
    if (!matches)
        return dg_fail(error, "%s/ca.key is not the key of the first certificate in %s/ca.pem",
                       issuer->path, issuer->path);
    if (X509_check_ca(issuer->certificate) != 1 ||
        (X509_get_key_usage(issuer->certificate) & KU_KEY_CERT_SIGN) == 0)
        return dg_fail(error, "the first certificate in %s/ca.pem is not a CA's: it may not sign",
                       issuer->path);
    if (X509_cmp_current_time(X509_get0_notAfter(issuer->certificate)) < 0)
        return dg_fail(error,
                       "the CA in %s/ca.pem has expired: make a new one with `distguard pki init` "
                       "in another directory",
                       issuer->path);
    return 0;
}

static int load_ca(struct issuer *issuer, struct dg_error *error)
{
    if (read_certificates(issuer, error) != 0 || read_key(issuer, error) != 0)
        return -1;
    return check_ca(issuer, error);
}

static int create_ca(struct issuer *issuer, int days, struct dg_error *error)
{
    issuer->key = dg_mint_key(issuer->library);
    if (issuer->key != NULL)
        issuer->certificate = dg_mint_ca(issuer->library, issuer->key, days);
    if (issuer->certificate == NULL)
        return fail_crypto(error, "making the CA");
    return save(issuer, "ca", issuer->certificate, issuer->key, error);
}

int dg_issuer_init(const char *directory, int days, struct dg_error *error)
{
    struct issuer issuer;
    bool made;
    int result;

    if (dg_san_check_days(days, error) != 0)
        return -1;
    made = mkdir(directory, S_IRWXU) == 0;
    if (!made && errno != EEXIST)
        return dg_fail(error, "directory %s cannot be made: %s", directory, strerror(errno));
    result = open_issuer(&issuer, directory, error);
    if (result == 0)
        result = create_ca(&issuer, days, error);
    close_issuer(&issuer);
    if (result != 0 && made)
        (void)rmdir(directory);
    return result;
}

static int create_leaf(const struct issuer *issuer, const struct dg_certificate_request *request,
                       struct dg_error *error)
{
    EVP_PKEY *key = dg_mint_key(issuer->library);
    const struct dg_mint_issuer signer = {.certificate = issuer->certificate, .key = issuer->key};
    X509 *certificate = key != NULL ? dg_mint_leaf(issuer->library, key, request, &signer) : NULL;
    int result = certificate != NULL ? save(issuer, request->name, certificate, key, error)
                                     : fail_crypto(error, "making the certificate");

    X509_free(certificate);
    EVP_PKEY_free(key);
    return result;
}

int dg_issuer_issue(const char *directory, const struct dg_certificate_request *request,
                    struct dg_error *error)
{
    struct issuer issuer;
    int result;

    if (dg_san_check_request(request, error) != 0)
        return -1;
    result = open_issuer(&issuer, directory, error);
    if (result == 0)
        result = load_ca(&issuer, error);
    if (result == 0)
        result = create_leaf(&issuer, request, error);
    close_issuer(&issuer);
    return result;
}
