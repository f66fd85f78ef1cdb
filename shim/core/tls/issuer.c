#include "shim/core/tls/issuer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "policy/policy.h"
#include "shim/core/tls/fresh_file.h"
#include "shim/core/tls/san.h"

#define SERIAL_SIZE 20             /* the most that RFC 5280 allows */
#define BACKDATE_SECONDS (60 * 60) /* peers' clocks may be behind */
#define CA_NAME_BYTES 4            /* random, in the CA's name: two CAs differ */

static const mode_t key_mode = S_IRUSR | S_IWUSR;
static const mode_t certificate_mode = S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;

/* Who signs. The library context is our own, so that nothing of OPENSSL_CONF counts. */
struct issuer {
    OSSL_LIB_CTX *library;
    const char *path; /* of the directory, for messages */
    int directory;
    EVP_PKEY *key;
    X509 *certificate;
    STACK_OF(X509) * intermediates; /* what a leaf's file needs besides the leaf */
};

struct extension {
    int nid;
    const char *value;
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

/* What follows makes a certificate. */

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

static X509 *make_ca(OSSL_LIB_CTX *library, EVP_PKEY *key, int days)
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

static X509 *make_leaf(const struct issuer *issuer, EVP_PKEY *key,
                       const struct dg_certificate_request *request)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        /* A node both accepts and connects. */
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid"},
    };
    X509 *certificate = new_certificate(issuer->library, key, request->days);

    if (certificate != NULL && end_with_issuer(certificate, issuer->certificate) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer->certificate)) == 1 &&
        add_extensions(certificate, issuer->certificate, extensions,
                       sizeof extensions / sizeof extensions[0]) &&
        add_san(certificate, request) && sign(certificate, issuer->key))
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* What follows writes it down. */

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

/* What follows opens the directory and reads the CA. */

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

static BIO *open_pem(const struct issuer *issuer, const char *name, const char *what, bool secret,
                     struct dg_error *error)
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
    if (dg_policy_check_file(fd, path, what, secret, error) != 0) {
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
    BIO *bio = open_pem(issuer, "ca.pem", "CA certificate", false, error);
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
    BIO *bio = open_pem(issuer, "ca.key", "CA key", true, error);

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

static EVP_PKEY *new_key(OSSL_LIB_CTX *library)
{
    return EVP_PKEY_Q_keygen(library, NULL, "EC", "P-256");
}

static int create_ca(struct issuer *issuer, int days, struct dg_error *error)
{
    issuer->key = new_key(issuer->library);
    if (issuer->key != NULL)
        issuer->certificate = make_ca(issuer->library, issuer->key, days);
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
    EVP_PKEY *key = new_key(issuer->library);
    X509 *certificate = key != NULL ? make_leaf(issuer, key, request) : NULL;
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
