#include "tests/unit/support/counterfeit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/support/counterfeit_names.h"

enum { PATH_SIZE = 512, WORD_SIZE = 128, FIRST_SERIAL = 1000 };

/* What was made so far: at the place of its entry. */
struct press {
    const struct cases *cases;
    const char *folder;
    X509 **certificates;
    EVP_PKEY **keys;
};

static void need(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "cannot make %s\n", what);
        ERR_print_errors_fp(stderr);
        abort();
    }
}

static bool is(const char *value, const char *word)
{
    return strcmp(value, word) == 0;
}

static size_t place(const struct press *press, const char *name)
{
    return (size_t)(cases_find(press->cases, name) - press->cases->entries);
}

static bool is_authority(const struct case_entry *entry)
{
    return is(entry->kind, "authority");
}

/* --- the parts of a certificate --- */

static EVP_PKEY *make_key(const char *kind)
{
    if (strncmp(kind, "RSA-", 4) == 0) {
        return EVP_RSA_gen((unsigned)strtoul(kind + 4, NULL, 10));
    }
    if (is(kind, "ED25519")) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return EVP_EC_gen(kind);
}

/* "-2d", "+1h" from now, in seconds. */
static long offset_of(const char *text)
{
    char *end;
    long count = strtol(text, &end, 10);

    return count * (*end == 'd' ? 24 * 60 * 60 : 60 * 60);
}

static void set_subject(X509 *made, const char *subject)
{
    X509_NAME *name = X509_NAME_new();
    char bytes[WORD_SIZE];
    size_t size = counterfeit_bytes(subject, strlen(subject), bytes, sizeof bytes);

    if (!is(subject, "none")) {
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)bytes,
                                   (int)size, -1, 0);
    }
    X509_set_subject_name(made, name);
    X509_NAME_free(name);
}

static void push(X509 *made, X509_EXTENSION *extension, const char *what)
{
    need(extension != NULL && X509_add_ext(made, extension, -1) == 1, what);
    X509_EXTENSION_free(extension);
}

static void add(X509 *made, X509 *issuer, const char *name, const char *value)
{
    X509V3_CTX context;

    if (is(value, "none")) {
        return;
    }
    X509V3_set_ctx(&context, issuer, made, NULL, NULL, 0);
    push(made, X509V3_EXT_nconf(NULL, &context, name, value), value);
}

static void add_names(X509 *made, const char *names)
{
    if (!is(names, "none")) {
        push(made, counterfeit_names(names), names);
    }
}

/* "1.2.3.4 critical,DER:0500" */
static void add_extra(X509 *made, const char *extra)
{
    char name[WORD_SIZE];

    need(case_word(&extra, name, sizeof name) != NULL, extra);
    add(made, NULL, name, extra + strspn(extra, " "));
}

