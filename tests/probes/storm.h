/*
 * A guarded program in which many threads open, use and close descriptors of every kind, so that
 * numbers change hands all the time: guarded connections, other connections, pipes, files. Both
 * ends are in the one process. Each byte tells whose it is by its owner's id and its place.
 */
#ifndef DISTGUARD_PROBES_STORM_H
#define DISTGUARD_PROBES_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Ends the process with status 1: what was seen, and what was wanted. But once it is about to
 * leave, connections may fail: then it is the thread that ends. */
void storm_want(const char *what, ssize_t saw, ssize_t wanted);

/* Starts the threads: servers first. `port` is distribution's. */
void storm_begin(uint16_t port);
/* Lets every thread come to its end, and waits for it. */
void storm_end(void);
/* Waits until so many connections, guarded ones, have been used. */
void storm_wait(unsigned connections);

extern atomic_bool storm_is_over, storm_leaves;
extern atomic_uint storm_guarded, storm_plain, storm_others, storm_taken;

/* A guarded connection to this process, on which the other side says again what it hears; -1 where
 * there can be none. */
int storm_join(void);
/* Says something new there and hears it again. */
void storm_ask(int fd, uint64_t id, size_t place, size_t size);
/* The same; false where the connection is broken. */
bool storm_try(int fd, uint64_t id, size_t place, size_t size);
uint64_t storm_new_id(void);

/* storm_forks.c: so many children of every birth, while the storm goes on */
void storm_fork(unsigned count);
/* storm_leave.c: ends the process in one of the ways that there are */
void storm_prepare_to_leave(const char *how);
_Noreturn void storm_leave(const char *how);

#endif
