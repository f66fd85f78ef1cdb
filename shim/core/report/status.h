/*
 * The writer of this process's status page (page.h).
 *
 * The page is a memfd that readers find by its name among the process's descriptors. A program that
 * closes the descriptor (epmd -daemon closes all it can) loses nothing but that: the mapping stays,
 * and a new descriptor is put in place at the next connection or listener. The child of a fork(2)
 * has no page until it does something worth telling; then it makes its own.
 *
 * Nothing here fails, blocks for long, or changes errno: without a page (no memory, no descriptor)
 * the program is guarded all the same, and `distguard status` says that it cannot see.
 */
#ifndef DISTGUARD_REPORT_STATUS_H
#define DISTGUARD_REPORT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"
#include "shim/core/report/page.h"

/* To be called once, before any other thread runs. `program` is copied. Registers the fork
 * handlers. Returns 0 or an errno of theirs. */
int dg_status_start(const char *program);

/* In the child of a fork: the page is its parent's. */
void dg_status_forked(void);

/* The policy that counts from now on: generation 1 at start, and one more after each reload.
 * `certificate_expires`: the first of its chain, seconds since 1970; 0: not known. */
void dg_status_policy(const struct dg_policy *policy, uint64_t generation,
                      int64_t certificate_expires);

/* A reload that failed: the policy that was, stays. */
void dg_status_reload_failed(void);

/* --- connections --- */

/* What is known of one; strings are copied and cut, NULL is "". */
struct dg_status_connection {
    enum dg_page_role role;
    enum dg_page_direction direction;
    enum dg_page_state state;
    uint64_t generation; /* of the policy under which it came to be */
    const char *peer;    /* address and port */
    const char *node;
    const char *certificate;
    const char *version;
    const char *cipher;
    const char *group;
};

/* Stands for a record of the page; 0 for none. Of no meaning in a child of fork(2), where it does
 * no harm. */
typedef uint32_t dg_status_record;

/* Enters a connection, and tells its record: never 0. */
dg_status_record dg_status_connected(const struct dg_status_connection *connection);

/* What is known of it now, in place of what was; `since` and the counters stay. */
void dg_status_changed(dg_status_record record, const struct dg_status_connection *connection);

/* The connection, or the listener, has ended. What a connection moved is added to the totals. */
void dg_status_closed(dg_status_record record);

/* A connection that was let in, or that we made and the peer admitted. */
void dg_status_admitted(enum dg_page_role role, enum dg_page_direction direction);

/* A peer that is named, for the two tables of peers. */
struct dg_status_peer {
    enum dg_page_role role;
    enum dg_page_direction direction;
    const char *address; /* without its port */
    const char *node;    /* as claimed; NULL: not known */
};

void dg_status_plaintext(const struct dg_status_peer *peer, enum dg_page_rule rule);
void dg_status_refused(const struct dg_status_peer *peer, enum dg_page_refusal refusal,
                       const char *reason);

/* --- listeners --- */

dg_status_record dg_status_listening(enum dg_page_role role, const char *asked, const char *bound);

/* --- the data path --- */

/* For the functions below alone. */
extern struct dg_page *_Atomic dg_status_page;
extern _Atomic uint32_t dg_status_epoch;

enum {
    DG_STATUS_INDEX_BITS = 16,
    DG_STATUS_INDEX = 0xffff,
    DG_STATUS_UNLISTED = 0xffff, /* the table had no room */
    DG_STATUS_NOWHERE = 0xfffe,  /* there was no page */
};

/* The connection of a record; NULL where it is of another process, of none, or not in the table. */
static inline struct dg_page_connection *dg_status_find(dg_status_record record)
{
    uint32_t epoch = atomic_load_explicit(&dg_status_epoch, memory_order_relaxed);
    uint32_t index = record & DG_STATUS_INDEX;

    if (record >> DG_STATUS_INDEX_BITS != epoch || index >= DG_PAGE_CONNECTIONS) {
        return NULL;
    }
    return &atomic_load_explicit(&dg_status_page, memory_order_relaxed)->connections[index];
}

/* The slow way, for connections that are in no table. */
void dg_status_moved_unlisted(dg_status_record record, enum dg_page_direction direction,
                              uint64_t bytes);

/* Bytes of plaintext that went through a connection. For who holds the connection's lock: then two
 * plain words suffice. */
static inline void dg_status_moved(dg_status_record record, enum dg_page_direction direction,
                                   uint64_t bytes)
{
    struct dg_page_connection *connection = dg_status_find(record);

    if (connection != NULL) {
        dg_page_counter *counter = &connection->bytes[direction];

        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + bytes,
                              memory_order_relaxed);
    } else if (record != 0) {
        dg_status_moved_unlisted(record, direction, bytes);
    }
}

/* How many records went through it so far, and how often either side has changed its keys. Under
 * the same lock. */
static inline void dg_status_records(dg_status_record record, uint64_t received, uint64_t sent,
                                     uint64_t key_updates)
{
    struct dg_page_connection *connection = dg_status_find(record);

    if (connection != NULL) {
        atomic_store_explicit(&connection->records[DG_PAGE_IN], received, memory_order_relaxed);
        atomic_store_explicit(&connection->records[DG_PAGE_OUT], sent, memory_order_relaxed);
        atomic_store_explicit(&connection->key_updates, key_updates, memory_order_relaxed);
    }
}

/* --- the log --- */

void dg_status_line_dropped(void);

#endif