static void add_extensions(X509 *made, X509 *issuer, const struct case_entry *entry)
{
    bool ca = is_authority(entry);

    add(made, issuer, "subjectKeyIdentifier", "hash");
    add(made, issuer, "authorityKeyIdentifier", case_get(entry, "keyid", "keyid"));
    add(made, issuer, "basicConstraints",
        case_get(entry, "basic", ca ? "critical,CA:TRUE" : "none"));
    add(made, issuer, "keyUsage",
        case_get(entry, "usage",
                 ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"));
    add(made, issuer, "extendedKeyUsage",
        case_get(entry, "purpose", ca ? "none" : "serverAuth,clientAuth"));
    add(made, issuer, "nameConstraints", case_get(entry, "limits", "none"));
    add_names(made, case_get(entry, "san", ca ? "none" : "DNS:node.example.org"));
    add_names(made, case_get(entry, "twice", "none"));
    for (size_t i = 0; i < entry->count; i++) {
        if (is(entry->pairs[i].key, "extra")) {
            add_extra(made, entry->pairs[i].value);
        }
    }
}

/* --- a certificate --- */

static const EVP_MD *digest_of(const struct case_entry *entry, EVP_PKEY *signer)
{
    return EVP_PKEY_is_a(signer, "ED25519")
               ? NULL
               : EVP_get_digestbyname(case_get(entry, "digest", "SHA256"));
}

static void make_certificate(struct press *press, size_t at)
{
    const struct case_entry *entry = &press->cases->entries[at];
    const char *issuer = case_get(entry, "issuer", is_authority(entry) ? "self" : "ca");
    size_t from = is(issuer, "self") ? at : place(press, issuer);
    size_t signer =
        place(press, case_get(entry, "signer", is(issuer, "self") ? entry->name : issuer));
    X509 *made = X509_new();
    X509 *above = from == at ? made : press->certificates[from];

    press->certificates[at] = made;
    press->keys[at] = make_key(case_get(entry, "key", "P-256"));
    need(press->keys[at] != NULL && above != NULL && press->keys[signer] != NULL, entry->name);
    X509_set_pubkey(made, press->keys[at]);
    set_subject(made, case_get(entry, "subject", entry->name));
    X509_set_issuer_name(made, X509_get_subject_name(above));
    ASN1_INTEGER_set(X509_get_serialNumber(made), FIRST_SERIAL + (long)at);
    X509_gmtime_adj(X509_getm_notBefore(made), offset_of(case_get(entry, "from", "-1h")));
    X509_gmtime_adj(X509_getm_notAfter(made), offset_of(case_get(entry, "until", "+9d")));
    if (is(case_get(entry, "version", "3"), "3")) {
        X509_set_version(made, X509_VERSION_3);
        add_extensions(made, above, entry);
    }
    need(X509_sign(made, press->keys[signer], digest_of(entry, press->keys[signer])) > 0,
         entry->name);
}

static FILE *open_file(const struct press *press, const char *name, const char *ending)
{
    char path[PATH_SIZE];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s.%s", press->folder, name, ending);
    file = fopen(path, "w");
    need(file != NULL && fchmod(fileno(file), 0600) == 0, path);
    return file;
}

static void write_certificate(const struct press *press, size_t at)
{
    const struct case_entry *entry = &press->cases->entries[at];
    const char *chain = case_get(entry, "chain", "");
    FILE *file = open_file(press, entry->name, "pem");
    char name[WORD_SIZE];

    need(PEM_write_X509(file, press->certificates[at]) == 1, entry->name);
    while (case_word(&chain, name, sizeof name) != NULL) {
        need(PEM_write_X509(file, press->certificates[place(press, name)]) == 1, name);
    }
    (void)fclose(file);
    file = open_file(press, entry->name, "key");
    need(PEM_write_PrivateKey(file, press->keys[at], NULL, NULL, 0, NULL, NULL) == 1, entry->name);
    (void)fclose(file);
}

/* --- a CRL --- */

static ASN1_TIME *time_of(const char *offset)
{
    return X509_gmtime_adj(NULL, offset_of(offset));
}

static void add_extra_to_crl(X509_CRL *crl, const char *extra)
{
    X509_EXTENSION *extension;
    char name[WORD_SIZE];

    need(case_word(&extra, name, sizeof name) != NULL, extra);
    extension = X509V3_EXT_nconf(NULL, NULL, name, extra + strspn(extra, " "));
    need(extension != NULL && X509_CRL_add_ext(crl, extension, -1) == 1, extra);
    X509_EXTENSION_free(extension);
}

static void revoke(const struct press *press, X509_CRL *crl, const char *names)
{
    char name[WORD_SIZE];

    while (case_word(&names, name, sizeof name) != NULL) {
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        ASN1_TIME *now = time_of("-1h");

        ASN1_INTEGER_set(serial, FIRST_SERIAL + (long)place(press, name));
        X509_REVOKED_set_serialNumber(revoked, serial);
        X509_REVOKED_set_revocationDate(revoked, now);
        need(X509_CRL_add0_revoked(crl, revoked) == 1, name);
        ASN1_INTEGER_free(serial);
        ASN1_TIME_free(now);
    }
}

static void make_crl(const struct press *press, const struct case_entry *entry)
{
    const char *issuer = case_get(entry, "issuer", "ca");
    EVP_PKEY *signer = press->keys[place(press, case_get(entry, "signer", issuer))];
    const char *until = case_get(entry, "until", "+9d");
    ASN1_TIME *begin = time_of(case_get(entry, "from", "-1h"));
    ASN1_TIME *end = time_of(until);
    X509_CRL *crl = X509_CRL_new();
    FILE *file = open_file(press, entry->name, "pem");

    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(press->certificates[place(press, issuer)]));
    X509_CRL_set1_lastUpdate(crl, begin);
    if (!is(until, "none")) {
        X509_CRL_set1_nextUpdate(crl, end);
    }
    if (case_get(entry, "extra", NULL) != NULL) {
        add_extra_to_crl(crl, case_get(entry, "extra", NULL));
    }
    revoke(press, crl, case_get(entry, "revokes", ""));
    need(X509_CRL_sign(crl, signer, EVP_sha256()) > 0, entry->name);
    need(PEM_write_X509_CRL(file, crl) == 1, entry->name);
    (void)fclose(file);
    X509_CRL_free(crl);
    ASN1_TIME_free(begin);
    ASN1_TIME_free(end);
}

/* --- the policy of the node that meets it --- */

/* Several PEM files as one. */
static void join(const struct press *press, const char *names, const char *into, const char *ending)
{
    FILE *to = open_file(press, into, ending);
    char name[WORD_SIZE];

    while (case_word(&names, name, sizeof name) != NULL) {
        size_t at = place(press, name);

        if (press->certificates[at] != NULL) {
            need(PEM_write_X509(to, press->certificates[at]) == 1, name);
        } else {
            char path[PATH_SIZE];
            X509_CRL *crl = NULL;
            FILE *from;

            (void)snprintf(path, sizeof path, "%s/%s.pem", press->folder, name);
            from = fopen(path, "r");
            need(from != NULL && (crl = PEM_read_X509_CRL(from, NULL, NULL, NULL)) != NULL, path);
            need(PEM_write_X509_CRL(to, crl) == 1, name);
            X509_CRL_free(crl);
            (void)fclose(from);
        }
    }
    (void)fclose(to);
}

/* SHA-256 of the key of the certificate NAME, where the text says %NAME%. */
static void write_peers(const struct press *press, FILE *file, const char *peers)
{
    const char *begin = strchr(peers, '%');
    const char *end = begin != NULL ? strchr(begin + 1, '%') : NULL;
    unsigned char *der = NULL;
    unsigned char hash[EVP_MAX_MD_SIZE];
    char name[WORD_SIZE];
    int size;

    if (end == NULL) {
        (void)fprintf(file, "    peers = ( %s );\n", peers);
        return;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)(end - begin - 1), begin + 1);
    size = i2d_PUBKEY(press->keys[place(press, name)], &der);
    need(size > 0 && EVP_Digest(der, (size_t)size, hash, NULL, EVP_sha256(), NULL) == 1, name);
    OPENSSL_free(der);
    (void)fprintf(file, "    peers = ( %.*ssha256:", (int)(begin - peers), peers);
    for (int i = 0; i < 32; i++) {
        (void)fprintf(file, "%02x", hash[i]);
    }
    (void)fprintf(file, "%s );\n", end + 1);
}

