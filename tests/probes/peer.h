/*
 * What the two ends of a guarded connection share. Each scenario is a pair of functions, run by two
 * processes, which do to a TLS connection what a node or a C node may do with each call.
 */
#ifndef DISTGUARD_PROBES_PEER_H
#define DISTGUARD_PROBES_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/probes/probe.h"

/* What a node writes first; all of it must be written by one call. */
enum { NAME_MESSAGE = 64 };
extern const uint8_t name_message[NAME_MESSAGE + 1]; /* with the NUL of its literal */

/* Occurs in all that is sent as text, and must never be seen on the wire. */
#define MARKER "marker-that-nobody-may-read"

/* Ends the process: what was seen, and what was wanted. */
void want(const char *what, ssize_t saw, ssize_t wanted);
void want_errno(const char *what, struct outcome outcome, int wanted);
void want_bytes(const char *what, const void *saw, const void *wanted, size_t size);

/* A connection with the name message written; and then the distribution handshake's end read. */
int begin(int port);
int begin_by(int port, const struct writer *writer);
int join(int port);
int join_by(int port, const struct writer *writer);
/* The same, on a connection that is there already. */
void begin_on(int fd);
/* The other side of it. */
int let_in(int listener);

/* Whole messages over a blocking descriptor. */
void send_all(int fd, const void *bytes, size_t size);
void receive_all(int fd, void *bytes, size_t size);
void receive_all_by(const struct reader *reader, int fd, void *bytes, size_t size);

/* A text that the other side has, too, goes there and comes back: one asks, and the other answers.
 */
void ask(int fd, const void *text, size_t size);
void answer(int fd, const char *what, const void *text, size_t size);

/* The peer has ended the stream, orderly. */
void want_end(int fd);

typedef void client_function(int port);
typedef void server_function(int listener);

client_function calls_client, flags_client, copies_client, children_client, ending_client;
server_function calls_server, flags_server, copies_server, children_server, ending_server;
client_function refused_client, framed_client, flood_client, stalled_client, early_client;
server_function refused_server, framed_server, flood_server, stalled_server, early_server;
client_function stream_client, taken_client, replaced_client, another_client, apart_client,
    handed_client;
server_function stream_server, taken_server, replaced_server, another_server, apart_server,
    handed_server;

/* What a program does that another one became: the numbers, in words, of what it had open. */
void inherited(int count, char **numbers);

/* The word behind the scenario, "" where there is none. */
extern const char *variant;

#endif
