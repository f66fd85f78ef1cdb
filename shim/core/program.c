#include "shim/core/program.h"

#include <errno.h>
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

/* The command line: arguments one after the other, each with its terminator. */
struct arguments {
    char *text;
    size_t size;
};

/* What is behind the last `flag`; NULL where there is none. */
static const char *behind(const struct arguments *arguments, const char *flag)
{
    const char *end = arguments->text + arguments->size;
    const char *found = NULL;
    bool next = false;

    for (const char *at = arguments->text; at < end; at += strlen(at) + 1) {
        if (next) {
            found = at;
        }
        next = strcmp(at, flag) == 0;
    }
    return found;
}

static uint16_t port_behind(const struct arguments *arguments, const char *flag)
{
    const char *port = behind(arguments, flag);

    return port != NULL ? parse_port(port) : 0;
}

static bool is_native_tls(const struct arguments *arguments)
{
    const char *protocol = behind(arguments, "-proto_dist");

    return protocol != NULL &&
           (strcmp(protocol, "inet_tls") == 0 || strcmp(protocol, "inet6_tls") == 0);
}

/* All of a file, as far as there is room. Returns 0, or an errno. */
static int read_all(int fd, struct arguments *arguments)
{
    ssize_t count = 1;

    while (count > 0 && arguments->size < COMMAND_LINE_MAX) {
        count = read(fd, arguments->text + arguments->size, COMMAND_LINE_MAX - arguments->size);
        if (count < 0 && errno == EINTR) {
            count = 1;
        } else if (count < 0) {
            return errno;
        } else {
            arguments->size += (size_t)count;
        }
    }
    arguments->text[arguments->size] = '\0';
    return 0;
}

/* Returns 0 with memory that the caller frees, or -1 with `error`. */
static int read_arguments(struct arguments *arguments, struct dg_error *error)
{
    static const char path[] = "/proc/self/cmdline";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? errno : 0;

    *arguments = (struct arguments){.text = malloc(COMMAND_LINE_MAX + 1)};
    if (result == 0) {
        result = arguments->text == NULL ? ENOMEM : read_all(fd, arguments);
        close(fd);
    }
    if (result != 0) {
        free(arguments->text);
        (void)dg_fail(error, "%s cannot be read: %s; it says which ports are distribution's", path,
                      strerror(result));
        return -1;
    }
    return 0;
}

static void find_listen_ports(struct dg_program *program, const struct arguments *arguments)
{
    static const char *const single[] = {"-erl_epmd_port", "erl_epmd_node_listen_port"};

    for (int i = 0; i < 2; i++) {
        uint16_t port = port_behind(arguments, single[i]);

        if (port != 0) {
            program->listen_first = program->listen_last = port;
            return;
        }
    }
    program->listen_first = port_behind(arguments, "inet_dist_listen_min");
    program->listen_last = port_behind(arguments, "inet_dist_listen_max");
    if (program->listen_last == 0) {
        program->listen_last = program->listen_first;
    }
}

bool dg_program_listens_at(const struct dg_program *program, uint16_t port)
{
    return program->listen_first != 0 && port >= program->listen_first &&
           port <= program->listen_last;
}

static uint16_t find_epmd_port(const struct arguments *arguments)
{
    const char *environment = getenv("ERL_EPMD_PORT");
    uint16_t port = port_behind(arguments, "-epmd_port");

    if (port == 0 && environment != NULL) {
        port = parse_port(environment);
    }
    return port != 0 ? port : DG_EPMD_PORT;
}

int dg_program_read(const char *name, struct dg_program *program, struct dg_error *error)
{
    struct arguments arguments;

    *program = (struct dg_program){.kind = DG_PROGRAM_C_NODE};
    if (strcmp(name, "epmd") == 0) {
        program->kind = DG_PROGRAM_EPMD;
    } else if (strncmp(name, "beam", 4) == 0) {
        program->kind = DG_PROGRAM_VM;
    }
    if (read_arguments(&arguments, error) != 0) {
        return -1;
    }
    program->epmd_port = find_epmd_port(&arguments);
    program->native_tls = is_native_tls(&arguments);
    find_listen_ports(program, &arguments);
    free(arguments.text);
    return 0;
}
