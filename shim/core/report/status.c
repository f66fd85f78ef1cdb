/* The status page itself: its memory, its descriptor, the process's facts. */
#include "shim/core/report/status_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/abi.h"

/* Since Linux 6.3, which warns of memory that does not say whether it may be executed. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

struct dg_page *_Atomic dg_status_page;
_Atomic uint32_t dg_status_epoch = 1; /* 1 to 0xffff: it is the upper half of a record's handle */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Under the lock. The facts are kept apart from the page, for the page of a forked child. */
static struct dg_page_process facts;
static int descriptor = -1;
static struct stat identity; /* of what the descriptor stands for */

dg_page_time dg_status_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (dg_page_time)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void dg_status_text(char *field, size_t size, const char *text)
{
    (void)snprintf(field, size, "%s", text != NULL ? text : "");
}

/* --- sequences --- */

void dg_status_begin(dg_page_sequence *sequence)
{
    uint32_t even = atomic_load_explicit(sequence, memory_order_relaxed) & ~UINT32_C(1);

    atomic_store_explicit(sequence, even + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

void dg_status_end(dg_page_sequence *sequence)
{
    uint32_t odd = atomic_load_explicit(sequence, memory_order_relaxed);

    atomic_store_explicit(sequence, odd + 1, memory_order_release);
}

/* --- the descriptor --- */

/* libc's functions are intercepted, and what they do to a number that was closed behind our back
 * takes the locks of sockets, of which the caller may hold one. */
static void raw_close(int fd)
{
    (void)syscall(SYS_close, fd);
}

static bool is_ours(int fd)
{
    struct stat found;

    return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == identity.st_dev &&
           found.st_ino == identity.st_ino;
}

/* Above those that programs count, hand to select(2) and close one by one; below the limit. */
static int out_of_the_way(int fd)
{
    enum { ABOVE_SELECT = 1024 };
    struct rlimit limit;
    long high;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return fd;
    }
    high = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC,
                   limit.rlim_cur > ABOVE_SELECT ? (long)ABOVE_SELECT
                                                 : (long)(limit.rlim_cur - limit.rlim_cur / 8));
    if (high < 0) {
        return fd;
    }
    raw_close(fd);
    return (int)high;
}

