/* Answers on stdout: for people on a terminal, for programs in a pipe. */
#ifndef DISTGUARD_CLI_PRINT_H
#define DISTGUARD_CLI_PRINT_H

#include <stdbool.h>
#include <time.h>

#define DG_DATE_SIZE 32

bool dg_print_for_people(void);

/* One fact: aligned columns on a terminal, `key=value` in a pipe; control characters as '?'. */
void dg_print_fact(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What follows is about another subject: a title on a terminal; in a pipe, `prefix` before the
 * keys. Both are the caller's, the prefix until the next section; "" ends it. */
void dg_print_section(const char *prefix, const char *title);

/* "2027-02-20T14:00:00Z" */
void dg_print_date(char date[DG_DATE_SIZE], time_t time);

#endif
