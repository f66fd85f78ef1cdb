/* Certificates, keys and trust anchors that cannot be used, and what an operator is told of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/core/tls/credentials.h"
#include "tests/unit/support/pki.h"

/* As the policy that it is a part of. */
static int load(const struct dg_tls_policy *tls, struct dg_credentials **credentials,
                struct dg_error *error)
{
    const struct dg_policy policy = {.tls = *tls};

    return dg_credentials_load(&policy, credentials, error);
}

static void assert_loads(const struct dg_tls_policy *policy)
{
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    if (load(policy, &credentials, &error) != 0) {
        fail_msg("refused: %s", error.text);
    }
    assert_non_null(credentials);
    assert_int_equal(ERR_peek_error(), 0);
    dg_credentials_free(credentials);
}

/* The message is `path`, as it stands in the policy, and then `words`. */
static void assert_refused(const struct dg_tls_policy *policy, const char *path, const char *words)
{
    struct dg_credentials *credentials = NULL;
    struct dg_error error;
    char wanted[DG_ERROR_SIZE];

    ERR_raise(ERR_LIB_PEM, 1); /* as the VM's crypto application could have left it */
    (void)snprintf(wanted, sizeof wanted, "%s: %s", path, words);
    assert_int_equal(load(policy, &credentials, &error), -1);
    assert_string_equal(error.text, wanted);
    assert_null(credentials);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_a_certificate_of_our_authority_loads(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");

    (void)state;
    assert_loads(&policy);
    policy = pki_policy("ours", "node", "both");
    assert_loads(&policy);
}

static void test_missing_files_are_named(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");

    (void)state;
    policy.certificate = pki_path("absent");
    assert_refused(&policy, policy.certificate,
                   "certificate cannot be read: No such file or directory");
    policy = pki_policy("ours", "node", "ours");
    policy.private_key = pki_path("absent");
    assert_refused(&policy, policy.private_key,
                   "private key cannot be read: No such file or directory");
    policy = pki_policy("ours", "node", "ours");
    policy.ca = pki_path("absent");
    assert_refused(&policy, policy.ca, "trust anchors cannot be read: No such file or directory");
}

static void test_a_key_that_others_can_read_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    (void)state;
    pki_copy("ours/node.key", "ours/open.key");
    policy.private_key = pki_path("ours/open.key");
    assert_int_equal(chmod(policy.private_key, 0640), 0);
    assert_int_equal(load(&policy, &credentials, &error), -1);
    assert_non_null(strstr(error.text, policy.private_key));
    assert_non_null(strstr(error.text, "private key"));
    assert_non_null(strstr(error.text, "chmod"));
    assert_int_equal(chmod(policy.private_key, 0600), 0);
    assert_loads(&policy);
}

static void test_a_trust_anchor_that_others_can_write_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    (void)state;
    pki_copy("ours/ca.pem", "writable.pem");
    policy.ca = pki_path("writable.pem");
    assert_int_equal(chmod(policy.ca, 0666), 0);
    assert_int_equal(load(&policy, &credentials, &error), -1);
    assert_non_null(strstr(error.text, policy.ca));
    assert_non_null(strstr(error.text, "trust anchors"));
}

#define KEY_WORDS                                                                                  \
    "private key cannot be used: it must be PEM and not protected by a passphrase (nobody is "     \
    "there to type it)"

static void test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(void **state)
{
    static char passphrase[] = "secret";
    static const struct pki_special special = {.name = "secret",
                                               .from = -60,
                                               .until = 3600,
                                               .usages = "serverAuth,clientAuth",
                                               .passphrase = passphrase};
    struct dg_tls_policy policy;

    (void)state;
    pki_special("ours", &special);
    policy = pki_policy("ours", "secret", "ours");
    assert_refused(&policy, policy.private_key, KEY_WORDS);
}

static void test_a_key_that_is_no_pem_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");

    (void)state;
    pki_write("broken.key", "-----BEGIN PRIVATE KEY-----\nbroken\n-----END PRIVATE KEY-----\n");
    policy.private_key = pki_path("broken.key");
    assert_refused(&policy, policy.private_key, KEY_WORDS);
    pki_write("broken.key", "");
    assert_refused(&policy, policy.private_key, KEY_WORDS);
}

