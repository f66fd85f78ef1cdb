#include "tests/unit/support/pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/tls/issuer.h"
#include "shim/core/tls/internal.h"
#include "tests/unit/support/folder.h"

enum { PATH_SIZE = 512, NAME_SIZE = 128, PATHS = 4 };

static char folder[PATH_SIZE / 2];

static void need(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "test certificates: %s\n", what);
        abort();
    }
}

char *pki_path(const char *name)
{
    static char paths[PATHS][PATH_SIZE];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    (void)snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    return path;
}

static FILE *open_file(const char *name, const char *mode)
{
    FILE *file = fopen(pki_path(name), mode);

    need(file != NULL, name);
    return file;
}

static void issue(const char *authority, const char *name)
{
    const char *const dns[] = {"node.example.org"};
    struct dg_certificate_request request = {.name = name, .dns = dns, .dns_count = 1, .days = 1};
    struct dg_error error;

    need(dg_issuer_issue(pki_path(authority), &request, &error) == 0, error.text);
}

static void copy(const char *from, FILE *to)
{
    char text[16 * 1024];
    FILE *file = open_file(from, "r");
    size_t size = fread(text, 1, sizeof text, file);

    (void)fclose(file);
    need(fwrite(text, 1, size, to) == size, from);
}

static void make_both(void)
{
    FILE *file;

    need(mkdir(pki_path("both"), 0700) == 0, "both");
    file = open_file("both/ca.pem", "w");
    copy("ours/ca.pem", file);
    copy("other/ca.pem", file);
    (void)fclose(file);
}

static void make_authority(const char *name)
{
    struct dg_error error;

    need(dg_issuer_init(pki_path(name), 1, &error) == 0, error.text);
    issue(name, "node");
    issue(name, "peer");
}

int pki_make(void **state)
{
    struct dg_error error;

    (void)state;
    (void)strcpy(folder, "/tmp/distguard-pki-XXXXXX");
    need(mkdtemp(folder) != NULL, "no temporary folder");
    need(dg_tls_start(&error) == 0, error.text);
    make_authority("ours");
    make_authority("other");
    make_both();
    return 0;
}

void pki_use(const char *made)
{
    struct dg_error error;

    (void)snprintf(folder, sizeof folder, "%s", made);
    need(dg_tls_start(&error) == 0, error.text);
}

int pki_remove(void **state)
{
    (void)state;
    folder_remove(pki_path("ours"));
    folder_remove(pki_path("other"));
    folder_remove(pki_path("both"));
    folder_remove(folder);
    return 0;
}

struct dg_tls_policy pki_policy(const char *authority, const char *name, const char *anchors)
{
    static char paths[3][PATH_SIZE];

    (void)snprintf(paths[0], PATH_SIZE, "%s/%s/%s.pem", folder, authority, name);
    (void)snprintf(paths[1], PATH_SIZE, "%s/%s/%s.key", folder, authority, name);
    (void)snprintf(paths[2], PATH_SIZE, "%s/%s/ca.pem", folder, anchors);
    return (struct dg_tls_policy){.certificate = paths[0],
                                  .private_key = paths[1],
                                  .ca = paths[2],
                                  .min_version = DG_TLS_1_3,
                                  .handshake_timeout = 60.0};
}

struct dg_credentials *pki_credentials(const char *authority, const char *name, const char *anchors)
{
    static struct dg_policy policy; /* outlives what is made of it */

    policy.tls = pki_policy(authority, name, anchors);
    return pki_credentials_of(&policy);
}

struct dg_credentials *pki_credentials_of(const struct dg_policy *policy)
{
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    need(dg_credentials_load(policy, &credentials, &error) == 0, error.text);
    return credentials;
}

void pki_cap_1_2(struct dg_credentials *credentials)
{
    need(SSL_CTX_set_max_proto_version(credentials->context, TLS1_2_VERSION) == 1, "TLS 1.2");
}

static void read_authority(const char *authority, X509 **certificate, EVP_PKEY **key)
{
    char name[NAME_SIZE];
    FILE *file;

    (void)snprintf(name, sizeof name, "%s/ca.pem", authority);
    file = open_file(name, "r");
    *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    (void)fclose(file);
    (void)snprintf(name, sizeof name, "%s/ca.key", authority);
    file = open_file(name, "r");
    *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    (void)fclose(file);
    need(*certificate != NULL && *key != NULL, "the authority's files");
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    need(extension != NULL && X509_add_ext(certificate, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(const struct pki_special *special, EVP_PKEY *key, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    X509 *made = X509_new();

    need(made != NULL && X509_set_version(made, X509_VERSION_3) == 1, "X509_new");
    ASN1_INTEGER_set(X509_get_serialNumber(made), 77);
    X509_gmtime_adj(X509_getm_notBefore(made), special->from);
    X509_gmtime_adj(X509_getm_notAfter(made), special->until);
    X509_set_issuer_name(made, X509_get_subject_name(issuer));
    X509_set_pubkey(made, key);
    add_extension(made, NID_subject_alt_name, "DNS:node.example.org");
    if (special->usages != NULL) {
        add_extension(made, NID_ext_key_usage, special->usages);
    }
    need(X509_sign(made, issuer_key, EVP_sha256()) > 0, "X509_sign");
    return made;
}

static void write_pair(const char *authority, const struct pki_special *special, X509 *certificate,
                       EVP_PKEY *key)
{
    const EVP_CIPHER *cipher = special->passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    char name[NAME_SIZE];
    FILE *file;

    (void)snprintf(name, sizeof name, "%s/%s.pem", authority, special->name);
    file = open_file(name, "w");
    need(PEM_write_X509(file, certificate) == 1, name);
    (void)fclose(file);
    (void)snprintf(name, sizeof name, "%s/%s.key", authority, special->name);
    file = open_file(name, "w");
    (void)fchmod(fileno(file), 0600);
    need(PEM_write_PKCS8PrivateKey(file, key, cipher, NULL, 0, NULL, special->passphrase) == 1,
         name);
    (void)fclose(file);
}

void pki_special(const char *authority, const struct pki_special *special)
{
    EVP_PKEY *key = special->weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
    EVP_PKEY *issuer_key;
    X509 *issuer;
    X509 *made;

    need(key != NULL, "no key");
    read_authority(authority, &issuer, &issuer_key);
    made = make_certificate(special, key, issuer, issuer_key);
    write_pair(authority, special, made, key);
    X509_free(made);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
}

void pki_write(const char *name, const char *text)
{
    FILE *file = open_file(name, "w");

    (void)fchmod(fileno(file), 0600);
    need(fputs(text, file) >= 0, name);
    (void)fclose(file);
}

void pki_copy(const char *from, const char *to)
{
    FILE *file = open_file(to, "w");

    (void)fchmod(fileno(file), 0600);
    copy(from, file);
    (void)fclose(file);
}
