/* One sentence a person can act on: what is wrong, where (file and line, or peer and rule), what to
 * do. */
#ifndef DISTGUARD_POLICY_ERROR_H
#define DISTGUARD_POLICY_ERROR_H

#define DG_ERROR_SIZE 1024

struct dg_error {
    char text[DG_ERROR_SIZE]; /* empty while there is none; always NUL-terminated */
};

/* Formats the error's text, truncating at its size. Returns -1, so that callers can `return
 * dg_fail(...)`. */
int dg_fail(struct dg_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
