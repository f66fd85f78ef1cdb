#include "cli/status/observe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/status/why.h"

#define LINK "/memfd:" DG_PAGE_NAME " (deleted)"

void dg_observed_clean(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
}

/* --- the page --- */

/* A search for the page of one process. */
struct search {
    int process;
    pid_t own_pid;
    struct dg_page *page;
    enum dg_snapshot_verdict verdict; /* of the best that was found */
};

static bool is_page(int directory, const char *name)
{
    char target[sizeof LINK + 1];
    ssize_t size = readlinkat(directory, name, target, sizeof target);

    return size == (ssize_t)(sizeof LINK - 1) && memcmp(target, LINK, sizeof LINK - 1) == 0;
}

/* True when there is nothing better to be found. */
static bool try_page(struct search *search, int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    enum dg_snapshot_verdict verdict;

    if (fd < 0) {
        return false;
    }
    verdict = dg_snapshot_read(fd, search->page);
    (void)close(fd);
    /* A forked child may hold its parent's as well. */
    if (verdict == DG_SNAPSHOT_NO_PAGE || search->page->header.pid != search->own_pid) {
        return false;
    }
    search->verdict = verdict;
    return verdict == DG_SNAPSHOT_TAKEN;
}

static bool search_descriptors(struct search *search)
{
    int directory = openat(search->process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = directory >= 0 ? fdopendir(directory) : NULL;
    const struct dirent *entry;
    bool found = false;

    if (entries == NULL) {
        return false;
    }
    while (!found && (entry = readdir(entries)) != NULL) {
        found = is_page(directory, entry->d_name) && try_page(search, directory, entry->d_name);
    }
    (void)closedir(entries);
    return found;
}

/* Where the program has closed the descriptor: the mapping is there all the same, but the kernel
 * shows mappings only to who has CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
static bool search_mappings(struct search *search)
{
    size_t size;
    char *maps = dg_proc_read(search->process, "maps", &size);
    char *rest = NULL;
    bool found = false;

    for (char *line = maps != NULL ? strtok_r(maps, "\n", &rest) : NULL; line != NULL && !found;
         line = strtok_r(NULL, "\n", &rest)) {
        char *dash;
        unsigned long first = strtoul(line, &dash, 16);
        char name[64];

        if (*dash == '-' && strstr(line, LINK) != NULL) {
            /* In map_files they have no leading zeros. */
            (void)snprintf(name, sizeof name, "map_files/%lx-%lx", first,
                           strtoul(dash + 1, NULL, 16));
            found = try_page(search, search->process, name);
        }
    }
    free(maps);
    return found;
}

/* --- the files --- */

static enum dg_file_state compare(int process, const struct dg_page_file *file)
{
    struct stat status;

    if (dg_proc_stat(process, file->path, &status) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? DG_FILE_GONE : DG_FILE_UNKNOWN;
    }
    return status.st_dev == file->device && status.st_ino == file->inode &&
                   status.st_size == file->size &&
                   (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec ==
                       file->modified
               ? DG_FILE_SAME
               : DG_FILE_CHANGED;
}

enum dg_file_state dg_observed_policy(const struct dg_observed *observed)
{
    enum dg_file_state worst = DG_FILE_SAME;

