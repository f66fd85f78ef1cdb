/* For programs. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/scan/report.h"
#include "cli/scan/text.h"

#define FORMAT 1 /* raised where something changes its meaning or goes away */

static const char *seen_word(enum dg_seen seen)
{
    static const char *const words[] = {
        [DG_SEEN_NOTHING] = "unknown",   [DG_SEEN_PLAINTEXT] = "plaintext",
        [DG_SEEN_BOTH] = "both",         [DG_SEEN_TLS] = "tls",
        [DG_SEEN_HANGS_UP] = "hangs-up", [DG_SEEN_CLOSED] = "closed",
        [DG_SEEN_FILTERED] = "filtered", [DG_SEEN_SILENT] = "silent",
        [DG_SEEN_OTHER] = "other",       [DG_SEEN_UNREACHABLE] = "unreachable",
    };

    return words[seen];
}

/* jansson takes valid UTF-8 alone: what strangers say is escaped. */
static json_t *foreign(const char *text)
{
    char escaped[4 * sizeof((struct dg_probe_findings *)NULL)->certificate];

    if (text[0] == '\0')
        return json_null();
    dg_scan_escape(escaped, sizeof escaped, (const uint8_t *)text, strlen(text));
    return json_string(escaped);
}

static json_t *tls_object(const struct dg_scan_port *port)
{
    static const char *const strangers[] = {
        [DG_STRANGER_UNKNOWN] = "unknown",
        [DG_STRANGER_REFUSED] = "refused",
        [DG_STRANGER_ADMITTED] = "admitted",
    };
    const struct dg_probe_findings *tls = &port->tls;
    char date[DG_DATE_SIZE];

    if (port->seen != DG_SEEN_TLS && port->seen != DG_SEEN_BOTH)
        return json_null();
    dg_print_date(date, tls->expires);
    return json_pack("{s:o, s:o, s:o, s:s?, s:s, s:o}", "version", foreign(tls->version), "cipher",
                     foreign(tls->cipher), "certificate", foreign(tls->certificate), "expires",
                     tls->certificate[0] != '\0' ? date : NULL, "stranger",
                     strangers[port->stranger], "alert", foreign(tls->refusal));
}

static json_t *port_object(const struct dg_scan_port *port)
{
    const char *error = port->seen == DG_SEEN_UNREACHABLE ? strerror(port->error) : NULL;

    return json_pack("{s:s?, s:i, s:s, s:b, s:s?, s:o}", "name",
                     port->name[0] != '\0' ? port->name : NULL, "port", port->port, "seen",
                     seen_word(port->seen), "open", dg_scan_port_open(port), "error", error, "tls",
                     tls_object(port));
}

static json_t *host_object(const struct dg_scan_host *host)
{
    json_t *ports = json_array();

    for (size_t i = 0; i < host->count; i++)
        (void)json_array_append_new(ports, port_object(&host->ports[i]));
    return json_pack("{s:o, s:s, s:o, s:o, s:b}", "host", foreign(host->asked), "address",
                     host->address, "epmd", port_object(&host->epmd), "distribution", ports, "cut",
                     host->cut);
}

int dg_scan_print_json(const struct dg_scan *scan)
{
    json_t *hosts = json_array();
    json_t *all;
    int result;

    for (size_t i = 0; i < scan->count; i++)
        (void)json_array_append_new(hosts, host_object(&scan->hosts[i]));
    all = json_pack("{s:i, s:o}", "format", FORMAT, "hosts", hosts);
    if (all == NULL)
        return -1;
    result = json_dumpf(all, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(all);
    return result;
}
