/*
 * The status page: what a guarded process tells of itself, in memory that it shares with nobody but
 * who may look into it anyway (/proc/PID/fd).
 *
 * One fixed layout of fixed-size records, no pointers. Records that are written as a whole carry a
 * sequence number, odd while it happens, by which a reader sees that it must read again; counters
 * are single words, which no reader sees torn. A reader trusts none of it (snapshot.h): the process
 * may be hostile, or of another version.
 */
#ifndef DISTGUARD_REPORT_PAGE_H
#define DISTGUARD_REPORT_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

/* The name of the memory, as the links of /proc/PID/fd show it: "/memfd:distguard-status
 * (deleted)". */
#define DG_PAGE_NAME "distguard-status"
#define DG_PAGE_MAGIC "DGstatus"

/* Changes with every change to what is below, but for struct dg_page_header, which stays as it is
 * so that a reader can say which version it cannot read. */
enum { DG_PAGE_LAYOUT = 1 };

enum {
    DG_PAGE_CONNECTIONS = 1024,
    DG_PAGE_LISTENERS = 64,
    DG_PAGE_PLAINTEXT_PEERS = 256,
    DG_PAGE_REFUSALS = 256,
    DG_PAGE_FILES = 16,
};

/* Sizes of strings, each with its NUL. */
enum {
    DG_PAGE_WORD = 16,
    DG_PAGE_NAME_SIZE = 64,
    DG_PAGE_ADDRESS = 96,
    DG_PAGE_NODE = 256,
    DG_PAGE_CERTIFICATE = 256,
    DG_PAGE_CIPHER = 40,
    DG_PAGE_GROUP = 24,
    DG_PAGE_REASON = 256,
    DG_PAGE_PATH = 512,
};

enum dg_page_role { DG_PAGE_DISTRIBUTION, DG_PAGE_EPMD, DG_PAGE_ROLES };
enum dg_page_direction { DG_PAGE_IN, DG_PAGE_OUT, DG_PAGE_DIRECTIONS };
enum dg_page_state { DG_PAGE_HANDSHAKE, DG_PAGE_OPEN, DG_PAGE_PLAINTEXT, DG_PAGE_STATES };

/* What lets a plaintext connection be: `local`, or a mode on the way to require. */
enum dg_page_rule { DG_PAGE_LOCAL, DG_PAGE_ALLOW, DG_PAGE_PREFER, DG_PAGE_RULES };

/* Why a connection was refused, in classes that can be counted. */
enum dg_page_refusal {
    DG_REFUSED_ADDRESS,     /* where it comes from, leads to, or would listen */
    DG_REFUSED_PLAINTEXT,   /* no TLS where the policy wants it */
    DG_REFUSED_CERTIFICATE, /* none, or one that is not trusted or not admitted */
    DG_REFUSED_TLS,         /* the handshake failed for another reason */
    DG_REFUSED_TIMEOUT,     /* it did not come to an end in time */
    DG_REFUSED_LIMIT,       /* too many, or no memory */
    DG_REFUSED_REQUEST,     /* of EPMD, what another host may not ask */
    DG_REFUSED_OTHER,
    DG_PAGE_REFUSAL_CLASSES,
};

typedef _Atomic uint32_t dg_page_sequence;
typedef _Atomic uint64_t dg_page_counter;

/* Times are milliseconds since 1970 (CLOCK_REALTIME); 0: not known. */
typedef int64_t dg_page_time;

struct dg_page_header {
    char magic[8];
    uint32_t layout;
    uint32_t size; /* of the whole page */
    int32_t pid;   /* as the process itself sees it */
    char version[DG_PAGE_WORD];
};

/* A file of the policy, as it was when it was read. */
struct dg_page_file {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    int64_t modified; /* nanoseconds since 1970 */
    char path[DG_PAGE_PATH];
};

