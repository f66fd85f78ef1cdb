/* Answers to questions: one sentence or two on stdout, with the decision as its first word. */
#ifndef DISTGUARD_CLI_EXPLAIN_ANSWER_H
#define DISTGUARD_CLI_EXPLAIN_ANSWER_H

#include "cli/explain/question.h"

/* "allowed: …", DG_EXIT_OK; "refused: …", DG_EXIT_FAILURE. */
int dg_answer_allowed(const char *format, ...) __attribute__((format(printf, 1, 2)));
int dg_answer_refused(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "moved to HOST: …", DG_EXIT_OK. */
int dg_answer_moved(const struct dg_host *host, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What does not depend on addresses: nothing is guarded here, or it would carry distribution and
 * there is to be none. True if that was the answer; `status` is the exit status then. */
bool dg_answer_outright(const struct dg_question *question, bool carries_distribution, int *status);

/* "distribution" or "epmd": the group of the policy whose rules count. */
const char *dg_question_group(const struct dg_question *question);

/* Whether the question's host is in this list of the policy, which has that name, and what says so:
 * "GROUP.NAME has RULE" or "GROUP.NAME is not set (default)" where it is; else all of the list,
 * "GROUP.NAME, RULES". For the caller to free. */
char *dg_question_allows(const struct dg_question *question, const struct dg_network_list *list,
                         const char *name, bool *allowed);

#endif
