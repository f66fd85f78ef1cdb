/* distguard pki: a small certificate authority, for demos, tests and clusters without one. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/tls/issuer.h"
#include "shim/core/tls/credentials.h"
#include "shim/core/tls/describe.h"

#define CA_DAYS 3650
#define LEAF_DAYS 90
#define DAY_SECONDS 86400

static int fail(const struct dg_error *error)
{
    dg_complain("%s", error->text);
    return DG_EXIT_FAILURE;
}

static int parse_days(const struct dg_command *command, const char *text)
{
    char *end;
    long days;

    errno = 0;
    days = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || days < 1 || days > INT_MAX)
        exit(dg_usage_error(command, "--days %s: give a number of days, as 90", text));
    return (int)days;
}

/* Absolute where it can be told: it is to be copied into shim.conf. */
static void print_made(const char *directory, const char *name, const char *what)
{
    char absolute[PATH_MAX];
    const char *path = realpath(directory, absolute) != NULL ? absolute : directory;

    if (dg_print_for_people())
        (void)printf("  %s/%s  %s\n", path, name, what);
    else
        (void)printf("%s/%s\n", path, name);
}

static int describe(const char *directory, const char *name,
                    struct dg_certificate_description *description, char date[DG_DATE_SIZE],
                    struct dg_error *error)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/%s.pem", directory, name);
    if (dg_certificate_describe(path, description, error) != 0)
        return -1;
    dg_print_date(date, description->expires);
    return 0;
}

static int init(const char *directory, int days)
{
    struct dg_certificate_description description;
    struct dg_error error;
    char date[DG_DATE_SIZE];

    if (dg_tls_start(&error) != 0 || dg_issuer_init(directory, days, &error) != 0 ||
        describe(directory, "ca", &description, date, &error) != 0)
        return fail(&error);
    if (dg_print_for_people())
        (void)printf("A certificate authority, valid until %s:\n", date);
    print_made(directory, "ca.pem", "its certificate: every host gets a copy");
    print_made(directory, "ca.key", "its key: whoever has it can admit any node; no host needs it");
    if (dg_print_for_people())
        (void)printf("Next, for each node:\n  distguard pki issue %s NAME --dns HOST\n", directory);
    return DG_EXIT_OK;
}

int dg_command_pki_init(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"days", required_argument, NULL, 'd'},
        DG_OPTION_HELP,
        {0},
    };
    int days = CA_DAYS;

    while (dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options) != -1)
        days = parse_days(command, optarg);
    if (argc - optind != 1)
        return dg_usage_error(command, argc == optind ? "DIR is missing" : "one DIR, not several");
    return init(argv[optind], days);
}

/* The file's date, where it is not the one that was asked for. */
static void tell_if_shortened(const struct dg_certificate_request *request,
                              const struct dg_certificate_description *description,
                              const char *date)
{
    time_t asked = time(NULL) + (time_t)request->days * DAY_SECONDS;

    if (description->expires < asked - DAY_SECONDS / 2)
        dg_complain("%s.pem ends on %s with its CA, not after %d days", request->name, date,
                    request->days);
}

static void print_settings(const char *directory, const char *name)
{
    char absolute[PATH_MAX];
    const char *path = realpath(directory, absolute) != NULL ? absolute : directory;

    (void)printf("In shim.conf, for the user that the node runs as:\n"
                 "  tls: {\n"
                 "    certificate = \"%s/%s.pem\";\n"
                 "    private_key = \"%s/%s.key\";\n"
                 "    ca = \"%s/ca.pem\";\n"
                 "  };\n"
                 "`distguard check` says whether that user can use them.\n",
                 path, name, path, name, path);
}

static int issue(const char *directory, const struct dg_certificate_request *request)
{
    struct dg_certificate_description description;
    struct dg_error error;
    char date[DG_DATE_SIZE];
    char file[NAME_MAX + 1];

    if (dg_tls_start(&error) != 0 || dg_issuer_issue(directory, request, &error) != 0 ||
        describe(directory, request->name, &description, date, &error) != 0)
        return fail(&error);
    if (dg_print_for_people())
        (void)printf("A certificate for %s, valid until %s:\n", description.names, date);
    (void)snprintf(file, sizeof file, "%s.pem", request->name);
    print_made(directory, file, "the certificate, and the chain to the CA");
    (void)snprintf(file, sizeof file, "%s.key", request->name);
    print_made(directory, file, "its key: for the node alone");
    if (dg_print_for_people())
        print_settings(directory, request->name);
    tell_if_shortened(request, &description, date);
    return DG_EXIT_OK;
}

/* The three lists of a request, each with room for one entry per word of the command line. */
struct lists {
    const char **dns;
    const char **ip;
    const char **uri;
};

static void read_request(const struct dg_command *command, int argc, char **argv,
                         struct dg_certificate_request *request, const struct lists *lists)
{
    static const struct option options[] = {
        {"dns", required_argument, NULL, 'n'},
        {"ip", required_argument, NULL, 'i'},
        {"uri", required_argument, NULL, 'u'},
        {"days", required_argument, NULL, 'd'},
        DG_OPTION_HELP,
        {0},
    };
    int option;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options)) != -1) {
        if (option == 'n')
            lists->dns[request->dns_count++] = optarg;
        else if (option == 'i')
            lists->ip[request->ip_count++] = optarg;
        else if (option == 'u')
            lists->uri[request->uri_count++] = optarg;
        else
            request->days = parse_days(command, optarg);
    }
}

int dg_command_pki_issue(const struct dg_command *command, int argc, char **argv)
{
    size_t words = (size_t)argc;
    const char **names = calloc(3 * words, sizeof *names);
    struct dg_certificate_request request = {.days = LEAF_DAYS};
    struct lists lists;
    int status;

    if (names == NULL) {
        dg_complain("out of memory");
        return DG_EXIT_FAILURE;
    }
    lists = (struct lists){names, names + words, names + 2 * words};
    request.dns = lists.dns;
    request.ip = lists.ip;
    request.uri = lists.uri;
    read_request(command, argc, argv, &request, &lists);
    if (argc - optind == 2) {
        request.name = argv[optind + 1];
        status = issue(argv[optind], &request);
    } else {
        status = dg_usage_error(command, argc - optind < 2 ? "DIR and NAME are both needed"
                                                           : "one DIR and one NAME, not more");
    }
    free(names);
    return status;
}
