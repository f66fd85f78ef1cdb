#include "policy/suggest.h"

#include <string.h>

#define LONGEST_WORD 63

static size_t least(size_t a, size_t b, size_t c)
{
    size_t less = a < b ? a : b;

    return less < c ? less : c;
}

/* Levenshtein: how many letters must be put in, taken out or replaced. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[LONGEST_WORD + 1];
    size_t width = strlen(b);

    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[width];
}

void dg_suggest_start(struct dg_suggestion *suggestion, const char *word)
{
    suggestion->word = word;
    suggestion->best = NULL;
    suggestion->distance = 0;
}

void dg_suggest_candidate(struct dg_suggestion *suggestion, const char *candidate)
{
    size_t length = strlen(suggestion->word), distance, limit;

    if (length > LONGEST_WORD || strlen(candidate) > LONGEST_WORD)
        return;
    distance = edit_distance(suggestion->word, candidate);
    /* A third of the letters wrong is a typing error, more is another word. */
    limit = length < 3 ? 1 : (length + 2) / 3;
    if (distance > limit || (suggestion->best != NULL && distance >= suggestion->distance))
        return;
    suggestion->best = candidate;
    suggestion->distance = distance;
}
