#include "tests/unit/support/policy_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 256

static char folder[PATH_SIZE];
static char file[PATH_SIZE + sizeof "/shim.conf"];

int policy_file_make(void **state)
{
    const char *temporary = getenv("TMPDIR");

    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/policy_file.XXXXXX",
                   temporary != NULL ? temporary : "/tmp");
    unsetenv("DISTGUARD_CONF");
    unsetenv("DISTGUARD_PROFILE");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(file, sizeof file, "%s/shim.conf", folder);
    return 0;
}

int policy_file_remove(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(folder);
}

const char *policy_file_path(void)
{
    return file;
}

static void write_text(const char *text)
{
    FILE *stream = fopen(file, "w");

    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(chmod(file, 0600), 0);
}

struct dg_policy *policy_of(const char *text)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};

    write_text(text);
    if (dg_policy_load(file, NULL, &policy, &error) != 0)
        fail_msg("%s\ncannot be loaded: %s", text, error.text);
    return policy;
}

void assert_message(const struct dg_error *error, const char *message)
{
    char wanted[DG_ERROR_SIZE];
    size_t used = 0;

    for (; *message != '\0'; message++)
        if (*message == '~')
            used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%s", file);
        else
            wanted[used++] = *message;
    wanted[used] = '\0';
    assert_string_equal(error->text, wanted);
}

void assert_policy_refused(const char *text, const char *message)
{
    struct dg_policy *policy = NULL;
    struct dg_error error = {.text = ""};

    write_text(text);
    if (dg_policy_load(file, NULL, &policy, &error) == 0)
        fail_msg("%s\nis accepted; wanted: %s", text, message);
    assert_message(&error, message);
    assert_null(policy);
}
