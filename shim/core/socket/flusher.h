/*
 * When what writers hold (gathering.h) is sent, if they do not send it themselves.
 *
 * Before the VM polls: a scheduler that has run out of work does so at once, one that has not does
 * so every so often. And, as no scheduler needs to (another polls for it, or all are busy), by a
 * thread of our own, which passes every millisecond. It begins with the first flood, and sleeps
 * unless there is one. A child of fork(2) has none, until it needs one: then its own.
 */
#ifndef DISTGUARD_SOCKET_FLUSHER_H
#define DISTGUARD_SOCKET_FLUSHER_H

#include <stdbool.h>

/* What the thread is called in /proc/PID/task/TID/comm. */
#define DG_FLUSHER_NAME "distguard-send"

/* From now on a descriptor, whose socket the caller has locked, is looked after until its gathering
 * rests. False where that cannot be had: then nothing may be held. */
bool dg_flusher_watch(int fd);

/* In the child of a fork: what is held is the parent's to send. */
void dg_flusher_forked(void);

#endif
