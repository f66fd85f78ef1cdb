/*
 * Which descriptor is which socket.
 *
 * A descriptor that is not in the table is none of our business, and costs its caller one
 * comparison. Sockets are recycled, never freed: a thread that looks one up while another closes it
 * finds valid memory, takes the lock, and sees that the descriptor has moved on. Locks are held
 * while bytes move, never while a call waits.
 */
#ifndef DISTGUARD_SOCKET_TABLE_H
#define DISTGUARD_SOCKET_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/core/report/status.h"
#include "shim/core/socket/gathering.h"
#include "shim/core/tls/channel.h"
#include "shim/core/wire/epmd.h"

enum dg_role {
    DG_ROLE_NEW,           /* made by socket(2), neither listening nor connected yet */
    DG_ROLE_LISTENER,      /* listening, for whatever */
    DG_ROLE_EPMD_ASKING,   /* connected to an EPMD: its request is read as it is written */
    DG_ROLE_EPMD_ASKED,    /* has asked for a node's port: the answer is read along */
    DG_ROLE_EPMD_INCOMING, /* epmd: of another host, in the waiting room (epmd_queue.h) */
    DG_ROLE_OUTGOING,      /* connected elsewhere: the first bytes written decide */
    DG_ROLE_INCOMING,      /* accepted where no distribution listens: the first bytes read decide */
    DG_ROLE_DISTRIBUTION_INCOMING, /* accepted on a distribution listener: the first byte decides */
    DG_ROLE_GUARDED,               /* carries TLS */
    DG_ROLE_PLAIN_NAMING, /* plaintext by the policy; it is not known yet which node the peer is */
    DG_ROLE_PLAIN,        /* plaintext by the policy, passes as it is */
    DG_ROLE_REFUSED,      /* ended by the policy; waits for the program to close it */
    DG_ROLE_FOREIGN,      /* was guarded when this process was forked from its owner */
};

/* As much of a stream's beginning as tells what it is, and names the peer in the log. */
enum { DG_FIRST_BYTES = 96 };

/* What a connection had to ask of EPMD, received before epmd saw the connection. */
struct dg_request {
    size_t size;
    size_t taken;                                  /* by epmd */
    uint8_t bytes[DG_EPMD_REMOTE_REQUEST_MAX + 1]; /* one more, to see that there is more */
};

/* The words for EMFILE of this table. */
#define DG_TABLE_FULL "descriptor number beyond what can be guarded; lower the limit of open files"

struct dg_joining;
struct dg_naming;

/* What a message of an admitted peer needs comes first, close together: between two messages a node
 * may have slept, and nothing of this is in the processor's caches. */
struct dg_socket {
    pthread_mutex_t lock; /* owns all below */
    _Atomic(enum dg_role) role;
    bool incoming;
    bool epmd;                     /* of or to an EPMD, not distribution */
    bool admitted;                 /* GUARDED: by certificate, and for distribution by its name */
    struct dg_channel *channel;    /* GUARDED, EPMD_INCOMING */
    struct dg_joining *joining;    /* GUARDED: while the distribution handshake runs inside TLS */
    struct dg_request *request;    /* EPMD_INCOMING, and then until epmd has taken it all */
    struct dg_gathering gathering; /* GUARDED */
    dg_status_record status;       /* of a connection or a listener; 0: none yet */

    const struct dg_rules *rules; /* under which it came to be */
    uint64_t serial;              /* another each time that it is taken into use */
    int descriptors;              /* how many numbers stand for it */
    struct dg_socket *next_free;
    bool foreign;             /* LISTENER: made by somebody else, and handed to epmd (systemd) */
    bool adopted;             /* made by another program; OUTGOING: or by its peer, incoming */
    bool expected;            /* OUTGOING: EPMD has named its destination as a node's */
    bool proxied;             /* OUTGOING: somebody has spoken to a proxy first */
    uint16_t port;            /* LISTENER: where, host byte order */
    int backlog;              /* LISTENER */
    const char *plain_by;     /* the rule that lets it pass in plaintext, or NULL; static */
    char *node;               /* what the peer claims to be; NULL: nothing yet */
    struct dg_naming *naming; /* PLAIN_NAMING */
    uint8_t first_size;       /* of first[] */
    uint8_t first_kept;       /* how many of them the program has yet to receive from here */
    uint8_t first[DG_FIRST_BYTES];
    struct sockaddr_storage peer;
};

/* The table itself, for the interposers' quick look; index below DG_TABLE_SIZE. */
enum { DG_TABLE_SIZE = 1 << 20 };
extern void *_Atomic dg_table[DG_TABLE_SIZE];

/* To be called once; registers the fork handlers. Returns 0 or an errno. */
int dg_table_start(void);

/* For what others have to do in a child that was made without the handlers of pthread_atfork(3):
 * called when the child first asks for a socket of the table. */
void dg_table_at_bare_fork(void (*handler)(void));

/* Lets go of every channel, as in a child of fork: what they stand on is about to be torn down. A
 * socket that its thread does not unlock within a second is passed over, as that thread may be the
 * caller's own, interrupted by a signal. */
void dg_table_disown(void);

/* False in a child of vfork(2), which has descriptors of its own but shares this memory: what it
 * closes and copies is not ours. */
bool dg_table_is_ours(void);

/* Puts a fresh socket in the table, in place of whatever the number stood for before, under the
 * rules that count now. Returns it locked, or NULL with errno where memory or the table is out. */
struct dg_socket *dg_table_watch(int fd, enum dg_role role);

/* The locked socket of a descriptor, or NULL. */
struct dg_socket *dg_table_lock(int fd);
void dg_table_unlock(struct dg_socket *socket);

/*
 * As dg_table_lock(), for a call that may wait between two looks, with no lock held, and must not
 * go on with what another thread has meanwhile put in the number's place. *serial: 0 at first, then
 * what the number stood for. Returns false, with nothing locked, where that was closed.
 */
bool dg_table_lock_same(int fd, uint64_t *serial, struct dg_socket **socket);

/* As dg_table_lock(), but false where another thread has the lock. `held`: what the caller has
 * locked already, or NULL; it may be the very socket. */
bool dg_table_try_lock(int fd, const struct dg_socket *held, struct dg_socket **socket);

/* Takes a descriptor out of the table; its socket, locked by the caller, is unlocked and, with its
 * last descriptor, recycled. The channel must have been closed by then. */
void dg_table_forget(int fd, struct dg_socket *socket);

/* The same, after the number was closed. */
void dg_table_close(int fd, struct dg_socket *socket);

/* The same, after the number was given to another socket, locked, or (NULL) to what nobody watches.
 * In between it never stands for nothing. */
void dg_table_replace(int fd, struct dg_socket *socket, struct dg_socket *by);

/* The role of a descriptor at a glance, without its lock: to pass over the many that do not matter.
 */
enum dg_role dg_table_role(int fd);

/* Forgets what a number stood for that was closed behind our back, by a system call we do not see.
 */
void dg_table_evict(int fd);

/* Makes `copy`, which must stand for nothing, stand for the same, locked, socket. False where the
 * table is out. */
bool dg_table_share(struct dg_socket *socket, int copy);

/* Undoes that, with the socket still locked. */
void dg_table_unshare(struct dg_socket *socket, int copy);

/* One more than the highest number that was ever watched. */
int dg_table_end(void);

#endif