    for (uint32_t i = 0; i < observed->page->process.file_count; i++) {
        if (observed->files[i] == DG_FILE_CHANGED || observed->files[i] == DG_FILE_GONE) {
            return observed->files[i];
        }
        if (observed->files[i] == DG_FILE_UNKNOWN) {
            worst = DG_FILE_UNKNOWN;
        }
    }
    return worst;
}

bool dg_observed_days_left(const struct dg_observed *observed, long *days)
{
    dg_page_time expires = observed->page != NULL ? observed->page->process.certificate_expires : 0;
    int64_t seconds = expires / 1000 - (int64_t)time(NULL);

    *days = (long)(seconds / 86400 - (seconds < 0 ? 1 : 0));
    return expires > 0;
}

uint64_t dg_observed_plaintext(const struct dg_observed *observed)
{
    return observed->page->counters.plaintext[DG_PAGE_ALLOW] +
           observed->page->counters.plaintext[DG_PAGE_PREFER];
}

/* --- processes --- */

/* The three that distguard is for, as the library itself knows them. */
static bool is_candidate(const char *program)
{
    return strcmp(program, "epmd") == 0 || strcmp(program, "erl_call") == 0 ||
           strcmp(program, "beam") == 0 || strncmp(program, "beam.", 5) == 0;
}

/* Other programs are guarded where their own environment names them. */
static bool is_chosen(int process, const char *program)
{
    size_t size;
    char *environment = dg_proc_read(process, "environ", &size);
    const char *list =
        environment != NULL ? dg_proc_variable(environment, size, "DISTGUARD_PROGRAMS") : NULL;
    bool chosen = false;

    while (list != NULL && *list != '\0' && !chosen) {
        size_t part = strcspn(list, ":");

        chosen = part == strlen(program) && memcmp(list, program, part) == 0;
        list += part + (list[part] == ':' ? 1 : 0);
    }
    free(environment);
    return chosen;
}

static void look_at_page(int process, struct dg_observed *observed)
{
    struct search search = {.process = process,
                            .own_pid = dg_proc_own_pid(process),
                            .page = calloc(1, sizeof *search.page),
                            .verdict = DG_SNAPSHOT_NO_PAGE};

    if (search.own_pid == 0) {
        search.own_pid = observed->pid; /* a kernel without PID namespaces */
    }
    if (search.page == NULL) {
        (void)dg_fail(&observed->why, "out of memory");
        observed->guard = DG_GUARD_UNKNOWN;
        return;
    }
    if (search_descriptors(&search) || search_mappings(&search)) {
        observed->guard = DG_GUARDED;
        observed->page = search.page;
        for (uint32_t i = 0; i < search.page->process.file_count; i++) {
            observed->files[i] = compare(process, &search.page->process.files[i]);
        }
        return;
    }
    observed->guard = dg_why_not(process, observed, search.verdict, search.page->header.version);
    free(search.page);
}

/* Whether it is to be reported. */
static bool look_at(int process, bool named, struct dg_observed *observed)
{
    if (dg_proc_program(process, observed->program) == 0) {
        if (!named && !is_candidate(observed->program) && !is_chosen(process, observed->program)) {
            return false;
        }
        look_at_page(process, observed);
    } else if (errno == EACCES || errno == EPERM) {
        dg_proc_comm(process, observed->program);
        if (!named && !is_candidate(observed->program)) {
            return false;
        }
        observed->guard = DG_GUARD_UNKNOWN;
        (void)dg_fail(&observed->why, DG_WHY_NOT_PERMITTED);
    } else {
        return false; /* a thread of the kernel's, or it has ended meanwhile */
    }
    dg_observed_clean(observed->program);
    dg_observed_clean(observed->why.text);
    return true;
}

static int add(struct dg_observations *all, pid_t pid, int process, bool named,
               struct dg_error *error)
{
    struct dg_observed observed = {.pid = pid};
    struct dg_observed *larger;

    if (!look_at(process, named, &observed)) {
        return named ? dg_fail(error, "process %ld runs no program", (long)pid) : 0;
    }
    larger = realloc(all->processes, (all->count + 1) * sizeof *larger);
    if (larger == NULL) {
        free(observed.page);
        return dg_fail(error, "out of memory");
    }
    all->processes = larger;
    all->processes[all->count++] = observed;
    return 0;
}

/* False where it has ended. */
static bool look_anew(struct dg_observed *observed)
{
    struct dg_observed fresh = {.pid = observed->pid};
    int process = dg_proc_open(observed->pid);
    bool there = process >= 0 && look_at(process, true, &fresh);

    if (process >= 0) {
        (void)close(process);
    }
    *observed = fresh;
    return there;
}

/* Who is not guarded may be about to be, its library not yet through with its start, or be about to
 * end: monitoring is not to be alarmed by either. */
static void look_twice(struct dg_observations *all)
{
    const struct timespec pause = {.tv_nsec = 300000000};
    bool paused = false;
    size_t kept = 0;

    for (size_t i = 0; i < all->count; i++) {
        struct dg_observed observed = all->processes[i];

        if (observed.guard != DG_GUARDED) {
            if (!paused) {
                (void)nanosleep(&pause, NULL);
            }
            paused = true;
            if (!look_anew(&observed)) {
                continue;
            }
        }
        all->processes[kept++] = observed;
    }
    all->count = kept;
}

int dg_observe(const pid_t *pids, size_t count, struct dg_observations *all, struct dg_error *error)
{
    for (size_t i = 0; i < count; i++) {
        int process = dg_proc_open(pids[i]);
        int result;

        if (process < 0) {
            return dg_fail(error, "process %ld: %s", (long)pids[i],
                           errno == ENOENT ? "there is none" : strerror(errno));
        }
        result = add(all, pids[i], process, true, error);
        (void)close(process);
        if (result != 0) {
            return -1;
        }
    }
    look_twice(all);
    return all->count == count ? 0 : dg_fail(error, "a process has ended while it was looked at");
}

static int by_pid(const void *a, const void *b)
{
    const struct dg_observed *first = a;
    const struct dg_observed *second = b;

    return (first->pid > second->pid) - (first->pid < second->pid);
}

int dg_observe_all(struct dg_observations *all, struct dg_error *error)
{
    DIR *entries = opendir("/proc");
    const struct dirent *entry;
    int result = 0;

    if (entries == NULL) {
        return dg_fail(error, "/proc cannot be read: %s", strerror(errno));
    }
    while (result == 0 && (entry = readdir(entries)) != NULL) {
        pid_t pid = dg_proc_number(entry->d_name);
        int process = pid > 0 ? dg_proc_open(pid) : -1;

        if (process >= 0) {
            result = add(all, pid, process, false, error);
            (void)close(process);
        }
    }
    (void)closedir(entries);
    look_twice(all);
    if (all->count > 0) {
        qsort(all->processes, all->count, sizeof all->processes[0], by_pid);
    }
    return result;
}

void dg_observations_free(struct dg_observations *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->processes[i].page);
    }
    free(all->processes);
}
