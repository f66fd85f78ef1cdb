/* The tables of the status page: connections, listeners, peers. */
#include <string.h>

#include "shim/core/report/status_parts.h"

enum { LISTENER_BIT = 0x8000 }; /* in a record's index */

/* Which records are taken; under the page's lock. */
static unsigned char connections_taken[DG_PAGE_CONNECTIONS];
static unsigned char listeners_taken[DG_PAGE_LISTENERS];

void dg_status_tables_forked(void)
{
    memset(connections_taken, 0, sizeof connections_taken);
    memset(listeners_taken, 0, sizeof listeners_taken);
}

static dg_status_record handle(uint32_t index)
{
    return atomic_load(&dg_status_epoch) << DG_STATUS_INDEX_BITS | index;
}

/* Whether a record was made by this process; one of a parent means nothing here. */
static bool is_current(dg_status_record record)
{
    return record >> DG_STATUS_INDEX_BITS == atomic_load(&dg_status_epoch);
}

/* The lowest that is free, so that little memory is touched; `size` where there is none. */
static uint32_t take(unsigned char *taken, uint32_t size, _Atomic uint32_t *used)
{
    unsigned char *free_one = memchr(taken, 0, size);
    uint32_t index = free_one != NULL ? (uint32_t)(free_one - taken) : size;

    if (index < size) {
        taken[index] = 1;
        if (index >= atomic_load(used)) {
            atomic_store(used, index + 1);
        }
    }
    return index;
}

/* --- connections --- */

static void describe(struct dg_page_connection *record, const struct dg_status_connection *known)
{
    record->role = known->role;
    record->direction = known->direction;
    record->state = known->state;
    record->generation = known->generation;
    dg_status_text(record->peer, sizeof record->peer, known->peer);
    dg_status_text(record->node, sizeof record->node, known->node);
    dg_status_text(record->certificate, sizeof record->certificate, known->certificate);
    dg_status_text(record->version, sizeof record->version, known->version);
    dg_status_text(record->cipher, sizeof record->cipher, known->cipher);
    dg_status_text(record->group, sizeof record->group, known->group);
}

static void enter(struct dg_page_connection *record, const struct dg_status_connection *known)
{
    dg_status_begin(&record->sequence);
    record->used = 1;
    record->since = dg_status_now();
    describe(record, known);
    for (int i = 0; i < DG_PAGE_DIRECTIONS; i++) {
        atomic_store(&record->bytes[i], 0);
        atomic_store(&record->records[i], 0);
    }
    atomic_store(&record->key_updates, 0);
    dg_status_end(&record->sequence);
}

dg_status_record dg_status_connected(const struct dg_status_connection *connection)
{
    struct dg_page *page = dg_status_lock();
    uint32_t index = DG_STATUS_NOWHERE;

    if (page != NULL) {
        index = take(connections_taken, DG_PAGE_CONNECTIONS, &page->connection_count);
        if (index < DG_PAGE_CONNECTIONS) {
            enter(&page->connections[index], connection);
        } else {
            atomic_fetch_add(&page->counters.unlisted, 1);
            index = DG_STATUS_UNLISTED;
        }
        dg_status_unlock();
    }
    return handle(index);
}

void dg_status_changed(dg_status_record record, const struct dg_status_connection *connection)
{
    struct dg_page *page = dg_status_lock_existing();
    struct dg_page_connection *found;

    if (page == NULL) {
        return;
    }
    found = dg_status_find(record);
    if (found != NULL) {
        dg_status_begin(&found->sequence);
        describe(found, connection);
        dg_status_end(&found->sequence);
    }
    dg_status_unlock();
}

/* What a connection has moved goes over to the totals, in one step for a reader. */
static void strike_out_connection(struct dg_page *page, uint32_t index)
{
    struct dg_page_connection *record = &page->connections[index];

    dg_status_begin(&page->closings);
    dg_status_begin(&record->sequence);
    for (int i = 0; i < DG_PAGE_DIRECTIONS; i++) {
        atomic_fetch_add(&page->counters.bytes[i], atomic_load(&record->bytes[i]));
        atomic_fetch_add(&page->counters.records[i], atomic_load(&record->records[i]));
    }
    atomic_fetch_add(&page->counters.key_updates, atomic_load(&record->key_updates));
    record->used = 0;
    dg_status_end(&record->sequence);
    dg_status_end(&page->closings);
    connections_taken[index] = 0;
}

static void strike_out_listener(struct dg_page *page, uint32_t index)
{
    struct dg_page_listener *record = &page->listeners[index];

    dg_status_begin(&record->sequence);
    record->used = 0;
    dg_status_end(&record->sequence);
    listeners_taken[index] = 0;
}

void dg_status_closed(dg_status_record record)
{
    uint32_t index = record & DG_STATUS_INDEX;
    struct dg_page *page = is_current(record) ? dg_status_lock_existing() : NULL;

    if (page == NULL) {
        return;
    }
    if (index == DG_STATUS_UNLISTED) {
        atomic_fetch_sub(&page->counters.unlisted, 1);
    } else if (index < DG_PAGE_CONNECTIONS) {
        strike_out_connection(page, index);
    } else if ((index ^ LISTENER_BIT) < DG_PAGE_LISTENERS) {
        strike_out_listener(page, index ^ LISTENER_BIT);
    }
    dg_status_unlock();
}

void dg_status_moved_unlisted(dg_status_record record, enum dg_page_direction direction,
                              uint64_t bytes)
{
    struct dg_page *page = is_current(record) ? dg_status_counters() : NULL;

    if (page != NULL) {
        atomic_fetch_add(&page->counters.bytes[direction], bytes);
    }
}

