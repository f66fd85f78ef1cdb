/* What the tool says on stderr. */
#ifndef DISTGUARD_CLI_MESSAGE_H
#define DISTGUARD_CLI_MESSAGE_H

/* One line: "distguard: …". */
void dg_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
