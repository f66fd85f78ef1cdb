/* NAMES_RESP, as EPMD sends it and as strangers might. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/core/wire/epmd.h"
#include "shim/core/wire/epmd_names.h"

/* A copy of exactly this size, so that the sanitizers see a read beyond it. */
static enum dg_parse parse(const void *bytes, size_t size, char *name, uint16_t *port, size_t *used)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    struct dg_epmd_name found = {.size = 0};
    enum dg_parse parsed;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    parsed = dg_epmd_parse_names_line(copy, size, &found, used);
    if (parsed == DG_PARSE_DONE) {
        (void)sprintf(name, "%.*s", (int)found.size, (const char *)found.name);
        *port = found.port;
    }
    free(copy);
    return parsed;
}

static void assert_line(const char *line, const char *wanted_name, uint16_t wanted_port)
{
    char name[DG_EPMD_NAME_MAX + 1] = "";
    uint16_t port = 0;
    size_t used = 0;

    for (size_t part = 0; part < strlen(line); part++) {
        assert_int_equal(parse(line, part, name, &port, &used), DG_PARSE_MORE);
    }
    assert_int_equal(parse(line, strlen(line), name, &port, &used), DG_PARSE_DONE);
    assert_string_equal(name, wanted_name);
    assert_int_equal(port, wanted_port);
    assert_int_equal(used, strlen(line));
}

static void assert_no_line(const char *line)
{
    char name[DG_EPMD_NAME_MAX + 1];
    uint16_t port;
    size_t used;
    enum dg_parse parsed = parse(line, strlen(line), name, &port, &used);

    if (parsed != DG_PARSE_OTHER) {
        fail_msg("\"%.40s\": %d, wanted DG_PARSE_OTHER", line, parsed);
    }
}

static void test_a_line_has_a_name_and_a_port(void **state)
{
    (void)state;
    assert_line("name a at port 1\n", "a", 1);
    assert_line("name rabbit at port 25672\n", "rabbit", 25672);
    assert_line("name n at port 65535\n", "n", 65535);
}

static void test_a_name_may_look_like_the_rest_of_the_line(void **state)
{
    (void)state;
    assert_line("name a b at port 4\n", "a b", 4);
    assert_line("name x at port 80 at port 4\n", "x at port 80", 4);
    assert_line("name \x1b[2J at port 4\n", "\x1b[2J", 4);
}

static void test_other_lines_are_none(void **state)
{
    (void)state;
    assert_no_line("\n");
    assert_no_line("name \n");
    assert_no_line("name  at port 1\n");
    assert_no_line("name at port 1\n");
    assert_no_line("name a at port \n");
    assert_no_line("name a at port 0\n");
    assert_no_line("name a at port 65536\n");
    assert_no_line("name a at port 000001\n");
    assert_no_line("name a at port 12x\n");
    assert_no_line("name a at port -1\n");
    assert_no_line("Name a at port 1\n");
    assert_no_line("HTTP/1.1 400 Bad Request\r\n");
}

static void test_only_the_first_line_is_taken(void **state)
{
    static const char lines[] = "name a at port 1\nname b at port 2\n";
    char name[DG_EPMD_NAME_MAX + 1];
    uint16_t port;
    size_t used;

    (void)state;
    assert_int_equal(parse(lines, strlen(lines), name, &port, &used), DG_PARSE_DONE);
    assert_string_equal(name, "a");
    assert_int_equal(used, strlen("name a at port 1\n"));
}

/* A name of epmd's own limit is one; a line without an end is given up. */
static void test_a_line_has_a_limit(void **state)
{
    char name[DG_EPMD_NAME_MAX + 2];
    char line[2 * DG_EPMD_NAME_MAX];

    (void)state;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(line, sizeof line, "name %s at port 65535\n", name);
    assert_no_line(line);
    name[DG_EPMD_NAME_MAX] = '\0';
    (void)snprintf(line, sizeof line, "name %s at port 65535\n", name);
    assert_line(line, name, 65535);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_no_line(line);
}

static void assert_head(const char *bytes, size_t size, enum dg_parse wanted, uint16_t wanted_port)
{
    uint16_t port = 0;

    assert_int_equal(dg_epmd_parse_names_head((const uint8_t *)bytes, size, &port), wanted);
    if (wanted == DG_PARSE_DONE)
        assert_int_equal(port, wanted_port);
}

static void test_the_head_is_a_port(void **state)
{
    (void)state;
    for (size_t size = 0; size < DG_EPMD_NAMES_HEAD; size++)
        assert_head("\0\0\x11\x11", size, DG_PARSE_MORE, 0);
    assert_head("\0\0\x11\x11", 4, DG_PARSE_DONE, 4369);
    assert_head("\0\0\x11\x11name", 8, DG_PARSE_DONE, 4369);
    assert_head("\0\0\0\0", 4, DG_PARSE_OTHER, 0);
    assert_head("\0\1\0\0", 4, DG_PARSE_OTHER, 0);
    assert_head("HTTP", 4, DG_PARSE_OTHER, 0);
    assert_head("H", 1, DG_PARSE_OTHER, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_a_name_and_a_port),
        cmocka_unit_test(test_a_name_may_look_like_the_rest_of_the_line),
        cmocka_unit_test(test_other_lines_are_none),
        cmocka_unit_test(test_only_the_first_line_is_taken),
        cmocka_unit_test(test_a_line_has_a_limit),
        cmocka_unit_test(test_the_head_is_a_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
