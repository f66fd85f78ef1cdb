#include "cli/tls/san.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#define DNS_NAME_MAX 253  /* RFC 1035, as text without the final dot */
#define DNS_LABEL_MAX 63  /* RFC 1035 */
#define URI_MAX 2048      /* the SPIFFE ID specification's limit */
#define FILE_NAME_MAX 200 /* with ".pem" well below NAME_MAX */
#define DAYS_MAX 36500

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Of the C locale, whatever the caller's is. */
static bool is_letter(char c)
{
    return c != '\0' && strchr(LETTERS, c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool label_valid(const char *label, size_t size)
{
    if (size == 0 || size > DNS_LABEL_MAX || label[0] == '-' || label[size - 1] == '-')
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!is_letter(label[i]) && !is_digit(label[i]) && label[i] != '-')
            return false;
    }
    return true;
}

/* "*." stands before at least two labels, since OpenSSL matches no wider wildcard. */
static bool wildcard_valid(const char *rest)
{
    return strchr(rest, '.') != NULL;
}

int dg_san_check_dns(const char *name, struct dg_error *error)
{
    struct dg_san_address address;
    struct dg_error ignored;
    const char *label = name;

    if (dg_san_parse_ip(name, &address, &ignored) == 0)
        return dg_fail(error, "DNS name \"%s\" is an IP address: give it with --ip", name);
    if (strlen(name) > DNS_NAME_MAX)
        return dg_fail(error, "DNS name \"%.60s…\" is longer than %d characters", name,
                       DNS_NAME_MAX);
    if (strncmp(name, "*.", 2) == 0) {
        label = name + 2;
        if (!wildcard_valid(label))
            return dg_fail(error,
                           "DNS name \"%s\" is too wide: a wildcard needs two labels after it, as "
                           "in *.example.org",
                           name);
    }
    for (;;) {
        size_t size = strcspn(label, ".");

        if (!label_valid(label, size))
            return dg_fail(error,
                           "\"%s\" is not a DNS name: labels of 1 to %d letters, digits and inner "
                           "hyphens, separated by dots; the first may be *",
                           name, DNS_LABEL_MAX);
        if (label[size] == '\0')
            return 0;
        label += size + 1;
    }
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
    size_t scheme = is_letter(uri[0]) ? 1 : 0;

    while (scheme > 0 && (is_letter(uri[scheme]) || is_digit(uri[scheme]) ||
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
