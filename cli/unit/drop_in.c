#include "cli/unit/drop_in.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/wording.h"

#define SIZE_MAX_READ 65536

/* The first line: who wrote it, and the sum of what follows. */
#define FIRST_LINE "# Written by `distguard enable %s` (%016" PRIx64 "%s).\n"
#define MADE_FOLDER ", with its folder"

/* FNV-1a: against changes by accident and by hand, not by an enemy, who would be root. */
static uint64_t sum(const char *text)
{
    uint64_t value = 0xcbf29ce484222325;

    for (; *text != '\0'; text++)
        value = (value ^ (uint8_t)*text) * 0x100000001b3;
    return value;
}

/* The text of a file, to be freed; NULL with errno. */
static char *read_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = calloc(1, SIZE_MAX_READ + 1);
    ssize_t size = fd >= 0 && text != NULL ? read(fd, text, SIZE_MAX_READ) : -1;
    int reason = errno;

    if (fd >= 0)
        (void)close(fd);
    if (size >= 0)
        return text;
    free(text);
    errno = reason;
    return NULL;
}

static bool is_ours(const char *text)
{
    const char *end = strchr(text, '\n');
    const char *mark = strstr(text, "` (");

    return strncmp(text, "# Written by `distguard enable ", 31) == 0 && end != NULL &&
           mark != NULL && mark < end && strtoull(mark + strlen("` ("), NULL, 16) == sum(end + 1);
}

int dg_drop_in_state(const char *path, enum dg_drop_in_state *state, struct dg_error *error)
{
    char *text = read_text(path);

    if (text == NULL && errno != ENOENT && errno != ENOTDIR)
        return dg_fail(error, "%s cannot be read: %s", path, strerror(errno));
    if (text == NULL)
        *state = DG_DROP_IN_ABSENT;
    else
        *state = is_ours(text) ? DG_DROP_IN_OURS : DG_DROP_IN_CHANGED;
    free(text);
    return 0;
}

static char *folder_of(const char *path)
{
    return dg_word("%.*s", (int)(strrchr(path, '/') - path), path);
}

/* Whether the folder goes with the file: it is not there yet, or the file that is there says so. */
static bool folder_is_ours(const char *path)
{
    char *folder = folder_of(path);
    char *text = read_text(path);
    const char *end = text != NULL ? strchr(text, '\n') : NULL;
    const char *mark = text != NULL ? strstr(text, MADE_FOLDER) : NULL;
    bool ours = text != NULL ? mark != NULL && mark < end : access(folder, F_OK) != 0;

    free(text);
    free(folder);
    return ours;
}

char *dg_drop_in_text(const char *path, const char *unit, const char *body)
{
    char *rest = dg_word(
        "# `distguard disable %s` removes it, unless it has been changed by hand.\n%s", unit, body);
    char *text =
        dg_word(FIRST_LINE "%s", unit, sum(rest), folder_is_ours(path) ? MADE_FOLDER : "", rest);

    free(rest);
    return text;
}

static int write_whole(const char *path, const char *temporary, const char *text,
                       struct dg_error *error)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    size_t size = strlen(text);

    if (fd < 0)
        return dg_fail(error, "%s cannot be written: %s", path, strerror(errno));
    if (fchmod(fd, 0644) == 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0 &&
        close(fd) == 0 && rename(temporary, path) == 0)
        return 0;
    (void)dg_fail(error, "%s cannot be written: %s", path, strerror(errno));
    (void)unlink(temporary);
    return -1;
}

int dg_drop_in_write(const char *path, const char *text, struct dg_error *error)
{
    char *folder = folder_of(path);
    char *temporary = dg_word("%s/.distguard.new", folder);
    int result;

    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        result = dg_fail(error, "%s cannot be made: %s", folder, strerror(errno));
    else
        result = write_whole(path, temporary, text, error);
    free(temporary);
    free(folder);
    return result;
}

int dg_drop_in_remove(const char *path, struct dg_error *error)
{
    bool with_folder = folder_is_ours(path);
    char *folder = folder_of(path);
    int result = 0;

    if (unlink(path) != 0)
        result = dg_fail(error, "%s cannot be removed: %s", path, strerror(errno));
    else if (with_folder && rmdir(folder) != 0 && errno != ENOTEMPTY && errno != EEXIST)
        result = dg_fail(error, "%s cannot be removed: %s", folder, strerror(errno));
    free(folder);
    return result;
}