static void write_policy(const struct press *press, const struct case_entry *entry)
{
    const char *own = case_get(entry, "own", "node");
    const char *crls = case_get(entry, "crls", NULL);
    const char *peers = case_get(entry, "peers", NULL);
    FILE *file = open_file(press, entry->name, "conf");

    join(press, case_get(entry, "anchors", "ca"), entry->name, "anchors");
    (void)fprintf(file,
                  "version = 1;\nprofiles: {\n  node: {\n    mode = \"require\";\n"
                  "    node_names = \"%s\";\n    tls: {\n"
                  "      certificate = \"%s/%s.pem\"; private_key = \"%s/%s.key\";\n"
                  "      ca = \"%s/%s.anchors\";\n",
                  case_get(entry, "names", "host"), press->folder, own, press->folder, own,
                  press->folder, entry->name);
    if (crls != NULL) {
        join(press, crls, entry->name, "crls");
        (void)fprintf(file, "      crl = \"%s/%s.crls\";\n", press->folder, entry->name);
    }
    (void)fprintf(file, "    };\n");
    if (peers != NULL) {
        write_peers(press, file, peers);
    }
    (void)fprintf(file, "  };\n};\n");
    (void)fclose(file);
}

/* --- all of it --- */

void counterfeit_all(const struct cases *cases, const char *folder)
{
    struct press press = {.cases = cases,
                          .folder = folder,
                          .certificates = calloc(cases->count, sizeof(X509 *)),
                          .keys = calloc(cases->count, sizeof(EVP_PKEY *))};

    need(press.certificates != NULL && press.keys != NULL, "anything: out of memory");
    for (size_t i = 0; i < cases->count; i++) {
        if (is(cases->entries[i].kind, "crl")) {
            make_crl(&press, &cases->entries[i]);
        } else {
            make_certificate(&press, i);
            write_certificate(&press, i);
        }
    }
    for (size_t i = 0; i < cases->count; i++) {
        if (!is(cases->entries[i].kind, "crl") && !is_authority(&cases->entries[i])) {
            write_policy(&press, &cases->entries[i]);
        }
    }
    for (size_t i = 0; i < cases->count; i++) {
        X509_free(press.certificates[i]);
        EVP_PKEY_free(press.keys[i]);
    }
    free(press.certificates);
    free(press.keys);
}