static void test_a_key_of_another_certificate_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    char words[512];

    (void)state;
    policy.private_key = pki_path("ours/peer.key");
    (void)snprintf(words, sizeof words,
                   "private key does not belong to the certificate %s; name the two that were "
                   "issued together",
                   policy.certificate);
    assert_refused(&policy, policy.private_key, words);
}

static void assert_special_refused(const struct pki_special *special, const char *words)
{
    struct dg_tls_policy policy;

    pki_special("ours", special);
    policy = pki_policy("ours", special->name, "ours");
    assert_refused(&policy, policy.certificate, words);
}

static void test_an_expired_certificate_is_refused(void **state)
{
    static const struct pki_special special = {
        .name = "expired", .from = -7200, .until = -3600, .usages = "serverAuth,clientAuth"};

    (void)state;
    assert_special_refused(
        &special,
        "no peer would accept this certificate as a server: certificate has expired; issue "
        "a new one");
}

static void test_a_certificate_not_yet_valid_is_refused(void **state)
{
    static const struct pki_special special = {
        .name = "future", .from = 3600, .until = 7200, .usages = "serverAuth,clientAuth"};

    (void)state;
    assert_special_refused(
        &special,
        "no peer would accept this certificate as a server: certificate is not yet valid; "
        "wait, or set this host's clock");
}

static void test_a_weak_key_is_refused(void **state)
{
    static const struct pki_special special = {.name = "weak",
                                               .from = -60,
                                               .until = 3600,
                                               .usages = "serverAuth,clientAuth",
                                               .weak = true};

    (void)state;
    assert_special_refused(
        &special, "no peer would accept this certificate as a server: EE certificate key too weak; "
                  "issue it with EC P-256 or RSA of 2048 bits at least, and SHA-256");
}

static void test_a_certificate_must_serve_both_ends_of_a_connection(void **state)
{
    static const struct pki_special server = {
        .name = "server", .from = -60, .until = 3600, .usages = "serverAuth"};
    static const struct pki_special client = {
        .name = "client", .from = -60, .until = 3600, .usages = "clientAuth"};
    static const struct pki_special any = {.name = "any", .from = -60, .until = 3600};
    struct dg_tls_policy policy;

    (void)state;
    assert_special_refused(
        &server,
        "no peer would accept this certificate as a client: unsuitable certificate purpose; "
        "issue it with the extended key usages serverAuth and clientAuth, or with none");
    assert_special_refused(
        &client,
        "no peer would accept this certificate as a server: unsuitable certificate purpose; "
        "issue it with the extended key usages serverAuth and clientAuth, or with none");
    pki_special("ours", &any);
    policy = pki_policy("ours", "any", "ours");
    assert_loads(&policy);
}

static void test_a_certificate_of_another_authority_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("other", "node", "ours");

    (void)state;
    assert_refused(
        &policy, policy.certificate,
        "no peer would accept this certificate as a server: unable to get local issuer "
        "certificate; put its CA into tls.ca, and the CAs between behind it in its own file");
}

#define NO_CERTIFICATE " holds no certificate, or a broken one (PEM is expected)"

static void test_files_without_certificates_are_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");

    (void)state;
    pki_write("empty.pem", "");
    policy.ca = pki_path("empty.pem");
    assert_refused(&policy, policy.ca, "trust anchors" NO_CERTIFICATE);
    policy = pki_policy("ours", "node", "ours");
    policy.certificate = pki_path("empty.pem");
    assert_refused(&policy, policy.certificate, "certificate" NO_CERTIFICATE);
    policy.certificate = pki_path("ours/node.key");
    assert_refused(&policy, policy.certificate, "certificate" NO_CERTIFICATE);
}