static int make_memory(void)
{
    int fd = memfd_create(DG_PAGE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    return fd >= 0 || errno != EINVAL ? fd
                                      : memfd_create(DG_PAGE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* Nobody can take it away under a reader; and (since Linux 5.1) nobody but us, who have it mapped
 * already, can write it. */
static void seal(int fd)
{
    enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

    if (syscall(SYS_fcntl, fd, F_ADD_SEALS, (long)(SEALS | F_SEAL_FUTURE_WRITE)) != 0) {
        (void)syscall(SYS_fcntl, fd, F_ADD_SEALS, (long)SEALS);
    }
}

/* Fresh memory with its descriptor; MAP_FAILED where there is none. */
static void *map_fresh(int *fd)
{
    void *memory;

    *fd = make_memory();
    if (*fd < 0) {
        return MAP_FAILED;
    }
    *fd = out_of_the_way(*fd);
    memory = ftruncate(*fd, sizeof(struct dg_page)) == 0
                 ? mmap(NULL, sizeof(struct dg_page), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0)
                 : MAP_FAILED;
    if (memory == MAP_FAILED) {
        raw_close(*fd);
    } else {
        seal(*fd);
    }
    return memory;
}

static void adopt(int fd)
{
    descriptor = fd;
    (void)fstat(fd, &identity);
}

/* --- the page --- */

static void publish_facts(struct dg_page *page)
{
    struct dg_page_process *process = &page->process;
    const size_t behind = offsetof(struct dg_page_process, file_count);

    dg_status_begin(&process->sequence);
    memcpy((char *)process + behind, (const char *)&facts + behind, sizeof facts - behind);
    dg_status_end(&process->sequence);
}

static struct dg_page *make_page(void)
{
    int fd;
    struct dg_page *page = map_fresh(&fd);

    if (page == MAP_FAILED) {
        return NULL;
    }
    adopt(fd);
    page->header = (struct dg_page_header){
        .layout = DG_PAGE_LAYOUT, .size = sizeof *page, .pid = (int32_t)getpid()};
    dg_status_text(page->header.version, sizeof page->header.version, DG_VERSION);
    facts.started = dg_status_now();
    publish_facts(page);
    /* Last: without it the page is none. */
    atomic_thread_fence(memory_order_release);
    memcpy(page->header.magic, DG_PAGE_MAGIC, sizeof page->header.magic);
    atomic_store(&dg_status_page, page);
    return page;
}

/*
 * The descriptor was closed by somebody else, and its number may be somebody else's by now: it is
 * left alone. The memory has no name any more, so that other memory takes its place, at the same
 * address. What other threads count while it is copied is lost.
 */
static void replace_descriptor(struct dg_page *page)
{
    uint32_t used = atomic_load(&page->connection_count);
    int fd;
    void *fresh = map_fresh(&fd);

    if (fresh == MAP_FAILED) {
        return;
    }
    memcpy(fresh, page, offsetof(struct dg_page, connections) + used * sizeof page->connections[0]);
    if (mremap(fresh, sizeof *page, sizeof *page, MREMAP_MAYMOVE | MREMAP_FIXED, page) ==
        MAP_FAILED) {
        (void)munmap(fresh, sizeof *page);
        raw_close(fd);
        return;
    }
    adopt(fd);
}

struct dg_page *dg_status_counters(void)
{
    return atomic_load_explicit(&dg_status_page, memory_order_acquire);
}

struct dg_page *dg_status_lock_existing(void)
{
    struct dg_page *page;

    pthread_mutex_lock(&lock);
    page = dg_status_counters();
    if (page == NULL) {
        pthread_mutex_unlock(&lock);
    }
    return page;
}

struct dg_page *dg_status_lock(void)
{
    int saved = errno;
    struct dg_page *page;

    pthread_mutex_lock(&lock);
    page = dg_status_counters();
    if (page == NULL && facts.generation > 0) {
        page = make_page();
    } else if (page != NULL && !is_ours(descriptor)) {
        replace_descriptor(page);
    }
    if (page == NULL) {
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return page;
}

void dg_status_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* Not ours to write, nor to keep. */
void dg_status_forked(void)
{
    struct dg_page *parents = dg_status_counters();

    pthread_mutex_init(&lock, NULL);
    atomic_store(&dg_status_page, NULL);
    atomic_store(&dg_status_epoch, atomic_load(&dg_status_epoch) % 0xffff + 1);
    if (parents != NULL) {
        (void)munmap(parents, sizeof *parents);
    }
    if (is_ours(descriptor)) {
        raw_close(descriptor);
    }
    descriptor = -1;
    dg_status_tables_forked();
}

int dg_status_start(const char *program)
{
    dg_status_text(facts.program, sizeof facts.program, program);
    return pthread_atfork(NULL, NULL, dg_status_forked);
}

/* --- the policy --- */

static void remember_file(const char *path)
{
    struct dg_page_file *file = &facts.files[facts.file_count];
    struct stat status;

    *file = (struct dg_page_file){.size = -1};
    dg_status_text(file->path, sizeof file->path, path);
    if (stat(path, &status) == 0) {
        file->device = status.st_dev;
        file->inode = status.st_ino;
        file->size = status.st_size;
        file->modified = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    }
    facts.file_count++;
}

static void remember_files(const struct dg_policy *policy)
{
    facts.file_count = 0;
    remember_file(policy->file);
    for (size_t i = 0; i < policy->files.count && facts.file_count < DG_PAGE_FILES; i++) {
        if (strcmp(policy->files.strings[i], policy->file) != 0) {
            remember_file(policy->files.strings[i]);
        }
    }
}

void dg_status_policy(const struct dg_policy *policy, uint64_t generation,
                      int64_t certificate_expires)
{
    struct dg_page *page;
    int saved = errno;

    pthread_mutex_lock(&lock);
    facts.generation = generation;
    facts.loaded = dg_status_now();
    facts.certificate_expires = certificate_expires * 1000;
    dg_status_text(facts.mode, sizeof facts.mode, dg_mode_name(policy->mode));
    dg_status_text(facts.profile, sizeof facts.profile, policy->profile);
    dg_status_text(facts.certificate, sizeof facts.certificate, policy->tls.certificate);
    remember_files(policy);
    pthread_mutex_unlock(&lock);
    page = dg_status_lock();
    if (page != NULL) {
        publish_facts(page);
        if (generation > 1) {
            atomic_fetch_add(&page->counters.reloads, 1);
        }
        dg_status_unlock();
    }
    errno = saved;
}

void dg_status_reload_failed(void)
{
    struct dg_page *page = dg_status_counters();

    if (page != NULL) {
        atomic_fetch_add(&page->counters.failed_reloads, 1);
    }
}

void dg_status_line_dropped(void)
{
    struct dg_page *page = dg_status_counters();

    if (page != NULL) {
        atomic_fetch_add(&page->counters.lines_dropped, 1);
    }
}
