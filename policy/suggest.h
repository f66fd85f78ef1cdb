/* "Did you mean …?": the candidate that is the fewest typing errors away from a word. */
#ifndef DISTGUARD_POLICY_SUGGEST_H
#define DISTGUARD_POLICY_SUGGEST_H

#include <stddef.h>

struct dg_suggestion {
    const char *word;
    const char *best; /* NULL while nothing is near */
    size_t distance;
};

/* The word and the candidates are not copied. */
void dg_suggest_start(struct dg_suggestion *suggestion, const char *word);
void dg_suggest_candidate(struct dg_suggestion *suggestion, const char *candidate);

#endif
