#include "cli/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libdistguard.so"

/* What ld.so(8) separates the entries of LD_PRELOAD by. */
static const char separators[] = " :";

static bool set_path(struct dg_library *library, const char *directory, size_t size)
{
    int needed =
        snprintf(library->path, sizeof library->path, "%.*s/" LIBRARY, (int)size, directory);

    return needed > 0 && (size_t)needed < sizeof library->path && access(library->path, F_OK) == 0;
}

static bool beside_tool(struct dg_library *library)
{
    char tool[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", tool, sizeof tool - 1);

    if (size <= 0)
        return false;
    tool[size] = '\0';
    return set_path(library, tool, (size_t)(strrchr(tool, '/') - tool));
}

static bool installed(struct dg_library *library)
{
    return set_path(library, DG_LIBDIR, strlen(DG_LIBDIR));
}

const char *dg_library_installed(void)
{
    return DG_LIBDIR "/" LIBRARY;
}

static int read_elf(struct dg_library *library, struct dg_error *error)
{
    int fd;
    int result;

    if (strpbrk(library->path, separators) != NULL)
        return dg_fail(error, "%s: LD_PRELOAD cannot hold a path with a blank or a colon: move it",
                       library->path);
    fd = open(library->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dg_fail(error, "%s cannot be read: %s", library->path, strerror(errno));
    result = dg_elf_read(fd, library->path, &library->elf, error);
    (void)close(fd);
    return result;
}

int dg_library_find(struct dg_library *library, struct dg_error *error)
{
    if (!beside_tool(library) && !installed(library))
        return dg_fail(error,
                       LIBRARY " is neither beside distguard nor in %s: build it (`make`), or "
                               "install it (`make install`)",
                       DG_LIBDIR);
    return read_elf(library, error);
}

int dg_library_read(struct dg_library *library, const char *path, struct dg_error *error)
{
    if (snprintf(library->path, sizeof library->path, "%s", path) >= (int)sizeof library->path)
        return dg_fail(error, "%.60s…: %s", path, strerror(ENAMETOOLONG));
    return read_elf(library, error);
}

static bool same_file(const char *a, const char *b)
{
    struct stat first;
    struct stat second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Returns 1 if ours is in `list` (which is cut up), 0 if not, -1 with `error` if another copy of it
 * is. */
static int already_listed(const struct dg_library *library, char *list, struct dg_error *error)
{
    char *rest = NULL;

    for (char *entry = strtok_r(list, separators, &rest); entry != NULL;
         entry = strtok_r(NULL, separators, &rest)) {
        if (entry[0] == '/' && same_file(entry, library->path))
            return 1;
        /* Two copies would each take the other's calls for the program's. */
        if (strcmp(base_name(entry), LIBRARY) == 0)
            return dg_fail(error, "LD_PRELOAD names another %s than %s: unset it", entry,
                           library->path);
    }
    return 0;
}

char *dg_library_add(const struct dg_library *library, const char *before, struct dg_error *error)
{
    char *list = strdup(before);
    char *value = NULL;
    int listed;

    if (list == NULL) {
        (void)dg_fail(error, "out of memory");
        return NULL;
    }
    listed = already_listed(library, list, error);
    free(list);
    if (listed < 0)
        return NULL;
    if (asprintf(&value, "%s%s%s", before, listed == 0 && before[0] != '\0' ? ":" : "",
                 listed == 0 ? library->path : "") < 0) {
        (void)dg_fail(error, "out of memory");
        return NULL;
    }
    return value;
}

int dg_library_preload(const struct dg_library *library, struct dg_error *error)
{
    const char *before = getenv("LD_PRELOAD");
    char *value = dg_library_add(library, before != NULL ? before : "", error);
    int result = 0;

    if (value == NULL)
        return -1;
    if (setenv("LD_PRELOAD", value, 1) != 0)
        result = dg_fail(error, "LD_PRELOAD cannot be set: %s", strerror(errno));
    free(value);
    return result;
}
