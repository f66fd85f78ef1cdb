#include "cli/tls/san.h"

#include <arpa/inet.h>
#include <string.h>

#include "policy/ascii.h"
#include "policy/hostname.h"

#define URI_MAX 2048      /* the SPIFFE ID specification's limit */
#define FILE_NAME_MAX 200 /* with ".pem" well below NAME_MAX */
#define DAYS_MAX 36500

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

int dg_san_check_dns(const char *name, struct dg_error *error)
{
    struct dg_san_address address;
    struct dg_error ignored;

    if (dg_san_parse_ip(name, &address, &ignored) == 0)
        return dg_fail(error, "DNS name \"%s\" is an IP address: give it with --ip", name);
    if (strlen(name) > DG_HOSTNAME_MAX)
        return dg_fail(error, "DNS name \"%.60s…\" is longer than %d characters", name,
                       DG_HOSTNAME_MAX);
    if (strncmp(name, "*.", 2) == 0 && strchr(name + 2, '.') == NULL)
        return dg_fail(error,
                       "DNS name \"%s\" is too wide: a wildcard needs two labels after it, as "
                       "in *.example.org",
                       name);
    if (dg_hostname_valid(name) || dg_hostname_is_pattern(name, 2))
        return 0;
    return dg_fail(error,
                   "\"%s\" is not a DNS name: labels of 1 to 63 letters, digits and inner hyphens, "
                   "separated by dots; the first may be *",
                   name);
}

int dg_san_parse_ip(const char *text, struct dg_san_address *address, struct dg_error *error)
{
    if (inet_pton(AF_INET, text, address->bytes) == 1) {
        address->size = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, address->bytes) == 1) {
        address->size = 16;
        return 0;
    }
    return dg_fail(error, "\"%s\" is not an IP address: give one as 192.0.2.1 or 2001:db8::1",
                   text);
}

int dg_san_check_uri(const char *uri, struct dg_error *error)
{
    size_t scheme = dg_is_letter(uri[0]) ? 1 : 0;

    while (scheme > 0 && (dg_is_letter(uri[scheme]) || dg_is_digit(uri[scheme]) ||
                          (uri[scheme] != '\0' && strchr("+-.", uri[scheme]) != NULL)))
        scheme++;
    if (scheme == 0 || uri[scheme] != ':' || uri[scheme + 1] == '\0')
        return dg_fail(error, "\"%s\" is not a URI: it has no scheme, as in spiffe://example.org/a",
                       uri);
    if (strlen(uri) > URI_MAX)
        return dg_fail(error, "URI \"%.60s…\" is longer than %d bytes", uri, URI_MAX);
    for (const char *c = uri; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            return dg_fail(error,
                           "URI \"%s\" has a blank, a control or a non-ASCII character: write it "
                           "percent-encoded, as in %%20",
                           uri);
    }
    return 0;
}

static int check_file_name(const char *name, struct dg_error *error)
{
    static const char allowed[] = LETTERS DIGITS "._-@";

    if (strcmp(name, "ca") == 0)
        return dg_fail(error, "NAME \"ca\" is the CA's own: choose another, as the host's name");
    if (name[0] == '\0' || name[0] == '.' || name[0] == '-' ||
        name[strspn(name, allowed)] != '\0' || strlen(name) > FILE_NAME_MAX)
        return dg_fail(error,
                       "NAME \"%.60s\" cannot name files: use up to %d letters, digits and . _ - "
                       "@, not starting with . or -, and no folder",
                       name, FILE_NAME_MAX);
    return 0;
}

int dg_san_check_days(int days, struct dg_error *error)
{
    if (days < 1 || days > DAYS_MAX)
        return dg_fail(error, "%d days of validity: use 1 to %d", days, DAYS_MAX);
    return 0;
}

/* An X.509-SVID has one URI SAN (SPIFFE, X509-SVID section 2); with more, verifiers refuse it. */
static int check_spiffe(const struct dg_certificate_request *request, struct dg_error *error)
{
    for (size_t i = 0; i < request->uri_count && request->uri_count > 1; i++) {
        if (strncmp(request->uri[i], "spiffe:", strlen("spiffe:")) == 0)
            return dg_fail(error, "\"%s\" cannot stand beside another URI: SPIFFE allows one",
                           request->uri[i]);
    }
    return 0;
}

int dg_san_check_request(const struct dg_certificate_request *request, struct dg_error *error)
{
    struct dg_san_address address;

    if (check_file_name(request->name, error) != 0 || dg_san_check_days(request->days, error) != 0)
        return -1;
    if (request->dns_count + request->ip_count + request->uri_count == 0)
        return dg_fail(error,
                       "certificate \"%s\" would have no name: give at least one --dns, --ip "
                       "or --uri",
                       request->name);
    for (size_t i = 0; i < request->dns_count; i++) {
        if (dg_san_check_dns(request->dns[i], error) != 0)
            return -1;
    }
    for (size_t i = 0; i < request->ip_count; i++) {
        if (dg_san_parse_ip(request->ip[i], &address, error) != 0)
            return -1;
    }
    for (size_t i = 0; i < request->uri_count; i++) {
        if (dg_san_check_uri(request->uri[i], error) != 0)
            return -1;
    }
    return check_spiffe(request, error);
}
