/* The suite's certificates with bytes of them changed: whatever can still be read as a certificate
 * harms nobody, and has no names but well-formed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/tls/identity.h"
#include "shim/core/tls/internal.h"
#include "tests/unit/support/cases.h"
#include "tests/unit/support/counterfeit.h"
#include "tests/unit/support/folder.h"
#include "tests/unit/support/random.h"

enum { ROUNDS = 15, PATH_SIZE = 512 };

static struct cases cases;
static struct random luck;
static char folder[] = "/tmp/distguard-damaged-XXXXXX";

/* --- what is wrong with it, if anything */

static void fail_with(const unsigned char *der, size_t size, const char *what)
{
    for (size_t i = 0; i < size; i++) {
        print_error("%02x", der[i]);
    }
    print_error("\n");
    fail_msg("the certificate above (DER): %s", what);
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static bool are_names(const struct dg_string_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->strings[i][0] == '\0' || !is_plain(list->strings[i])) {
            return false;
        }
    }
    return true;
}

static bool is_identity(const struct dg_identity *identity)
{
    return identity->dns.count + identity->uris.count + identity->address_count > 0 &&
           are_names(&identity->dns) && are_names(&identity->uris);
}

static bool is_empty(const struct dg_identity *identity)
{
    return identity->dns.strings == NULL && identity->uris.strings == NULL &&
           identity->addresses == NULL;
}

static const char *problem_of(X509 *certificate)
{
    struct dg_identity identity;
    struct dg_error error = {""};
    const char *problem = NULL;

    if (dg_identity_read(certificate, &identity, &error) != X509_V_OK) {
        return error.text[0] == '\0' || !is_empty(&identity) ? "refused, but not cleanly" : NULL;
    }
    if (!is_identity(&identity)) {
        problem = "it was read, but its names are none";
    }
    dg_identity_clear(&identity);
    return problem;
}

/* A subject has spaces; that it has no control bytes counts. */
static const char *problem_of_description(X509 *certificate)
{
    char words[96];

    dg_tls_describe_certificate(certificate, words, sizeof words);
    for (const char *byte = words; *byte != '\0'; byte++) {
        if (*byte < ' ' || *byte > '~') {
            return "its description holds a control byte";
        }
    }
    return strlen(words) < sizeof words ? NULL : "its description is too long";
}

/* --- the damage */

static void damage(unsigned char *der, size_t size)
{
    for (size_t changes = 1 + random_below(&luck, 3); changes > 0; changes--) {
        size_t at = random_below(&luck, size);
        uint64_t value =
            random_below(&luck, 2) == 0 ? random_next(&luck) : der[at] ^ (uint64_t)1 << (at % 8);

        der[at] = (unsigned char)value;
    }
}

/* Returns whether it still was a certificate. */
static bool try_damaged(const unsigned char *whole, size_t size)
{
    unsigned char *der = malloc(size);
    const unsigned char *end = der;
    const char *problem = NULL;
    X509 *certificate;

    assert_non_null(der);
    memcpy(der, whole, size);
    damage(der, size);
    certificate = d2i_X509(NULL, &end, (long)size);
    if (certificate != NULL && (problem = problem_of(certificate)) == NULL) {
        problem = problem_of_description(certificate);
    }
    ERR_clear_error();
    X509_free(certificate);
    if (problem != NULL) {
        fail_with(der, size, problem);
    }
    free(der);
    return certificate != NULL;
}

static X509 *read_certificate(const char *name)
{
    char path[PATH_SIZE];
    X509 *certificate;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s.pem", folder, name);
    file = fopen(path, "r");
    assert_non_null(file);
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    assert_non_null(certificate);
    (void)fclose(file);
    return certificate;
}

static void test_damaged_certificates_name_nobody_by_accident(void **state)
{
    unsigned readable = 0;

    (void)state;
    for (size_t i = 0; i < cases.count; i++) {
        unsigned char *der = NULL;
        X509 *certificate;
        int size;

        if (strcmp(cases.entries[i].kind, "crl") == 0) {
            continue;
        }
        certificate = read_certificate(cases.entries[i].name);
        size = i2d_X509(certificate, &der);
        assert_true(size > 0);
        for (int round = 0; round < ROUNDS; round++) {
            readable += try_damaged(der, (size_t)size);
        }
        OPENSSL_free(der);
        X509_free(certificate);
    }
    /* Else nothing was tried. */
    assert_true(readable > cases.count * ROUNDS / 10);
}

static int set_up(void **state)
{
    struct dg_error error;

    (void)state;
    if (mkdtemp(folder) == NULL || dg_tls_start(&error) != 0) {
        return -1;
    }
    cases = cases_read("tests/certificates/list");
    counterfeit_all(&cases, folder);
    luck.state = (uint64_t)time(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    cases_free(&cases);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_certificates_name_nobody_by_accident),
    };

    return cmocka_run_group_tests_name("tls/identity, damaged certificates", tests, set_up,
                                       tear_down);
}
