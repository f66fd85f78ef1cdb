#include "shim/core/program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/core/wire/epmd.h"

/* Longer command lines exist, but no release puts its EPMD port behind so much. */
enum { COMMAND_LINE_MAX = 256 * 1024 };

static uint16_t parse_port(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    return end != text && *end == '\0' && number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

/* The value behind the last `-epmd_port`; 0 where there is none. */
static uint16_t find_port(const char *arguments, size_t size)
{
    static const char flag[] = "-epmd_port";
    uint16_t port = 0;
    bool next_is_port = false;

    for (const char *at = arguments; at < arguments + size; at += strlen(at) + 1) {
        if (next_is_port) {
            port = parse_port(at);
        }
        next_is_port = strcmp(at, flag) == 0;
    }
    return port;
}

static uint16_t port_of_command_line(void)
{
    char *arguments = malloc(COMMAND_LINE_MAX + 1);
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    uint16_t port = 0;
    size_t size = 0;
    ssize_t count;

    while (arguments != NULL && fd >= 0 && size < COMMAND_LINE_MAX &&
           (count = read(fd, arguments + size, COMMAND_LINE_MAX - size)) > 0) {
        size += (size_t)count;
    }
    if (size > 0) {
        arguments[size] = '\0';
        port = find_port(arguments, size);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(arguments);
    return port;
}

struct dg_program dg_program_read(const char *name)
{
    const char *environment = getenv("ERL_EPMD_PORT");
    struct dg_program program = {.kind = DG_PROGRAM_NODE};

    if (strcmp(name, "epmd") == 0) {
        program.kind = DG_PROGRAM_EPMD;
    }
    program.epmd_port = port_of_command_line();
    if (program.epmd_port == 0 && environment != NULL) {
        program.epmd_port = parse_port(environment);
    }
    if (program.epmd_port == 0) {
        program.epmd_port = DG_EPMD_PORT;
    }
    return program;
}
