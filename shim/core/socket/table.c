#include "shim/core/socket/table.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shim/core/elapsed.h"
#include "shim/core/rules.h"
#include "shim/core/socket/joining.h"
#include "shim/core/socket/naming.h"

enum { SOCKETS_PER_SLAB = 64 };

void *_Atomic dg_table[DG_TABLE_SIZE];
static atomic_int table_end;

/* The greatest serial of those sockets that a number stood for when it was closed. */
static _Atomic uint64_t closed[DG_TABLE_SIZE];

static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dg_socket *free_sockets; /* under free_lock */
static uint64_t last_serial;           /* under free_lock */
static pid_t owner;                    /* the process that the table describes */

/* 1; in memory that the kernel empties for every child that gets memory of its own, however it is
 * made. Where there is none, it stays 1 in a child, too. */
static atomic_int ours_for_good = 1;
static atomic_int *ours = &ours_for_good;
static void (*on_bare_fork)(void);

static void disown(struct dg_socket *socket)
{
    if (socket->channel != NULL) {
        socket->gathering = (struct dg_gathering){0};
        socket->role = DG_ROLE_FOREIGN;
        socket->channel = NULL;
    }
}

/* In a child: a thread of the parent may have been about to change or free any of what the socket
 * owns, so that the child lets all of it lie. A plaintext peer that has not said its name goes
 * unnamed. */
static void leave_to_parent(struct dg_socket *socket)
{
    disown(socket);
    socket->joining = NULL;
    socket->request = NULL;
    socket->node = NULL;
    socket->naming = NULL;
    if (socket->role == DG_ROLE_PLAIN_NAMING) {
        socket->role = DG_ROLE_PLAIN;
    }
}

/*
 * A child of fork(2) has our table and none of our threads: any lock may have been held. Its
 * guarded connections belong to the parent, whose record sequence numbers it would destroy: it may
 * close them and nothing else.
 */
static void forked(void)
{
    owner = getpid();
    atomic_store(ours, 1);
    pthread_mutex_init(&free_lock, NULL);
    /* A thread that was late to find one may have held its lock for a moment. */
    for (struct dg_socket *socket = free_sockets; socket != NULL; socket = socket->next_free) {
        pthread_mutex_init(&socket->lock, NULL);
    }
    for (int fd = 0; fd < dg_table_end(); fd++) {
        struct dg_socket *socket = atomic_load(&dg_table[fd]);

        if (socket != NULL) {
            pthread_mutex_init(&socket->lock, NULL);
            leave_to_parent(socket);
        }
    }
}

void dg_table_disown(void)
{
    struct timespec limit = dg_in_a_second();

    for (int fd = 0; fd < dg_table_end(); fd++) {
        struct dg_socket *socket = atomic_load(&dg_table[fd]);

        if (socket != NULL && pthread_mutex_timedlock(&socket->lock, &limit) == 0) {
            if (socket->role == DG_ROLE_GUARDED) {
                (void)dg_gathering_send(socket, fd);
            }
            disown(socket);
            pthread_mutex_unlock(&socket->lock);
        }
    }
}

/* No socket may be half recycled when the child looks at the list. */
static void before_fork(void)
{
    pthread_mutex_lock(&free_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&free_lock);
}

static void forked_with_handlers(void)
{
    after_fork();
    forked();
}

/* In a child whose maker has passed by the fork handlers: _Fork(3), clone(2). */
static void forked_bare(void)
{
    forked();
    if (on_bare_fork != NULL) {
        on_bare_fork();
    }
}

/* A kernel before Linux 4.14 does not empty memory: then such children are not noticed. */
static void notice_bare_forks(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        return;
    }
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        (void)munmap(page, size);
        return;
    }
    ours = page;
    atomic_store(ours, 1);
}

int dg_table_start(void)
{
    owner = getpid();
    notice_bare_forks();
    return pthread_atfork(before_fork, after_fork, forked_with_handlers);
}

void dg_table_at_bare_fork(void (*handler)(void))
{
    on_bare_fork = handler;
}

bool dg_table_is_ours(void)
{
    return getpid() == owner;
}

/* With free_lock held. */
static bool add_slab(void)
{
    struct dg_socket *slab = calloc(SOCKETS_PER_SLAB, sizeof *slab);

    if (slab == NULL) {
        return false;
    }
    for (int i = 0; i < SOCKETS_PER_SLAB; i++) {
        pthread_mutex_init(&slab[i].lock, NULL);
        slab[i].next_free = free_sockets;
        free_sockets = &slab[i];
    }
    return true;
}

static struct dg_socket *take_free(void)
{
    struct dg_socket *socket = NULL;

    pthread_mutex_lock(&free_lock);
    if (free_sockets != NULL || add_slab()) {
        socket = free_sockets;
        free_sockets = socket->next_free;
        socket->serial = ++last_serial;
    }
    pthread_mutex_unlock(&free_lock);
    return socket;
}

static void give_back(struct dg_socket *socket)
{
    pthread_mutex_lock(&free_lock);
    socket->next_free = free_sockets;
    free_sockets = socket;
    pthread_mutex_unlock(&free_lock);
}

