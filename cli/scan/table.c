/* For people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/scan/report.h"
#include "cli/scan/text.h"
#include "cli/wording.h"

#define SHOWN_SIZE 512

static const char *verdict(const struct dg_scan_port *port)
{
    static const char *const words[] = {
        [DG_SEEN_NOTHING] = "not looked at",
        [DG_SEEN_PLAINTEXT] = "OPEN: plaintext",
        [DG_SEEN_BOTH] = "OPEN: TLS, and plaintext too",
        [DG_SEEN_TLS] = "guarded: TLS",
        [DG_SEEN_HANGS_UP] = "hangs up on us",
        [DG_SEEN_CLOSED] = "closed",
        [DG_SEEN_FILTERED] = "filtered, or no such host",
        [DG_SEEN_SILENT] = "unclear: takes connections, says nothing",
        [DG_SEEN_OTHER] = "unclear: something else listens there",
    };

    if (port->seen == DG_SEEN_UNREACHABLE)
        return strerror(port->error);
    if (port->stranger == DG_STRANGER_ADMITTED)
        return "OPEN: TLS, but for anybody";
    return words[port->seen];
}

/* "TLSv1.3, DNS:a.example.org, until 2027-02-20T14:00:00Z" */
static char *word_tls(const struct dg_probe_findings *tls)
{
    char names[SHOWN_SIZE];
    char date[DG_DATE_SIZE];

    if (tls->version[0] == '\0')
        return dg_word("%s", "");
    if (tls->certificate[0] == '\0')
        return dg_word("%s, shows no certificate", tls->version);
    dg_scan_escape(names, sizeof names, (const uint8_t *)tls->certificate,
                   strlen(tls->certificate));
    dg_print_date(date, tls->expires);
    return dg_word("%s, %s, until %s", tls->version, names, date);
}

static void print_port(const char *what, const struct dg_scan_port *port)
{
    char *tls = word_tls(&port->tls);

    (void)printf("  %5u  %-24s  %s%s%s\n", port->port, what, verdict(port),
                 tls[0] != '\0' ? "; " : "", tls);
    free(tls);
}

static void print_host(const struct dg_scan_host *host)
{
    (void)printf("%s%s%s\n", host->server, host->server[0] != '\0' ? "  " : "", host->address);
    print_port("EPMD", &host->epmd);
    for (size_t i = 0; i < host->count; i++) {
        const struct dg_scan_port *port = &host->ports[i];
        char *what = dg_word(port->name[0] != '\0' ? "node %s" : "%s", port->name);

        print_port(what, port);
        free(what);
    }
    if (host->cut)
        (void)printf("         EPMD told more than this, or broke off\n");
}

void dg_scan_print_table(const struct dg_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        print_host(&scan->hosts[i]);
}