void dg_status_admitted(enum dg_page_role role, enum dg_page_direction direction)
{
    struct dg_page *page = dg_status_counters();

    if (page != NULL) {
        atomic_fetch_add(&page->counters.admitted[role][direction], 1);
    }
}

/* --- listeners --- */

dg_status_record dg_status_listening(enum dg_page_role role, const char *asked, const char *bound)
{
    struct dg_page *page = dg_status_lock();
    struct dg_page_listener *listener;
    dg_status_record record = 0;
    uint32_t index;

    if (page == NULL) {
        return 0;
    }
    index = take(listeners_taken, DG_PAGE_LISTENERS, &page->listener_count);
    if (index < DG_PAGE_LISTENERS) {
        listener = &page->listeners[index];
        dg_status_begin(&listener->sequence);
        listener->used = 1;
        listener->role = role;
        dg_status_text(listener->asked, sizeof listener->asked, asked);
        dg_status_text(listener->bound, sizeof listener->bound, bound);
        dg_status_end(&listener->sequence);
        record = handle(index | LISTENER_BIT);
    }
    dg_status_unlock();
    return record;
}

/* --- peers --- */

/* The page's lock is held, so that records may be read as they are. */
static bool is_plaintext_peer(const struct dg_page_plaintext_peer *record,
                              const struct dg_status_peer *peer, enum dg_page_rule rule)
{
    return record->used && record->role == peer->role && record->direction == peer->direction &&
           record->rule == rule &&
           strncmp(record->address, peer->address, DG_PAGE_ADDRESS - 1) == 0 &&
           strncmp(record->node, peer->node, DG_PAGE_NODE - 1) == 0;
}

/* The peer's record, else the next that was never used, else the one not seen for longest. */
static struct dg_page_plaintext_peer *
plaintext_record(struct dg_page *page, const struct dg_status_peer *peer, enum dg_page_rule rule)
{
    struct dg_page_plaintext_peer *oldest = page->plaintext_peers;
    uint32_t used = atomic_load(&page->plaintext_peer_count);

    for (uint32_t i = 0; i < used; i++) {
        struct dg_page_plaintext_peer *record = &page->plaintext_peers[i];

        if (is_plaintext_peer(record, peer, rule)) {
            return record;
        }
        oldest = record->last_seen < oldest->last_seen ? record : oldest;
    }
    if (used < DG_PAGE_PLAINTEXT_PEERS) {
        atomic_store(&page->plaintext_peer_count, used + 1);
        return &page->plaintext_peers[used];
    }
    return oldest;
}

void dg_status_plaintext(const struct dg_status_peer *peer, enum dg_page_rule rule)
{
    struct dg_status_peer named = *peer;
    struct dg_page *page = dg_status_lock();
    struct dg_page_plaintext_peer *record;

    if (page == NULL) {
        return;
    }
    named.node = peer->node != NULL ? peer->node : "";
    atomic_fetch_add(&page->counters.plaintext[rule], 1);
    record = plaintext_record(page, &named, rule);
    dg_status_begin(&record->sequence);
    record->count = is_plaintext_peer(record, &named, rule) ? record->count + 1 : 1;
    record->used = 1;
    record->role = named.role;
    record->direction = named.direction;
    record->rule = rule;
    record->last_seen = dg_status_now();
    dg_status_text(record->address, sizeof record->address, named.address);
    dg_status_text(record->node, sizeof record->node, named.node);
    dg_status_end(&record->sequence);
    dg_status_unlock();
}

static bool is_refused_peer(const struct dg_page_refused *record, const struct dg_status_peer *peer,
                            enum dg_page_refusal refusal)
{
    return record->used && record->refusal == refusal && record->role == peer->role &&
           record->direction == peer->direction &&
           strncmp(record->address, peer->address, DG_PAGE_ADDRESS - 1) == 0;
}

static struct dg_page_refused *refused_record(struct dg_page *page,
                                              const struct dg_status_peer *peer,
                                              enum dg_page_refusal refusal)
{
    struct dg_page_refused *oldest = page->refused;
    uint32_t used = atomic_load(&page->refused_count);

    for (uint32_t i = 0; i < used; i++) {
        struct dg_page_refused *record = &page->refused[i];

        if (is_refused_peer(record, peer, refusal)) {
            return record;
        }
        oldest = record->last_seen < oldest->last_seen ? record : oldest;
    }
    if (used < DG_PAGE_REFUSALS) {
        atomic_store(&page->refused_count, used + 1);
        return &page->refused[used];
    }
    return oldest;
}

void dg_status_refused(const struct dg_status_peer *peer, enum dg_page_refusal refusal,
                       const char *reason)
{
    struct dg_page *page = dg_status_lock();
    struct dg_page_refused *record;

    if (page == NULL) {
        return;
    }
    atomic_fetch_add(&page->counters.refused[refusal], 1);
    record = refused_record(page, peer, refusal);
    dg_status_begin(&record->sequence);
    record->count = is_refused_peer(record, peer, refusal) ? record->count + 1 : 1;
    record->used = 1;
    record->role = peer->role;
    record->direction = peer->direction;
    record->refusal = refusal;
    record->last_seen = dg_status_now();
    dg_status_text(record->address, sizeof record->address, peer->address);
    dg_status_text(record->node, sizeof record->node, peer->node);
    dg_status_text(record->reason, sizeof record->reason, reason);
    dg_status_end(&record->sequence);
    dg_status_unlock();
}
