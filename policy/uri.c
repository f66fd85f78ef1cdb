#include "policy/uri.h"

#include <stddef.h>
#include <string.h>

#include "policy/ascii.h"

#define SCHEME "spiffe://"
#define TRUST_DOMAIN_MAX 255
#define URI_MAX 2048 /* SPIFFE-ID, section 2.3 */

static bool is_of_trust_domain(char c)
{
    return ('a' <= c && c <= 'z') || dg_is_digit(c) || c == '.' || c == '-' || c == '_';
}

/* Of a path: letters of either case. */
static bool segment_valid(const char *segment, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_of_trust_domain(dg_lower(segment[i])))
            return false;
    return size > 0 && !(size == 1 && segment[0] == '.') &&
           !(size == 2 && segment[0] == '.' && segment[1] == '.');
}

static const char *trust_domain_problem(const char *domain, size_t size)
{
    if (size == 0)
        return "has no trust domain";
    if (size > TRUST_DOMAIN_MAX)
        return "has a trust domain of more than 255 bytes";
    for (size_t i = 0; i < size; i++)
        if (!is_of_trust_domain(domain[i]))
            return "has a trust domain of more than lower-case letters, digits, dots, hyphens and "
                   "underscores (no user, no port)";
    return NULL;
}

/* Behind the trust domain: segments, each with a slash before it. */
static const char *path_problem(const char *path)
{
    if (*path == '\0')
        return "names a trust domain, but nothing in it; add a path";
    while (*path == '/') {
        const char *segment = path + 1;
        size_t size = strcspn(segment, "/");

        path = segment + size;
        if (*path == '\0' && size == 1 && segment[0] == '*')
            return NULL;
        if (memchr(segment, '*', size) != NULL)
            return "has a * that is not the whole last segment";
        if (!segment_valid(segment, size))
            return "has a path segment that is empty, a dot, two dots, or has other bytes than "
                   "letters, digits, dots, hyphens and underscores";
    }
    return NULL;
}

static const char *spiffe_problem(const char *uri)
{
    const char *domain = uri + strlen(SCHEME);
    size_t size;
    const char *problem;

    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
        return "does not begin with spiffe://, in lower case";
    size = strcspn(domain, "/");
    problem = trust_domain_problem(domain, size);
    return problem != NULL ? problem : path_problem(domain + size);
}

/* RFC 3986, 3.1; 0 where there is none, or nothing behind it. */
static size_t scheme_length(const char *uri)
{
    size_t size = 0;

    if (!dg_is_letter(uri[0]))
        return 0;
    while (dg_is_letter(uri[size]) || dg_is_digit(uri[size]) || uri[size] == '+' ||
           uri[size] == '-' || uri[size] == '.')
        size++;
    return uri[size] == ':' && uri[size + 1] != '\0' ? size : 0;
}

bool dg_uri_is_spiffe(const char *uri)
{
    static const char scheme[] = "spiffe:";

    for (size_t i = 0; i < strlen(scheme); i++)
        if (dg_lower(uri[i]) != scheme[i])
            return false;
    return true;
}

const char *dg_uri_problem(const char *uri)
{
    if (strlen(uri) > URI_MAX)
        return "is longer than 2048 bytes";
    for (const char *byte = uri; *byte != '\0'; byte++)
        if (*byte <= ' ' || *byte > '~')
            return "has a blank, a control or a non-ASCII character; write it percent-encoded, as "
                   "%20";
    if (scheme_length(uri) == 0)
        return "is no URI: it has no scheme, as spiffe: or erlang:";
    if (dg_uri_is_spiffe(uri))
        return spiffe_problem(uri);
    return strchr(uri, '*') != NULL ? "has a wildcard, which only SPIFFE IDs can have" : NULL;
}

bool dg_uri_matches(const char *pattern, const char *uri)
{
    size_t size = strlen(pattern);

    if (strcmp(pattern, uri) == 0)
        return true;
    if (!dg_uri_is_spiffe(pattern) || pattern[size - 1] != '*' ||
        strncmp(pattern, uri, size - 1) != 0)
        return false;
    uri += size - 1;
    return strlen(uri) + size - 1 <= URI_MAX && segment_valid(uri, strlen(uri));
}
