/* What the certificate authority leaves on the disk, above all where it fails half-way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/tls/issuer.h"

#define PATH_SIZE 256

/* More than a key's file has, less than a certificate's. */
#define BETWEEN_KEY_AND_CERTIFICATE 400

static const char *const dns[] = {"a.example.org"};
static const struct dg_certificate_request request = {
    .name = "node", .dns = dns, .dns_count = 1, .days = 1};

static char folder[PATH_SIZE];
static char authority[PATH_SIZE];

static int make_folder(void **state)
{
    (void)state;
    (void)strcpy(folder, "/tmp/distguard-issuer-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(authority, sizeof authority, "%.200s/ca", folder);
    return 0;
}

static void remove_files(const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL)
        (void)unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream != NULL)
        (void)closedir(stream);
    (void)rmdir(directory);
}

static int remove_folder(void **state)
{
    (void)state;
    remove_files(authority);
    remove_files(folder);
    return 0;
}

static void assert_made(int result, const struct dg_error *error)
{
    if (result != 0)
        fail_msg("%s", error->text);
}

static void assert_files(size_t wanted)
{
    DIR *stream = opendir(authority);
    struct dirent *entry;
    size_t found = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)) != NULL)
        found += entry->d_name[0] != '.';
    (void)closedir(stream);
    if (found != wanted)
        fail_msg("%zu files in the authority's directory, not %zu", found, wanted);
}

static int descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void limit_files(rlim_t size)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full after the key: neither it nor a part of the certificate stays. */
static void test_full_disk(void **state)
{
    struct dg_error error = {""};
    int result;

    (void)state;
    assert_made(dg_issuer_init(authority, 1, &error), &error);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(BETWEEN_KEY_AND_CERTIFICATE);
    result = dg_issuer_issue(authority, &request, &error);
    limit_files(RLIM_INFINITY);
    assert_int_equal(result, -1);
    assert_non_null(strstr(error.text, "node.pem cannot be written"));
    assert_files(2);
    assert_made(dg_issuer_issue(authority, &request, &error), &error);
    assert_files(4);
}

/* The directory that init made goes with it; one that was there stays. */
static void test_full_disk_at_init(void **state)
{
    struct dg_error error = {""};
    int result;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(BETWEEN_KEY_AND_CERTIFICATE);
    result = dg_issuer_init(authority, 1, &error);
    assert_int_equal(access(authority, F_OK), -1);
    assert_int_equal(mkdir(authority, S_IRWXU), 0);
    result += dg_issuer_init(authority, 1, &error);
    limit_files(RLIM_INFINITY);
    assert_int_equal(result, -2);
    assert_files(0);
}

static void test_descriptors(void **state)
{
    struct dg_error error = {""};
    int before = descriptors();

    (void)state;
    assert_made(dg_issuer_init(authority, 1, &error), &error);
    assert_made(dg_issuer_issue(authority, &request, &error), &error);
    assert_int_equal(dg_issuer_init(authority, 1, &error), -1);
    assert_int_equal(dg_issuer_issue(authority, &request, &error), -1);
    assert_int_equal(dg_issuer_issue(folder, &request, &error), -1);
    assert_int_equal(descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_disk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_full_disk_at_init, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_descriptors, make_folder, remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