static void test_files_without_crls_are_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");

    (void)state;
    policy.crl = pki_path("absent");
    assert_refused(&policy, policy.crl,
                   "list of revoked certificates cannot be read: No such file or directory");
    pki_write("no-crl.pem", "");
    policy.crl = pki_path("no-crl.pem");
    assert_refused(&policy, policy.crl,
                   "list of revoked certificates holds no CRL, or a broken one (PEM is expected)");
    /* A certificate is no CRL, however well-formed. */
    policy.crl = policy.ca;
    assert_refused(&policy, policy.crl,
                   "list of revoked certificates holds no CRL, or a broken one (PEM is expected)");
    pki_write("no-crl.pem", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
    policy.crl = pki_path("no-crl.pem");
    assert_refused(&policy, policy.crl,
                   "list of revoked certificates holds no CRL, or a broken one (PEM is expected)");
}

static void test_a_file_that_is_far_too_large_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    (void)state;
    pki_write("large.pem", "");
    policy.ca = pki_path("large.pem");
    assert_int_equal(truncate(policy.ca, 64L * 1024 * 1024), 0);
    assert_int_equal(load(&policy, &credentials, &error), -1);
    assert_non_null(strstr(error.text, "is larger than 16777216 bytes"));
}

static void test_a_broken_certificate_behind_a_good_one_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    FILE *file;

    (void)state;
    pki_copy("ours/ca.pem", "half.pem");
    file = fopen(pki_path("half.pem"), "a");
    assert_non_null(file);
    assert_true(fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", file) > 0);
    assert_int_equal(fclose(file), 0);
    policy.ca = pki_path("half.pem");
    assert_refused(&policy, policy.ca, "trust anchors" NO_CERTIFICATE);
}

static void test_a_truncated_certificate_behind_a_good_one_is_refused(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    FILE *file;

    (void)state;
    pki_copy("ours/ca.pem", "cut.pem");
    file = fopen(pki_path("cut.pem"), "a");
    assert_non_null(file);
    assert_true(fputs("-----BEGIN CERTIFICATE-----\nMIIB\n", file) > 0);
    assert_int_equal(fclose(file), 0);
    policy.ca = pki_path("cut.pem");
    assert_refused(&policy, policy.ca, "trust anchors" NO_CERTIFICATE);
}

static void test_a_directory_or_a_fifo_is_refused_at_once(void **state)
{
    struct dg_tls_policy policy = pki_policy("ours", "node", "ours");
    struct dg_credentials *credentials = NULL;
    struct dg_error error;

    (void)state;
    policy.ca = pki_path("ours");
    assert_int_equal(load(&policy, &credentials, &error), -1);
    assert_non_null(strstr(error.text, policy.ca));
    policy.ca = pki_path("fifo");
    assert_int_equal(mkfifo(policy.ca, 0600), 0);
    assert_int_equal(load(&policy, &credentials, &error), -1);
    assert_non_null(strstr(error.text, policy.ca));
}

static void test_freeing_nothing_is_allowed(void **state)
{
    (void)state;
    dg_credentials_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_certificate_of_our_authority_loads),
        cmocka_unit_test(test_missing_files_are_named),
        cmocka_unit_test(test_a_key_that_others_can_read_is_refused),
        cmocka_unit_test(test_a_trust_anchor_that_others_can_write_is_refused),
        cmocka_unit_test(test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked),
        cmocka_unit_test(test_a_key_that_is_no_pem_is_refused),
        cmocka_unit_test(test_a_key_of_another_certificate_is_refused),
        cmocka_unit_test(test_an_expired_certificate_is_refused),
        cmocka_unit_test(test_a_certificate_not_yet_valid_is_refused),
        cmocka_unit_test(test_a_weak_key_is_refused),
        cmocka_unit_test(test_a_certificate_must_serve_both_ends_of_a_connection),
        cmocka_unit_test(test_a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(test_files_without_certificates_are_refused),
        cmocka_unit_test(test_files_without_crls_are_refused),
        cmocka_unit_test(test_a_file_that_is_far_too_large_is_refused),
        cmocka_unit_test(test_a_broken_certificate_behind_a_good_one_is_refused),
        cmocka_unit_test(test_a_truncated_certificate_behind_a_good_one_is_refused),
        cmocka_unit_test(test_a_directory_or_a_fifo_is_refused_at_once),
        cmocka_unit_test(test_freeing_nothing_is_allowed),
    };

    return cmocka_run_group_tests_name("tls/credentials", tests, pki_make, pki_remove);
}
