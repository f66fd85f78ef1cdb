/* distguard scan: what a stranger sees of EPMD and distribution. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/scan/report.h"
#include "shim/core/socket/placement.h"
#include "shim/core/tls/credentials.h"

#define TIMEOUT_DEFAULT 5.0
#define TIMEOUT_LEAST 0.1
#define TIMEOUT_MOST 60.0
#define RATE_DEFAULT 50
#define RATE_MOST 1000

enum { OPEN = 1, UNCLEAR = 2 };

struct request {
    bool json;
    const char *ports;
    const char *timeout;
    const char *rate;
};

/* --- progress: a line on the terminal, from the second second on --- */

static time_t progress_shown;

static void show_progress(size_t done, size_t left)
{
    time_t seconds = time(NULL);

    if (progress_shown == 0)
        progress_shown = seconds;
    if (seconds <= progress_shown)
        return;
    progress_shown = seconds;
    (void)fprintf(stderr, "\r\033[Kscanning: %zu connections done, %zu to go", done, left);
    (void)fflush(stderr);
}

static void end_progress(void)
{
    if (progress_shown != 0)
        (void)fputs("\r\033[K", stderr);
}

/* --- the verdict --- */

static bool any(const struct dg_scan *scan, bool (*test)(const struct dg_scan_port *port))
{
    for (size_t i = 0; i < scan->count; i++) {
        const struct dg_scan_host *host = &scan->hosts[i];

        if (test(&host->epmd))
            return true;
        for (size_t j = 0; j < host->count; j++)
            if (test(&host->ports[j]))
                return true;
    }
    return false;
}

static int judge(const struct dg_scan *scan, bool complete)
{
    if (any(scan, dg_scan_port_open))
        return OPEN;
    return complete && !any(scan, dg_scan_port_unclear) ? DG_EXIT_OK : UNCLEAR;
}

static bool is_own(const char *address)
{
    struct dg_network network;
    const char *problem;

    if (!dg_network_parse(address, &network, &problem))
        return false;
    return strncmp(address, "127.", 4) == 0 || dg_place_is_own(&network.host);
}

/* Its own programs may speak plaintext to a guarded host: nothing a stranger could do. */
static void warn_of_own(const struct dg_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++) {
        if (is_own(scan->hosts[i].address)) {
            dg_complain("%s is this very host, whose own users the policy may let in (local): scan "
                        "from another to see what strangers see",
                        scan->hosts[i].address);
            return;
        }
    }
}

static int report(const struct dg_scan *scan, bool json)
{
    if (!json) {
        dg_scan_print_table(scan);
        return 0;
    }
    if (dg_scan_print_json(scan) == 0)
        return 0;
    dg_complain("out of memory");
    return -1;
}

static int look(struct dg_scan *scan, bool json)
{
    bool progress = isatty(STDERR_FILENO) == 1;
    struct dg_error error;
    bool complete;

    warn_of_own(scan);
    complete = dg_scan_run(scan, progress ? show_progress : NULL, &error) == 0;
    end_progress();
    if (!complete)
        dg_complain("%s", error.text);
    if (report(scan, json) != 0)
        return UNCLEAR;
    return judge(scan, complete);
}

/* Hosts that have no address are said, and the others looked at. */
static int scan_all(struct dg_scan *scan, const struct request *request, char **hosts)
{
    struct dg_error error;
    bool complete = true;
    int status;

    if (dg_tls_start(&error) != 0) {
        dg_complain("%s", error.text);
        return UNCLEAR;
    }
    for (; *hosts != NULL; hosts++) {
        if (dg_scan_add(scan, *hosts, &error) != 0) {
            dg_complain("%s", error.text);
            complete = false;
        }
    }
    if (request->ports != NULL && dg_scan_add_ports(scan, request->ports, &error) != 0) {
        dg_complain("%s", error.text);
        return UNCLEAR;
    }
    status = look(scan, request->json || !dg_print_for_people());
    return status == DG_EXIT_OK && !complete ? UNCLEAR : status;
}

static bool read_number(const char *text, double least, double most, double *number)
{
    char *end;

    if (text == NULL)
        return true;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*number) && *number >= least && *number <= most;
}

static int scan(const struct dg_command *command, const struct request *request, char **hosts)
{
    struct dg_scan scan = {.count = 0};
    double timeout = TIMEOUT_DEFAULT;
    double rate = RATE_DEFAULT;
    int status;

    if (!read_number(request->timeout, TIMEOUT_LEAST, TIMEOUT_MOST, &timeout))
        return dg_usage_error(command, "--timeout %s: seconds, from %g to %g", request->timeout,
                              TIMEOUT_LEAST, TIMEOUT_MOST);
    if (!read_number(request->rate, 1, RATE_MOST, &rate))
        return dg_usage_error(command, "--rate %s: connections a second, from 1 to %d",
                              request->rate, RATE_MOST);
    scan.timeout = timeout;
    scan.rate = (unsigned)rate;
    status = scan_all(&scan, request, hosts);
    dg_scan_free(&scan);
    return status;
}

int dg_command_scan(const struct dg_command *command, int argc, char **argv)
{
    enum { JSON = 1, PORTS, TIMEOUT, RATE };
    static const struct option options[] = {
        {"json", no_argument, NULL, JSON},
        {"ports", required_argument, NULL, PORTS},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"rate", required_argument, NULL, RATE},
        DG_OPTION_HELP,
        {0},
    };
    struct request request = {.json = false};
    const char **const values[] = {
        [PORTS] = &request.ports, [TIMEOUT] = &request.timeout, [RATE] = &request.rate};
    int option;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options)) != -1) {
        if (option == JSON)
            request.json = true;
        else
            *values[option] = optarg;
    }
    if (optind == argc)
        return dg_usage_error(command, "say which HOST to look at");
    return scan(command, &request, argv + optind);
}
