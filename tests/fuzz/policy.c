/*
 * Policy files: any text is loaded or refused, with a reason that no terminal stumbles over, and
 * what was loaded can be asked and freed. The file lives in memory alone.
 */
#include "policy/policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/support/bytes.h"

static int file = -1;
static char path[64];

/* libconfig's scanner loses the text it is in the middle of when its parser gives up: a few bytes
 * for each policy that is refused. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    (void)unsetenv("DISTGUARD_PROFILE");
    file = memfd_create("policy", MFD_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || fchmod(file, S_IRUSR | S_IWUSR) != 0) {
        fuzz_fail("no memory file");
    }
    return 0;
}

static void check_refusal(const struct dg_policy *policy, const struct dg_error *error)
{
    if (policy != NULL || error->text[0] == '\0') {
        fuzz_fail("refused with a policy, or without a reason");
    }
    for (const char *byte = error->text; *byte != '\0'; byte++) {
        if ((unsigned char)*byte < ' ' || *byte == '\x7f') {
            fuzz_fail("a control byte in: %s", error->text);
        }
    }
}

/* What no text may switch off by being left out. */
static void check_policy(const struct dg_policy *policy)
{
    struct dg_host host = {.family = DG_FAMILY_IPV4};
    bool open;

    if (policy->mode > DG_MODE_REQUIRE || policy->distribution.bind.count == 0 ||
        policy->epmd.bind.count == 0 || policy->files.count == 0 || policy->profile == NULL) {
        fuzz_fail("a policy that is not whole");
    }
    if (policy->mode != DG_MODE_OFF && !(policy->tls.handshake_timeout > 0)) {
        fuzz_fail("a handshake timeout of %f", policy->tls.handshake_timeout);
    }
    (void)dg_policy_allows(&policy->distribution.allow_from, &host, &open);
    (void)dg_policy_port_listed(&policy->distribution.ports, 1);
    (void)dg_policy_guards(policy, "beam.smp");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};

    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) {
        fuzz_fail("cannot write the file");
    }
    if (dg_policy_load(path, NULL, &policy, &error) == 0) {
        check_policy(policy);
    } else {
        check_refusal(policy, &error);
    }
    dg_policy_free(policy);
    return 0;
}
