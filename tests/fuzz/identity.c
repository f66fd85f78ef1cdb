/*
 * Certificates of strangers: whatever their DER holds, the names that come out of it are clean, and
 * a node name that the certificate does not have is not its.
 *
 * Input: a certificate in DER, and behind it the node name that its holder claims.
 */
#include "shim/core/tls/identity.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/tls/credentials.h"
#include "shim/core/tls/internal.h"
#include "tests/fuzz/support/bytes.h"

enum { TEXT_SIZE = 300 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct dg_error error;

    (void)argc;
    (void)argv;
    if (dg_tls_start(&error) != 0) {
        fuzz_fail("%s", error.text);
    }
    return 0;
}

static void check_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            fuzz_fail("a byte %02x in words about a certificate", (unsigned char)*text);
        }
    }
}

static void check_names(const struct dg_string_list *names)
{
    for (size_t i = 0; i < names->count; i++) {
        check_text(names->strings[i]);
        if (names->strings[i][0] == '\0' || strchr(names->strings[i], ' ') != NULL) {
            fuzz_fail("a name that is empty or has a space: '%s'", names->strings[i]);
        }
    }
}

/* Under the strictest rule a claim must be written out in the certificate; under the standard one
 * its host must be no other than one of the names, or fit a wildcard. */
static void check_claims(const struct dg_identity *identity, const char *name, size_t size)
{
    struct dg_policy policy = {.node_names = DG_NODE_NAMES_EXACT};
    struct dg_error error = {.text = ""};
    const char *at = memchr(name, '@', size);

    if (dg_policy_admits_node(&policy, identity, name, size, &error) && identity->uris.count == 0) {
        fuzz_fail("a node is admitted by a URI, and there is none");
    }
    policy.node_names = DG_NODE_NAMES_HOST;
    if (dg_policy_admits_node(&policy, identity, name, size, &error)) {
        if (at == NULL || memchr(name, '\0', size) != NULL ||
            !dg_identity_has_host(identity, at + 1, size - (size_t)(at + 1 - name))) {
            fuzz_fail("a node is admitted whose host the certificate does not have");
        }
    } else {
        check_text(error.text);
    }
}

static void check_certificate(X509 *certificate, const char *name, size_t size)
{
    struct dg_identity identity = {.address_count = 0};
    struct dg_error error = {.text = ""};
    char text[TEXT_SIZE];
    int result = dg_identity_read(certificate, &identity, &error);

    dg_tls_describe_certificate(certificate, text, sizeof text);
    check_text(text);
    if (result == X509_V_OK) {
        if (identity.dns.count + identity.uris.count + identity.address_count == 0) {
            fuzz_fail("a certificate without a name stands for somebody");
        }
        check_names(&identity.dns);
        check_names(&identity.uris);
        check_claims(&identity, name, size);
    } else {
        check_text(error.text);
        if (error.text[0] == '\0' || identity.dns.count != 0 || identity.uris.count != 0) {
            fuzz_fail("refused without a reason, or with names left: '%s'", error.text);
        }
    }
    dg_identity_clear(&identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned char *end = data;
    X509 *certificate = X509_new_ex(dg_tls_library(), NULL);
    X509 *read = d2i_X509(&certificate, &end, (long)size);

    if (read != NULL) {
        size_t name_size = size - (size_t)(end - data);
        char *name = (char *)fuzz_copy(end, name_size);

        check_certificate(read, name, name_size);
        free(name);
    }
    X509_free(certificate);
    ERR_clear_error();
    return 0;
}
