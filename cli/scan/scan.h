/* What a scan is to look at, and what it has seen there. */
#ifndef DISTGUARD_CLI_SCAN_SCAN_H
#define DISTGUARD_CLI_SCAN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "cli/tls/probe.h"
#include "policy/error.h"

/* The most of a host's nodes that are looked at, and of what its EPMD says that is read. */
enum { DG_SCAN_PORTS_MAX = 256, DG_SCAN_NAMES_BYTES = 256 * 1024, DG_SCAN_NAME_SIZE = 256 };

/* How a port looks to a stranger. */
enum dg_seen {
    DG_SEEN_NOTHING,     /* not looked at, for want of time or memory */
    DG_SEEN_PLAINTEXT,   /* it takes what it is for without TLS: EPMD tells names, a node listens */
    DG_SEEN_BOTH,        /* it takes TLS, and plaintext as well */
    DG_SEEN_TLS,         /* TLS alone */
    DG_SEEN_HANGS_UP,    /* takes connections and ends them at once: addresses are filtered */
    DG_SEEN_CLOSED,      /* nobody listens */
    DG_SEEN_FILTERED,    /* no answer at all */
    DG_SEEN_SILENT,      /* takes connections, says nothing and does not end them */
    DG_SEEN_OTHER,       /* neither EPMD, distribution nor TLS */
    DG_SEEN_UNREACHABLE, /* the network says no; see `error` */
};

/* What becomes of someone who has no certificate, where the port speaks TLS. */
enum dg_stranger {
    DG_STRANGER_UNKNOWN,
    DG_STRANGER_REFUSED,
    DG_STRANGER_ADMITTED,
};

struct dg_scan_port {
    char name[DG_SCAN_NAME_SIZE]; /* as EPMD told it, escaped; empty where it did not */
    uint16_t port;
    enum dg_seen seen;
    int error; /* an errno, for DG_SEEN_UNREACHABLE */
    enum dg_stranger stranger;
    struct dg_probe_findings tls; /* of TLS; foreign bytes */
};

struct dg_scan_host {
    const char *asked; /* as it was named on the command line */
    char server[256];  /* the name in it, for TLS; empty where it is an address */
    char address[64];  /* numeric */
    struct sockaddr_storage socket_address;
    socklen_t socket_address_size;
    struct dg_scan_port epmd;
    struct dg_scan_port
        *ports; /* DG_SCAN_PORTS_MAX of them: what EPMD told, and what was asked for */
    size_t count;
    bool cut; /* it told more than we look at */
};

struct dg_scan {
    struct dg_scan_host *hosts;
    size_t count;
    double timeout; /* seconds for a connection to be there, and again for its talk */
    unsigned rate;  /* connections a second */
};

/* Resolves "HOST", "HOST:PORT" or "[ADDRESS]:PORT" and adds each of its addresses. `asked` must
 * outlive the scan. Returns 0, or -1 with the reason in `error`. */
int dg_scan_add(struct dg_scan *scan, const char *asked, struct dg_error *error);

/* Has every host looked at on the ports of the list "9100,9110-9120", too. */
int dg_scan_add_ports(struct dg_scan *scan, const char *list, struct dg_error *error);

/* Adds a port of a host, unless it is there or the host has its fill. NULL then. */
struct dg_scan_port *dg_scan_host_port(struct dg_scan_host *host, uint16_t port);

void dg_scan_free(struct dg_scan *scan);

/* Looks. `progress` (NULL: none) is called now and then with what is done and what is known to be
 * left. */
typedef void dg_scan_progress(size_t done, size_t left);
int dg_scan_run(struct dg_scan *scan, dg_scan_progress *progress, struct dg_error *error);

/* Whether a stranger gets in there. */
bool dg_scan_port_open(const struct dg_scan_port *port);
/* Whether the look has led nowhere, so that nobody knows. */
bool dg_scan_port_unclear(const struct dg_scan_port *port);

#endif
