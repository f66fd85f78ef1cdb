/* The class of a refusal, by the sentence that the log has for it. */
#ifndef DISTGUARD_REPORT_REFUSAL_H
#define DISTGUARD_REPORT_REFUSAL_H

#include "shim/core/report/page.h"

/*
 * The sentences are ours and differ in what they tell an operator; what a monitor counts is the
 * class. It follows from words in them, in one place, so that nobody who refuses something has to
 * say it twice. What is not known is DG_REFUSED_OTHER.
 */
enum dg_page_refusal dg_refusal_class(const char *reason);

#endif