struct dg_page_process {
    dg_page_sequence sequence;
    uint32_t file_count;
    dg_page_time started;
    dg_page_time loaded; /* when the policy was */
    dg_page_time certificate_expires;
    uint64_t generation; /* of the policy: 1 at start, one more by each reload */
    char program[DG_PAGE_NAME_SIZE];
    char mode[DG_PAGE_WORD];
    char profile[DG_PAGE_NAME_SIZE];
    char certificate[DG_PAGE_PATH];
    struct dg_page_file files[DG_PAGE_FILES]; /* the policy's own comes first */
};

struct dg_page_counters {
    dg_page_counter admitted[DG_PAGE_ROLES][DG_PAGE_DIRECTIONS];
    dg_page_counter refused[DG_PAGE_REFUSAL_CLASSES];
    dg_page_counter plaintext[DG_PAGE_RULES];
    dg_page_counter reloads;
    dg_page_counter failed_reloads;
    dg_page_counter lines_dropped;
    dg_page_counter unlisted; /* connections there are now that the table had no room for */
    /* Of connections that are not in the table: closed, or unlisted. */
    dg_page_counter bytes[DG_PAGE_DIRECTIONS];
    dg_page_counter records[DG_PAGE_DIRECTIONS];
    dg_page_counter key_updates;
};

struct dg_page_listener {
    dg_page_sequence sequence;
    uint32_t used;
    uint32_t role;
    char asked[DG_PAGE_ADDRESS]; /* by the program */
    char bound[DG_PAGE_ADDRESS];
};

struct dg_page_connection {
    dg_page_sequence sequence;
    uint32_t used;
    uint32_t role;
    uint32_t direction;
    uint32_t state;
    dg_page_time since;
    uint64_t generation; /* of the policy that admitted it */
    char peer[DG_PAGE_ADDRESS];
    char node[DG_PAGE_NODE]; /* as claimed */
    char certificate[DG_PAGE_CERTIFICATE];
    char version[DG_PAGE_WORD];
    char cipher[DG_PAGE_CIPHER];
    char group[DG_PAGE_GROUP];
    /* Written without the sequence, by whoever holds the socket's lock. */
    dg_page_counter bytes[DG_PAGE_DIRECTIONS];
    dg_page_counter records[DG_PAGE_DIRECTIONS];
    dg_page_counter key_updates;
};

/* Peers that speak plaintext, one record for each address, node, direction and rule. */
struct dg_page_plaintext_peer {
    dg_page_sequence sequence;
    uint32_t used;
    uint32_t role;
    uint32_t direction;
    uint32_t rule;
    uint64_t count;
    dg_page_time last_seen;
    char address[DG_PAGE_ADDRESS];
    char node[DG_PAGE_NODE];
};

/* Who was refused, one record for each address and class. */
struct dg_page_refused {
    dg_page_sequence sequence;
    uint32_t used;
    uint32_t role;
    uint32_t direction;
    uint32_t refusal;
    uint64_t count;
    dg_page_time last_seen;
    char address[DG_PAGE_ADDRESS];
    char node[DG_PAGE_NODE];
    char reason[DG_PAGE_REASON]; /* the last one */
};

struct dg_page {
    struct dg_page_header header;
    struct dg_page_process process;
    struct dg_page_counters counters;
    /* Moves with each connection that leaves the table for the counters: sums of both are of one
     * moment where it has not moved. */
    dg_page_sequence closings;
    /* How much of each table was ever used: what lies behind need not be touched. */
    _Atomic uint32_t connection_count;
    _Atomic uint32_t listener_count;
    _Atomic uint32_t plaintext_peer_count;
    _Atomic uint32_t refused_count;
    struct dg_page_listener listeners[DG_PAGE_LISTENERS];
    struct dg_page_plaintext_peer plaintext_peers[DG_PAGE_PLAINTEXT_PEERS];
    struct dg_page_refused refused[DG_PAGE_REFUSALS];
    struct dg_page_connection connections[DG_PAGE_CONNECTIONS];
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "two processes share these words, and a lock of one is none for the other");

#endif
