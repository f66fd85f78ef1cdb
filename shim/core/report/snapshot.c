#include "shim/core/report/snapshot.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* How often a record that changes under us is tried again. A writer needs less than a microsecond,
 * unless it was stopped in the middle. */
enum { TRIES = 200, TRIES_AT_ONCE = 50, TRIES_OF_ALL = 5 };

static const char *const roles[DG_PAGE_ROLES] = {"distribution", "epmd"};
static const char *const directions[DG_PAGE_DIRECTIONS] = {"in", "out"};
static const char *const states[DG_PAGE_STATES] = {"handshake", "open", "plaintext"};
static const char *const rules[DG_PAGE_RULES] = {"local", "allow", "prefer"};
static const char *const refusals[DG_PAGE_REFUSAL_CLASSES] = {
    [DG_REFUSED_ADDRESS] = "address",         [DG_REFUSED_PLAINTEXT] = "plaintext",
    [DG_REFUSED_CERTIFICATE] = "certificate", [DG_REFUSED_TLS] = "tls",
    [DG_REFUSED_TIMEOUT] = "timeout",         [DG_REFUSED_LIMIT] = "limit",
    [DG_REFUSED_REQUEST] = "request",         [DG_REFUSED_OTHER] = "other",
};

const char *dg_snapshot_role(uint32_t value)
{
    return roles[value];
}

const char *dg_snapshot_direction(uint32_t value)
{
    return directions[value];
}

const char *dg_snapshot_state(uint32_t value)
{
    return states[value];
}

const char *dg_snapshot_rule(uint32_t value)
{
    return rules[value];
}

const char *dg_snapshot_refusal(uint32_t value)
{
    return refusals[value];
}

/* --- what is not trusted --- */

/* Ends a string, and leaves no byte in it that a terminal, or a parser, could stumble over. */
static void sanitize(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *c = text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

#define SANITIZE(field) sanitize(field, sizeof(field))

static void check_process(struct dg_page_process *process)
{
    if (process->file_count > DG_PAGE_FILES) {
        process->file_count = DG_PAGE_FILES;
    }
    SANITIZE(process->program);
    SANITIZE(process->mode);
    SANITIZE(process->profile);
    SANITIZE(process->certificate);
    for (uint32_t i = 0; i < process->file_count; i++) {
        SANITIZE(process->files[i].path);
    }
}

static void check_listener(void *record, bool whole)
{
    struct dg_page_listener *listener = record;

    listener->used = whole && listener->used == 1 && listener->role < DG_PAGE_ROLES;
    SANITIZE(listener->asked);
    SANITIZE(listener->bound);
}

static void check_connection(void *record, bool whole)
{
    struct dg_page_connection *connection = record;

    connection->used = whole && connection->used == 1 && connection->role < DG_PAGE_ROLES &&
                       connection->direction < DG_PAGE_DIRECTIONS &&
                       connection->state < DG_PAGE_STATES;
    SANITIZE(connection->peer);
    SANITIZE(connection->node);
    SANITIZE(connection->certificate);
    SANITIZE(connection->version);
    SANITIZE(connection->cipher);
    SANITIZE(connection->group);
}

static void check_plaintext_peer(void *record, bool whole)
{
    struct dg_page_plaintext_peer *peer = record;

    peer->used = whole && peer->used == 1 && peer->role < DG_PAGE_ROLES &&
                 peer->direction < DG_PAGE_DIRECTIONS && peer->rule < DG_PAGE_RULES;
    SANITIZE(peer->address);
    SANITIZE(peer->node);
}

static void check_refused(void *record, bool whole)
{
    struct dg_page_refused *refused = record;

    refused->used = whole && refused->used == 1 && refused->role < DG_PAGE_ROLES &&
                    refused->direction < DG_PAGE_DIRECTIONS &&
                    refused->refusal < DG_PAGE_REFUSAL_CLASSES;
    SANITIZE(refused->address);
    SANITIZE(refused->node);
    SANITIZE(refused->reason);
}

/* --- copying --- */

/* Copies a record that begins with its sequence. False where it cannot be had whole. */
static bool copy_record(const void *record, size_t size, void *copy)
{
    const dg_page_sequence *sequence = record;

    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load_explicit(sequence, memory_order_acquire);

        if ((before & 1) == 0) {
            memcpy(copy, record, size);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(sequence, memory_order_relaxed) == before) {
                return true;
            }
        }
        if (i >= TRIES_AT_ONCE) {
            sched_yield();
        }
    }
    return false;
}

static void copy_counters(const dg_page_counter *from, size_t size, dg_page_counter *to)
{
    for (size_t i = 0; i < size / sizeof *from; i++) {
        atomic_store_explicit(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed),
                              memory_order_relaxed);
    }
}

static uint32_t copy_count(const _Atomic uint32_t *from, _Atomic uint32_t *to, uint32_t limit)
{
    uint32_t count = atomic_load(from);

    count = count < limit ? count : limit;
    atomic_store(to, count);
    return count;
}

