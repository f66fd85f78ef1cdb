/* One process, as /proc shows it. What is not permitted fails with errno EACCES or EPERM. */
#ifndef DISTGUARD_CLI_STATUS_PROC_H
#define DISTGUARD_CLI_STATUS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define DG_PROC_NAME 64

/* A process number in decimal; 0 where the word is none. */
pid_t dg_proc_number(const char *word);

/* A descriptor of /proc/PID, which stays that of this very process; -1 with errno. */
int dg_proc_open(pid_t pid);

/* The base name of the program that it runs. Returns 0, or -1 with errno. */
int dg_proc_program(int process, char name[DG_PROC_NAME]);

/* What the kernel calls it, which everybody may see: the program's name, cut to 15 bytes, unless
 * the process has chosen another. "" where it is gone. */
void dg_proc_comm(int process, char name[DG_PROC_NAME]);

/* The process's own number for itself, in its PID namespace; 0 where it cannot be told. */
pid_t dg_proc_own_pid(int process);

/* All of a file such as "environ", with a NUL behind it, for the caller to free. NULL with errno.
 */
char *dg_proc_read(int process, const char *file, size_t *size);

/* A variable of the environment that the process was started with, as dg_proc_read() gives it. */
const char *dg_proc_variable(const char *environment, size_t size, const char *name);

/* Whether the loader distrusted its environment: setuid, or file capabilities. */
bool dg_proc_is_secure(int process);

/* stat(2) of an absolute path as the process sees it: in its root and mount namespace. Returns 0,
 * or -1 with errno. */
int dg_proc_stat(int process, const char *path, struct stat *status);

#endif
