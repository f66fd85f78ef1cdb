#include "cli/scan/scan.h"

#include <stdlib.h>

struct dg_scan_port *dg_scan_host_port(struct dg_scan_host *host, uint16_t port)
{
    for (size_t i = 0; i < host->count; i++) {
        if (host->ports[i].port == port)
            return NULL;
    }
    if (host->count == DG_SCAN_PORTS_MAX) {
        host->cut = true;
        return NULL;
    }
    host->ports[host->count] = (struct dg_scan_port){.port = port};
    return &host->ports[host->count++];
}

void dg_scan_free(struct dg_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        free(scan->hosts[i].ports);
    free(scan->hosts);
}

bool dg_scan_port_open(const struct dg_scan_port *port)
{
    return port->seen == DG_SEEN_PLAINTEXT || port->seen == DG_SEEN_BOTH ||
           port->stranger == DG_STRANGER_ADMITTED;
}

bool dg_scan_port_unclear(const struct dg_scan_port *port)
{
    switch (port->seen) {
    case DG_SEEN_NOTHING:
    case DG_SEEN_SILENT:
    case DG_SEEN_OTHER:
    case DG_SEEN_UNREACHABLE:
        return true;
    case DG_SEEN_TLS:
        return port->stranger == DG_STRANGER_UNKNOWN;
    case DG_SEEN_PLAINTEXT:
    case DG_SEEN_BOTH:
    case DG_SEEN_HANGS_UP:
    case DG_SEEN_CLOSED:
    case DG_SEEN_FILTERED:
    default:
        return false;
    }
}
