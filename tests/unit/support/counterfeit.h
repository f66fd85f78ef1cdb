/* Makes what the list of certificates describes: certificates, right and wrong ones, and CRLs. */
#ifndef DISTGUARD_TESTS_COUNTERFEIT_H
#define DISTGUARD_TESTS_COUNTERFEIT_H

#include "tests/unit/support/cases.h"

/*
 * Makes, in a folder that is there: of each certificate NAME.pem (itself and the chain it shows),
 * NAME.key, and NAME.conf, a shim.conf for the node that meets it; of each CRL NAME.pem. An issuer
 * stands before what it issues. Aborts where something cannot be made.
 */
void counterfeit_all(const struct cases *cases, const char *folder);

#endif
