#include "cli/status/proc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILE_MAX = 16 * 1024 * 1024 };

pid_t dg_proc_number(const char *word)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(word, &end, 10);
    return errno == 0 && end != word && *end == '\0' && number > 0 && (pid_t)number == number
               ? (pid_t)number
               : 0;
}

int dg_proc_open(pid_t pid)
{
    char path[32];

    (void)snprintf(path, sizeof path, "/proc/%ld", (long)pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int dg_proc_program(int process, char name[DG_PROC_NAME])
{
    static const char deleted[] = " (deleted)";
    char path[PATH_MAX];
    ssize_t size = readlinkat(process, "exe", path, sizeof path - 1);
    const char *slash;
    size_t length;

    if (size < 0) {
        return -1;
    }
    path[size] = '\0';
    slash = strrchr(path, '/');
    (void)snprintf(name, DG_PROC_NAME, "%.*s", DG_PROC_NAME - 1, slash != NULL ? slash + 1 : path);
    length = strlen(name);
    /* Replaced by an upgrade since it started. */
    if (length > sizeof deleted - 1 && strcmp(name + length - (sizeof deleted - 1), deleted) == 0) {
        name[length - (sizeof deleted - 1)] = '\0';
    }
    return 0;
}

char *dg_proc_read(int process, const char *file, size_t *size)
{
    int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
    size_t room = 4096;
    char *text = fd >= 0 ? malloc(room + 1) : NULL;
    ssize_t count = -1;

    *size = 0;
    while (text != NULL && (count = read(fd, text + *size, room - *size)) > 0) {
        *size += (size_t)count;
        if (*size == room && room < FILE_MAX) {
            char *larger = realloc(text, 2 * room + 1);

            if (larger == NULL) {
                break;
            }
            text = larger;
            room *= 2;
        }
    }
    if (text != NULL && count < 0) {
        free(text);
        text = NULL;
    }
    if (text != NULL) {
        text[*size] = '\0';
    }
    if (fd >= 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
    }
    return text;
}

void dg_proc_comm(int process, char name[DG_PROC_NAME])
{
    size_t size;
    char *text = dg_proc_read(process, "comm", &size);

    name[0] = '\0';
    if (text != NULL) {
        (void)snprintf(name, DG_PROC_NAME, "%.*s", (int)strcspn(text, "\n"), text);
    }
    free(text);
}

pid_t dg_proc_own_pid(int process)
{
    static const char key[] = "\nNSpid:";
    size_t size;
    char *text = dg_proc_read(process, "status", &size);
    const char *line = text != NULL ? strstr(text, key) : NULL;
    pid_t pid = 0;

    if (line != NULL) {
        char *next;

        /* One number for each PID namespace, the innermost last. */
        for (const char *at = line + sizeof key - 1; *at != '\n' && *at != '\0'; at = next) {
            long number = strtol(at, &next, 10);

            if (next == at) {
                break;
            }
            pid = (pid_t)number;
        }
    }
    free(text);
    return pid;
}

const char *dg_proc_variable(const char *environment, size_t size, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = environment; at < environment + size; at += strlen(at) + 1) {
        if (strncmp(at, name, length) == 0 && at[length] == '=') {
            return at + length + 1;
        }
    }
    return NULL;
}

bool dg_proc_is_secure(int process)
{
    size_t size;
    char *bytes = dg_proc_read(process, "auxv", &size);
    bool secure = false;

    for (size_t at = 0; bytes != NULL && at + 2 * sizeof(unsigned long) <= size;
         at += 2 * sizeof(unsigned long)) {
        unsigned long entry[2];

        memcpy(entry, bytes + at, sizeof entry);
        secure = secure || (entry[0] == AT_SECURE && entry[1] != 0);
    }
    free(bytes);
    return secure;
}

int dg_proc_stat(int process, const char *path, struct stat *status)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;
    int result = -1;
    int saved;

    if (root < 0) {
        return -1;
    }
    fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0) {
        result = fstat(fd, status);
    }
    saved = errno;
    (void)close(root);
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = saved;
    return result;
}
