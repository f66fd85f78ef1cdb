#include "cli/target.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/script.h"

/* As many scripts in a row as Linux runs (fs/exec.c). */
#define SCRIPT_DEPTH 5

static int not_executable(const char *path, struct dg_error *error)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        (void)dg_fail(error, "%s: %s", path, strerror(errno));
        return errno == ENOENT || errno == ENOTDIR ? DG_EXIT_NOT_FOUND : DG_EXIT_CANNOT_EXECUTE;
    }
    if (S_ISDIR(status.st_mode))
        (void)dg_fail(error, "%s is a directory, not a program", path);
    else
        (void)dg_fail(error, "%s may not be executed by this user (mode %04o)", path,
                      (unsigned)status.st_mode & 07777);
    return DG_EXIT_CANNOT_EXECUTE;
}

static bool executable(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static bool join(char path[PATH_MAX], const char *directory, size_t size, const char *name)
{
    int needed = size == 0 ? snprintf(path, PATH_MAX, "./%s", name)
                           : snprintf(path, PATH_MAX, "%.*s/%s", (int)size, directory, name);

    return needed > 0 && needed < PATH_MAX;
}

static int find_in_path(const char *command, char path[PATH_MAX], struct dg_error *error)
{
    const char *directory = getenv("PATH");
    int status = DG_EXIT_NOT_FOUND;

    (void)dg_fail(error, "%s is in no folder of PATH", command);
    if (directory == NULL)
        directory = "/bin:/usr/bin"; /* as execvp */
    for (;;) {
        size_t size = strcspn(directory, ":");
        bool fits = join(path, directory, size, command);

        if (fits && executable(path))
            return 0;
        /* The first that is there but not executable is what the message is about. */
        if (fits && status == DG_EXIT_NOT_FOUND && access(path, F_OK) == 0)
            status = not_executable(path, error);
        if (directory[size] == '\0')
            return status;
        directory += size + 1;
    }
}

int dg_target_find(const char *command, char path[PATH_MAX], struct dg_error *error)
{
    if (command[0] == '\0') {
        (void)dg_fail(error, "the command is an empty word");
        return DG_EXIT_NOT_FOUND;
    }
    if (strchr(command, '/') == NULL)
        return find_in_path(command, path, error);
    if (snprintf(path, PATH_MAX, "%s", command) >= PATH_MAX) {
        (void)dg_fail(error, "%.60s…: %s", command, strerror(ENAMETOOLONG));
        return DG_EXIT_NOT_FOUND;
    }
    return executable(path) ? 0 : not_executable(path, error);
}

/* The kernel ignores set-id bits there, and so do we. */
static bool ids_ignored(int fd)
{
    struct statvfs filesystem;

    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
           (fstatvfs(fd, &filesystem) == 0 && (filesystem.f_flag & ST_NOSUID) != 0);
}

static int check_ids(int fd, const char *path, struct dg_error *error)
{
    struct stat status;
    bool user;
    bool group;

    if (fstat(fd, &status) != 0)
        return dg_fail(error, "%s: %s", path, strerror(errno));
    user = (status.st_mode & S_ISUID) != 0 && status.st_uid != getuid();
    /* S_ISGID without S_IXGRP once meant mandatory locking: it changes no group. */
    group = (status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 &&
            status.st_gid != getgid();
    if ((!user && !group) || ids_ignored(fd))
        return 0;
    return dg_fail(error,
                   "%s is %s (mode %04o, owner %u:%u): the loader ignores LD_PRELOAD there, and it "
                   "would run without protection; start it as the user it shall run as, and "
                   "`distguard run` within",
                   path, user ? "setuid" : "setgid", (unsigned)status.st_mode & 07777,
                   (unsigned)status.st_uid, (unsigned)status.st_gid);
}

/* The kernel makes a program with file capabilities a secure one for everybody but root. */
static int check_capabilities(int fd, const char *path, struct dg_error *error)
{
    struct statvfs filesystem;

    if (getuid() == 0 || fgetxattr(fd, "security.capability", NULL, 0) <= 0)
        return 0;
    if (fstatvfs(fd, &filesystem) == 0 && (filesystem.f_flag & ST_NOSUID) != 0)
        return 0;
    return dg_fail(error,
                   "%s has file capabilities: the loader ignores LD_PRELOAD there, and it would "
                   "run without protection; remove them (setcap -r %s) and give the service "
                   "AmbientCapabilities= instead",
                   path, path);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Called for the tool itself first; what it returns ends the iteration. */
static int take_interpreter(struct dl_phdr_info *object, size_t size, void *interpreter)
{
    const ElfW(Phdr) *headers = object->dlpi_phdr;
    ElfW(Addr) table = 0;

    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        if (headers[i].p_type == PT_PHDR)
            table = headers[i].p_vaddr;
        if (headers[i].p_type == PT_INTERP)
            *(const char **)interpreter = (const char *)headers + (headers[i].p_vaddr - table);
    }
    return 1;
}

/* The loader of our C library: the tool's own, as the kernel has mapped it. (/proc may not be
 * there: a unit is tried in the tree that it is for.) */
static const char *own_interpreter(void)
{
    static const char *interpreter = "";

    (void)dl_iterate_phdr(take_interpreter, &interpreter);
    return interpreter;
}

static int check_loader(const struct dg_elf *elf, const char *path, struct dg_error *error)
{
    const char *own = own_interpreter();

    if (elf->interpreter[0] == '\0')
        return dg_fail(error,
                       "%s is statically linked: nothing can be preloaded there, and it would run "
                       "without protection; use a dynamically linked build",
                       path);
    if (strcmp(base_name(elf->interpreter), base_name(own)) != 0)
        return dg_fail(error,
                       "%s is for another C library (its loader is %s, distguard's is %s): build "
                       "distguard on the system that %s comes from",
                       path, elf->interpreter, own, base_name(path));
    return 0;
}

static int check_elf(int fd, const char *path, const struct dg_library *library,
                     struct dg_error *error)
{
    struct dg_elf elf;
    char theirs[64];
    char ours[64];

    if (dg_elf_read(fd, path, &elf, error) != 0)
        return -1;
    if (!dg_elf_same_kind(&elf, &library->elf)) {
        dg_elf_print_kind(&elf, theirs, sizeof theirs);
        dg_elf_print_kind(&library->elf, ours, sizeof ours);
        return dg_fail(error, "%s is %s, but %s is %s: install a distguard of that architecture",
                       path, theirs, library->path, ours);
    }
    return check_loader(&elf, path, error);
}

static int check_file(int fd, const char *path, const struct dg_library *library, int depth,
                      struct dg_error *error);

static int check_path(const char *path, const struct dg_library *library, int depth,
                      struct dg_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result;

    if (fd < 0)
        return dg_fail(error,
                       "%s cannot be read (%s), so nobody can tell whether the library would be "
                       "loaded into it: make it readable",
                       path, strerror(errno));
    result = check_file(fd, path, library, depth, error);
    (void)close(fd);
    return result;
}

/* `#!/usr/bin/env NAME`: env has been checked, and hands over to NAME. */
static int check_env(const struct dg_script *script, const struct dg_library *library, int depth,
                     struct dg_error *error)
{
    char name[DG_SCRIPT_LINE];
    char path[PATH_MAX];

    if (!dg_script_env_command(script, name))
        return 0;
    if (dg_target_find(name, path, error) != 0)
        return -1;
    return check_path(path, library, depth, error);
}

static int check_script(const struct dg_script *script, const char *path,
                        const struct dg_library *library, int depth, struct dg_error *error)
{
    if (depth == SCRIPT_DEPTH)
        return dg_fail(error, "%s: scripts run scripts more than %d deep", path, SCRIPT_DEPTH);
    if (!executable(script->interpreter))
        return dg_fail(error, "%s: its interpreter %s is not there, or not executable", path,
                       script->interpreter);
    if (check_path(script->interpreter, library, depth + 1, error) != 0)
        return -1;
    return check_env(script, library, depth + 1, error);
}

static int check_file(int fd, const char *path, const struct dg_library *library, int depth,
                      struct dg_error *error)
{
    struct dg_script script;

    /* A script's own set-id bits and capabilities count for nothing: its interpreter's do. */
    if (dg_script_read(fd, &script))
        return check_script(&script, path, library, depth, error);
    if (check_ids(fd, path, error) != 0 || check_capabilities(fd, path, error) != 0)
        return -1;
    return check_elf(fd, path, library, error);
}

int dg_target_check(const char *path, const struct dg_library *library, struct dg_error *error)
{
    /* With real and effective ids apart, the loader distrusts the environment in whatever we start.
     */
    if (getauxval(AT_SECURE) != 0)
        return dg_fail(error, "distguard runs with another user's or group's rights (setuid?): the "
                              "loader would ignore LD_PRELOAD; start it as the user itself");
    return check_path(path, library, 0, error);
}
