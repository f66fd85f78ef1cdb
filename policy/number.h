/* How libconfig reads whole numbers. Pure. */
#ifndef DISTGUARD_POLICY_NUMBER_H
#define DISTGUARD_POLICY_NUMBER_H

#include <stddef.h>

/* The length of the word that the text begins with: a name, or a number. */
size_t dg_word_length(const char *text, size_t size);

/*
 * libconfig 1.5 keeps the low 32 bits of a number that has no L behind it, and says nothing: of
 * 5000000000, 705032704 would be left. For a word that is a number with more bits than are read,
 * what to do about it; NULL for all others.
 */
const char *dg_number_remedy(const char *word, size_t size);

#endif
