/* Host names as certificates have them (RFC 5280, 4.2.1.6: labels of letters, digits and hyphens;
 * internationalised ones as A-labels, without a final dot), and patterns of them. Pure. */
#ifndef DISTGUARD_POLICY_HOSTNAME_H
#define DISTGUARD_POLICY_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>

#define DG_HOSTNAME_MAX 253 /* RFC 1035, as text */

bool dg_hostname_valid(const char *name);

/* As hosts are called by those who run them: underscores may stand among the letters. */
bool dg_hostname_usual(const char *name);

/* "*." before a host name of at least `labels` labels */
bool dg_hostname_is_pattern(const char *name, unsigned labels);

/* Whether a name is equal to `pattern` without regard to case; or, where that is a pattern, is one
 * label in front of what follows the star. The label is of letters, digits and hyphens: no other
 * wildcard matches a pattern but itself. */
bool dg_hostname_matches(const char *pattern, const char *name);

#endif
