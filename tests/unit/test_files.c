/* When the files of a policy count as changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/files.h"
#include "tests/unit/support/folder.h"

enum { PATH_SIZE = 256 };

static char folder[PATH_SIZE / 2];
static char conf[PATH_SIZE], certificate[PATH_SIZE], key[PATH_SIZE], ca[PATH_SIZE];
static char *names[] = {conf};
static const struct dg_policy policy = {
    .mode = DG_MODE_REQUIRE,
    .files = {.strings = names, .count = 1},
    .tls = {.certificate = certificate, .private_key = key, .ca = ca},
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void name(char path[PATH_SIZE], const char *file)
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", folder, file);
    write_file(path, file);
}

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(folder, "/tmp/test_files.XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    name(conf, "conf");
    name(certificate, "certificate");
    name(key, "key");
    name(ca, "ca");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* Whether they look other than in `*before`, which is then as they look now. */
static bool differs(struct dg_files_stamp *before)
{
    struct dg_files_stamp now = dg_files_look(&policy);
    bool other = !dg_files_same(before, &now);

    *before = now;
    return other;
}

static void test_untouched_files_are_the_same(void **state)
{
    struct dg_files_stamp stamp = dg_files_look(&policy);

    (void)state;
    assert_false(differs(&stamp));
    assert_int_not_equal(stamp.identity, DG_FILES_UNKNOWN);
}

static void test_every_file_counts(void **state)
{
    static const char *const paths[] = {conf, certificate, key, ca};
    struct dg_files_stamp stamp = dg_files_look(&policy);

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        write_file(paths[i], "longer than it was before");
        if (!differs(&stamp)) {
            fail_msg("%s was written, and nothing is seen of it", paths[i]);
        }
    }
}

static void test_a_mode_counts(void **state)
{
    struct dg_files_stamp stamp = dg_files_look(&policy);

    (void)state;
    usleep(20000); /* the file system's clock must have gone on */
    assert_int_equal(chmod(key, 0400), 0);
    assert_true(differs(&stamp));
}

static void test_a_time_put_back_is_seen(void **state)
{
    const struct timespec then[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct dg_files_stamp stamp = dg_files_look(&policy);

    (void)state;
    assert_int_equal(utimensat(AT_FDCWD, ca, then, 0), 0);
    assert_true(differs(&stamp));
}

static void test_a_missing_file_has_changed_and_so_has_its_return(void **state)
{
    struct dg_files_stamp stamp = dg_files_look(&policy);
    char aside[PATH_SIZE + sizeof ".aside"];

    (void)state;
    (void)snprintf(aside, sizeof aside, "%s.aside", ca);
    assert_int_equal(rename(ca, aside), 0);
    assert_true(differs(&stamp));
    assert_false(differs(&stamp));
    assert_int_equal(rename(aside, ca), 0);
    assert_true(differs(&stamp));
}

static void test_a_link_that_is_led_elsewhere_counts(void **state)
{
    char old[PATH_SIZE], new[PATH_SIZE], link[PATH_SIZE];
    struct dg_files_stamp stamp;

    (void)state;
    name(old, "old");
    name(new, "new");
    (void)snprintf(link, sizeof link, "%s/..data", folder);
    assert_int_equal(unlink(certificate), 0);
    assert_int_equal(symlink(old, certificate), 0);
    stamp = dg_files_look(&policy);
    assert_int_equal(symlink(new, link), 0);
    assert_int_equal(rename(link, certificate), 0);
    assert_true(differs(&stamp));
}

static void test_where_nothing_is_guarded_certificates_do_not_count(void **state)
{
    struct dg_policy off = policy;
    struct dg_files_stamp before;
    struct dg_files_stamp now;

    (void)state;
    off.mode = DG_MODE_OFF;
    before = dg_files_look(&off);
    write_file(key, "something else altogether");
    now = dg_files_look(&off);
    assert_true(dg_files_same(&before, &now));
}

static void test_a_fresh_change_is_told_from_an_old_one(void **state)
{
    struct dg_files_stamp stamp = dg_files_look(&policy);
    struct timespec now;

    (void)state;
    usleep(30000);
    clock_gettime(CLOCK_REALTIME, &now);
    assert_false(dg_files_changed_since(&stamp, &now));
    write_file(ca, "new");
    stamp = dg_files_look(&policy);
    assert_true(dg_files_changed_since(&stamp, &now));
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += 1;
    assert_false(dg_files_changed_since(&stamp, &now));
    now.tv_sec -= 10;
    assert_true(dg_files_changed_since(&stamp, &now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_untouched_files_are_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_file_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_mode_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_time_put_back_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_file_has_changed_and_so_has_its_return,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_that_is_led_elsewhere_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_where_nothing_is_guarded_certificates_do_not_count,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fresh_change_is_told_from_an_old_one, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
