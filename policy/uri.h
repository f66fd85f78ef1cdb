/*
 * URIs as names in certificates, and patterns of SPIFFE IDs (the SPIFFE-ID standard, section 2:
 * spiffe://TRUST-DOMAIN/PATH, of lower-case letters, digits, dots, hyphens and underscores in the
 * trust domain; with neither user, port, query, fragment nor percent-encoding). Pure.
 */
#ifndef DISTGUARD_POLICY_URI_H
#define DISTGUARD_POLICY_URI_H

#include <stdbool.h>

/* What is wrong with a URI that stands in a policy, as it follows the URI in a message; NULL where
 * nothing is. A SPIFFE ID must name a workload; its last segment may be `*`, for one segment of any
 * name. */
const char *dg_uri_problem(const char *uri);

/* Whether it has the scheme of SPIFFE IDs, however it goes on. */
bool dg_uri_is_spiffe(const char *uri);

/* Whether `uri` is equal to `pattern`, which has no problem, or is a SPIFFE ID that it stands for.
 */
bool dg_uri_matches(const char *pattern, const char *uri);

#endif
