#include "cli/explain/endpoint.h"

#include <stddef.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *port)
{
    unsigned value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || '9' < *text)
            return false;
        value = 10 * value + (unsigned)(*text - '0');
        if (value > UINT16_MAX)
            return false;
    }
    *port = (uint16_t)value;
    return true;
}

static bool parse_host(const char *text, size_t size, struct dg_host *host)
{
    char address[DG_NETWORK_TEXT];
    struct dg_network network;
    const char *problem;

    if (size >= sizeof address)
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (strchr(address, '/') != NULL || !dg_network_parse(address, &network, &problem))
        return false;
    *host = network.host;
    return true;
}

/* Where the address ends; `port` is where the port begins, or NULL. A colon without brackets is one
 * of an IPv6 address, unless it is the only one. */
static size_t split(const char *text, const char **port)
{
    const char *colon = strchr(text, ':');

    *port = NULL;
    if (colon == NULL || strchr(colon + 1, ':') != NULL)
        return strlen(text);
    *port = colon + 1;
    return (size_t)(colon - text);
}

bool dg_endpoint_parse(const char *text, struct dg_endpoint *endpoint)
{
    const char *port, *end;
    size_t size;

    memset(endpoint, 0, sizeof *endpoint);
    if (text[0] == '[') {
        end = strchr(++text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        size = (size_t)(end - text);
        port = end[1] == ':' ? end + 2 : NULL;
        if (memchr(text, ':', size) == NULL)
            return false;
    } else {
        size = split(text, &port);
    }
    endpoint->has_port = port != NULL;
    return parse_host(text, size, &endpoint->host) &&
           (port == NULL || parse_port(port, &endpoint->port));
}