static void reset(struct dg_socket *socket, enum dg_role role)
{
    socket->next_free = NULL;
    socket->descriptors = 1;
    socket->role = role;
    socket->incoming = false;
    socket->epmd = false;
    socket->foreign = false;
    socket->expected = false;
    socket->adopted = false;
    socket->proxied = false;
    socket->port = 0;
    socket->backlog = 0;
    socket->first_size = 0;
    socket->first_kept = 0;
    socket->peer = (struct sockaddr_storage){0};
    socket->channel = NULL;
    socket->request = NULL;
    socket->rules = dg_rules_hold();
    socket->plain_by = NULL;
    socket->node = NULL;
    socket->admitted = false;
    socket->joining = NULL;
    socket->naming = NULL;
    socket->gathering = (struct dg_gathering){0};
    socket->status = 0;
}

/* What the socket has of its own. */
static void clear(struct dg_socket *socket)
{
    dg_channel_free(socket->channel);
    socket->channel = NULL;
    free(socket->request);
    socket->request = NULL;
    free(socket->node);
    socket->node = NULL;
    dg_joining_free(socket->joining);
    socket->joining = NULL;
    dg_naming_free(socket->naming);
    socket->naming = NULL;
    dg_buffer_clear(&socket->gathering.held);
    dg_rules_release(socket->rules);
    socket->rules = NULL;
    dg_status_closed(socket->status);
    socket->status = 0;
}

static void raise_end(int fd)
{
    int end = atomic_load(&table_end);

    while (fd >= end && !atomic_compare_exchange_weak(&table_end, &end, fd + 1)) {
    }
}

int dg_table_end(void)
{
    return atomic_load(&table_end);
}

enum dg_role dg_table_role(int fd)
{
    struct dg_socket *socket = atomic_load(&dg_table[fd]);

    return socket != NULL ? socket->role : DG_ROLE_NEW;
}

void dg_table_evict(int fd)
{
    struct dg_socket *stale = dg_table_lock(fd);

    if (stale != NULL) {
        dg_table_close(fd, stale);
    }
}

struct dg_socket *dg_table_watch(int fd, enum dg_role role)
{
    struct dg_socket *socket;

    if (fd < 0 || fd >= DG_TABLE_SIZE) {
        errno = EMFILE;
        return NULL;
    }
    dg_table_evict(fd);
    socket = take_free();
    if (socket == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_lock(&socket->lock);
    reset(socket, role);
    raise_end(fd);
    atomic_store(&dg_table[fd], socket);
    return socket;
}

struct dg_socket *dg_table_lock(int fd)
{
    if (fd < 0 || fd >= DG_TABLE_SIZE) {
        return NULL;
    }
    if (__builtin_expect(atomic_load_explicit(ours, memory_order_relaxed) == 0, 0)) {
        forked_bare();
    }
    for (;;) {
        struct dg_socket *socket = atomic_load(&dg_table[fd]);

        if (socket == NULL) {
            return NULL;
        }
        pthread_mutex_lock(&socket->lock);
        if (atomic_load(&dg_table[fd]) == socket) {
            return socket;
        }
        pthread_mutex_unlock(&socket->lock);
    }
}

bool dg_table_lock_same(int fd, uint64_t *serial, struct dg_socket **socket)
{
    *socket = dg_table_lock(fd);
    if (*serial == 0) {
        *serial = *socket != NULL ? (*socket)->serial : 0;
        return true;
    }
    if (*socket == NULL) {
        return atomic_load(&closed[fd]) < *serial; /* or it was decided that it is not ours */
    }
    if ((*socket)->serial == *serial) {
        return true;
    }
    dg_table_unlock(*socket);
    *socket = NULL;
    return false;
}

bool dg_table_try_lock(int fd, const struct dg_socket *held, struct dg_socket **socket)
{
    *socket = fd >= 0 && fd < DG_TABLE_SIZE ? atomic_load(&dg_table[fd]) : NULL;
    if (*socket == NULL || *socket == held) {
        return true;
    }
    if (pthread_mutex_trylock(&(*socket)->lock) != 0) {
        return false;
    }
    if (atomic_load(&dg_table[fd]) == *socket) {
        return true;
    }
    dg_table_unlock(*socket);
    return false;
}

void dg_table_unlock(struct dg_socket *socket)
{
    pthread_mutex_unlock(&socket->lock);
}

/* One number less stands for it. Unlocks it. */
static void release(struct dg_socket *socket)
{
    bool last = --socket->descriptors == 0;

    if (last) {
        clear(socket);
    }
    pthread_mutex_unlock(&socket->lock);
    if (last) {
        give_back(socket);
    }
}

void dg_table_forget(int fd, struct dg_socket *socket)
{
    atomic_store(&dg_table[fd], NULL);
    release(socket);
}

static void note_closed(int fd, uint64_t serial)
{
    uint64_t known = atomic_load(&closed[fd]);

    while (known < serial && !atomic_compare_exchange_weak(&closed[fd], &known, serial)) {
    }
}

void dg_table_close(int fd, struct dg_socket *socket)
{
    note_closed(fd, socket->serial);
    dg_table_forget(fd, socket);
}

void dg_table_replace(int fd, struct dg_socket *socket, struct dg_socket *by)
{
    note_closed(fd, socket->serial);
    if (by != NULL) {
        (void)dg_table_share(by, fd);
    } else {
        atomic_store(&dg_table[fd], NULL);
    }
    release(socket);
}

bool dg_table_share(struct dg_socket *socket, int copy)
{
    if (copy < 0 || copy >= DG_TABLE_SIZE) {
        return false;
    }
    socket->descriptors++;
    raise_end(copy);
    atomic_store(&dg_table[copy], socket);
    return true;
}

void dg_table_unshare(struct dg_socket *socket, int copy)
{
    atomic_store(&dg_table[copy], NULL);
    socket->descriptors--;
}