/* Each record copied, then checked: one that cannot be had whole is left out. */
static void copy_table(const void *from, void *to, uint32_t count, size_t record_size,
                       void (*check)(void *record, bool whole))
{
    for (uint32_t i = 0; i < count; i++) {
        void *record = (char *)to + i * record_size;

        check(record, copy_record((const char *)from + i * record_size, record_size, record));
    }
}

/* Counters and connections, of one moment: what a connection moved is in one of them. A process
 * whose connections come and go faster than we can read is taken as it is. */
static void copy_connections(const struct dg_page *from, struct dg_page *page)
{
    for (int i = 0; i < TRIES_OF_ALL; i++) {
        uint32_t before = atomic_load_explicit(&from->closings, memory_order_acquire);

        copy_counters((const dg_page_counter *)&from->counters, sizeof from->counters,
                      (dg_page_counter *)&page->counters);
        copy_table(
            from->connections, page->connections,
            copy_count(&from->connection_count, &page->connection_count, DG_PAGE_CONNECTIONS),
            sizeof page->connections[0], check_connection);
        atomic_thread_fence(memory_order_acquire);
        if ((before & 1) == 0 &&
            atomic_load_explicit(&from->closings, memory_order_relaxed) == before) {
            return;
        }
    }
}

enum dg_snapshot_verdict dg_snapshot_copy(const void *mapped, size_t size, struct dg_page *page)
{
    const struct dg_page *from = mapped;

    if (size < sizeof from->header) {
        return DG_SNAPSHOT_NO_PAGE;
    }
    memcpy(&page->header, &from->header, sizeof page->header);
    SANITIZE(page->header.version);
    if (memcmp(page->header.magic, DG_PAGE_MAGIC, sizeof page->header.magic) != 0) {
        return DG_SNAPSHOT_NO_PAGE;
    }
    if (page->header.layout != DG_PAGE_LAYOUT || page->header.size != sizeof *page ||
        size < sizeof *page) {
        return DG_SNAPSHOT_OTHER_LAYOUT;
    }
    if (!copy_record(&from->process, sizeof from->process, &page->process)) {
        return DG_SNAPSHOT_BUSY;
    }
    check_process(&page->process);
    copy_table(from->listeners, page->listeners,
               copy_count(&from->listener_count, &page->listener_count, DG_PAGE_LISTENERS),
               sizeof page->listeners[0], check_listener);
    copy_table(from->plaintext_peers, page->plaintext_peers,
               copy_count(&from->plaintext_peer_count, &page->plaintext_peer_count,
                          DG_PAGE_PLAINTEXT_PEERS),
               sizeof page->plaintext_peers[0], check_plaintext_peer);
    copy_table(from->refused, page->refused,
               copy_count(&from->refused_count, &page->refused_count, DG_PAGE_REFUSALS),
               sizeof page->refused[0], check_refused);
    copy_connections(from, page);
    return DG_SNAPSHOT_TAKEN;
}

/* Whether reading it can never fail: memory of the kind that memfd_create makes (a device or a huge
 * page could), and sealed against being cut off while we read. */
static bool is_safe_to_map(int fd, const struct stat *status)
{
    struct statfs filesystem;
    int seals = fcntl(fd, F_GET_SEALS);

    return S_ISREG(status->st_mode) && status->st_size > 0 && fstatfs(fd, &filesystem) == 0 &&
           filesystem.f_type == TMPFS_MAGIC && seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

enum dg_snapshot_verdict dg_snapshot_read(int fd, struct dg_page *page)
{
    enum dg_snapshot_verdict verdict;
    struct stat status;
    size_t size;
    void *mapped;

    if (fstat(fd, &status) != 0 || !is_safe_to_map(fd, &status)) {
        return DG_SNAPSHOT_NO_PAGE;
    }
    size = (size_t)status.st_size < sizeof *page ? (size_t)status.st_size : sizeof *page;
    mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return DG_SNAPSHOT_NO_PAGE;
    }
    verdict = dg_snapshot_copy(mapped, size, page);
    (void)munmap(mapped, size);
    return verdict;
}

struct dg_snapshot_totals dg_snapshot_add_up(const struct dg_page *page)
{
    struct dg_snapshot_totals totals = {.key_updates = page->counters.key_updates};

    for (int i = 0; i < DG_PAGE_DIRECTIONS; i++) {
        totals.bytes[i] = page->counters.bytes[i];
        totals.records[i] = page->counters.records[i];
    }
    for (uint32_t i = 0; i < page->connection_count; i++) {
        const struct dg_page_connection *connection = &page->connections[i];

        if (connection->used) {
            for (int d = 0; d < DG_PAGE_DIRECTIONS; d++) {
                totals.bytes[d] += connection->bytes[d];
                totals.records[d] += connection->records[d];
            }
            totals.key_updates += connection->key_updates;
            totals.connections++;
        }
    }
    totals.connections += (unsigned)page->counters.unlisted;
    return totals;
}
