/* The hosts of a scan, as they are written on a command line. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scan/scan.h"
#include "shim/core/wire/epmd.h"

#define ADDRESSES_MAX 16 /* of one name */

struct asked {
    char host[256];
    uint16_t port;
};

static bool parse_number(const char *text, size_t size, uint16_t *port)
{
    unsigned value = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || '9' < text[i] || value > UINT16_MAX)
            return false;
        value = 10 * value + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return size > 0 && value > 0 && value <= UINT16_MAX;
}

/* A colon without brackets is one of an IPv6 address, unless it is the only one. */
static bool parse(const char *text, struct asked *asked)
{
    const char *start = text[0] == '[' ? text + 1 : text;
    const char *end = start == text ? strchr(text, ':') : strchr(text, ']');
    const char *port;

    if (start != text && (end == NULL || (end[1] != ':' && end[1] != '\0')))
        return false;
    if (end == NULL || (start == text && strchr(end + 1, ':') != NULL))
        end = start + strlen(start);
    port = *end == ']' ? end + 1 : end;
    asked->port = DG_EPMD_PORT;
    if (*port == ':' && !parse_number(port + 1, strlen(port + 1), &asked->port))
        return false;
    return end > start && snprintf(asked->host, sizeof asked->host, "%.*s", (int)(end - start),
                                   start) < (int)sizeof asked->host;
}

static struct dg_scan_host *new_host(struct dg_scan *scan)
{
    struct dg_scan_host *hosts = reallocarray(scan->hosts, scan->count + 1, sizeof *hosts);

    if (hosts == NULL)
        return NULL;
    scan->hosts = hosts;
    hosts[scan->count] = (struct dg_scan_host){.count = 0};
    hosts[scan->count].ports = calloc(DG_SCAN_PORTS_MAX, sizeof *hosts->ports);
    return hosts[scan->count].ports != NULL ? &hosts[scan->count++] : NULL;
}

static bool add_address(struct dg_scan *scan, const char *text, const struct asked *asked,
                        const struct addrinfo *found)
{
    struct dg_scan_host *host = new_host(scan);
    struct in6_addr address;

    if (host == NULL)
        return false;
    host->asked = text;
    host->epmd.port = asked->port;
    memcpy(&host->socket_address, found->ai_addr, found->ai_addrlen);
    host->socket_address_size = found->ai_addrlen;
    (void)getnameinfo(found->ai_addr, found->ai_addrlen, host->address, sizeof host->address, NULL,
                      0, NI_NUMERICHOST);
    if (inet_pton(AF_INET, asked->host, &address) != 1 && strcmp(asked->host, host->address) != 0 &&
        strchr(asked->host, ':') == NULL)
        (void)snprintf(host->server, sizeof host->server, "%s", asked->host);
    return true;
}

int dg_scan_add(struct dg_scan *scan, const char *asked, struct dg_error *error)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    struct asked parsed;
    size_t count = 0;
    int problem;

    if (!parse(asked, &parsed))
        return dg_fail(
            error, "\"%s\" is no host: write HOST, HOST:PORT, or [ADDRESS]:PORT for IPv6", asked);
    problem = getaddrinfo(parsed.host, NULL, &hints, &found);
    /* A literal of a family that this host has no address of is still what was asked for. */
    if (problem != 0)
        problem = getaddrinfo(
            parsed.host, NULL,
            &(struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, &found);
    if (problem != 0)
        return dg_fail(error, "%s: no address: %s; is the name right, and does DNS work here?",
                       parsed.host, gai_strerror(problem));
    for (struct addrinfo *one = found; one != NULL && count < ADDRESSES_MAX; one = one->ai_next) {
        if (!add_address(scan, asked, &parsed, one)) {
            freeaddrinfo(found);
            return dg_fail(error, "out of memory");
        }
        count++;
    }
    freeaddrinfo(found);
    return 0;
}

static int add_range(struct dg_scan *scan, const char *range, size_t size, struct dg_error *error)
{
    const char *dash = memchr(range, '-', size);
    size_t first_size = dash != NULL ? (size_t)(dash - range) : size;
    uint16_t first, last;

    if (!parse_number(range, first_size, &first) ||
        !(dash == NULL ? parse_number(range, size, &last)
                       : parse_number(dash + 1, size - first_size - 1, &last)) ||
        last < first || last - first >= DG_SCAN_PORTS_MAX)
        return dg_fail(error,
                       "--ports: \"%.*s\" is neither a port nor a range of at most %d ports, as "
                       "9100-9110",
                       (int)size, range, DG_SCAN_PORTS_MAX);
    for (size_t i = 0; i < scan->count; i++) {
        for (unsigned port = first; port <= last; port++)
            (void)dg_scan_host_port(&scan->hosts[i], (uint16_t)port);
    }
    return 0;
}

int dg_scan_add_ports(struct dg_scan *scan, const char *list, struct dg_error *error)
{
    for (;;) {
        size_t size = strcspn(list, ",");

        if (add_range(scan, list, size, error) != 0)
            return -1;
        if (list[size] == '\0')
            return 0;
        list += size + 1;
    }
}
