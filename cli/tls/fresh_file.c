#include "cli/tls/fresh_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

/* fchmod after a narrow open: the mode is exact under any umask and never wider in between. */
static int fill(int fd, const struct dg_fresh_file *file)
{
    if (fchmod(fd, file->mode) != 0 || write_all(fd, file->bytes, file->size) != 0)
        return -1;
    return fsync(fd);
}

static int write_one(int directory, const char *path, const struct dg_fresh_file *file,
                     struct dg_error *error)
{
    int fd = openat(directory, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    S_IRUSR | S_IWUSR);

    if (fd < 0 && errno == EEXIST)
        return dg_fail(error,
                       "%s/%s is there already and is never overwritten: choose another name or "
                       "directory, or move it away first",
                       path, file->name);
    if (fd < 0)
        return dg_fail(error, "%s/%s cannot be created: %s", path, file->name, strerror(errno));

    if (fill(fd, file) != 0) {
        (void)dg_fail(error, "%s/%s cannot be written: %s", path, file->name, strerror(errno));
        (void)unlinkat(directory, file->name, 0);
        (void)close(fd);
        return -1;
    }
    (void)close(fd);
    return 0;
}

int dg_fresh_files_write(int directory, const char *path, const struct dg_fresh_file *files,
                         size_t count, struct dg_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (write_one(directory, path, &files[i], error) == 0)
            continue;
        while (i-- > 0)
            (void)unlinkat(directory, files[i].name, 0);
        return -1;
    }
    return 0;
}
