/* The policy's rules in words, with where they stand. */
#ifndef DISTGUARD_CLI_WORDING_H
#define DISTGUARD_CLI_WORDING_H

#include <stdarg.h>

#include "policy/policy.h"

/* All are new strings, for the caller to free; they do not fail, the process ends where memory is
 * short. */
char *dg_word_place(const struct dg_place *place);                /* "FILE:LINE", or "default" */
char *dg_word_rule(const struct dg_bind_rule *rule);              /* "interface:eth1 (FILE:LINE)" */
char *dg_word_rules(const struct dg_bind_list *rules);            /* the same, with commas */
char *dg_word_network_rule(const struct dg_network_rule *rule);   /* "10.0.0.0/8 (FILE:LINE)" */
char *dg_word_network_rules(const struct dg_network_list *rules); /* the same, with commas */
char *
dg_word_peer_rule(const struct dg_peer_rule *rule); /* "dns a.example.org, as web@* (FILE:LINE)" */
char *dg_word(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *dg_word_arguments(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

/* "LISTSEPARATORITEM", or "ITEM" where the list is empty; both are freed. */
char *dg_word_join(char *list, const char *separator, char *item);

#endif
