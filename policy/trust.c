/* Which files may be believed: the same rule for the policy, what it includes, and the keys. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a pipe";
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return "a device";
    return "not a file of bytes";
}

static bool owner_is_trusted(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

/* A key of root's may be read by a group where the policy says so: a service that must not be able
 * to change its key is given it so, and Kubernetes has no other way to give a pod a secret
 * (fsGroup). */
static bool is_open(const struct stat *status, enum dg_privacy privacy)
{
    mode_t open = S_IRWXG | S_IRWXO;

    if (privacy == DG_FILE_OF_GROUP && status->st_uid == 0)
        open &= ~(mode_t)S_IRGRP;
    return (status->st_mode & open) != 0;
}

int dg_policy_check_file(int fd, const char *path, const char *what, enum dg_privacy privacy,
                         struct dg_error *error)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return dg_fail(error, "%s: cannot look at the %s: %s", path, what, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return dg_fail(error, "%s: the %s is %s; it must be a regular file", path, what,
                       kind_of(status.st_mode));
    if (!owner_is_trusted(status.st_uid))
        return dg_fail(error,
                       "%s: the %s belongs to user %u; it must belong to root or to the user who "
                       "runs this (%u): chown it",
                       path, what, (unsigned)status.st_uid, (unsigned)geteuid());
    if (privacy != DG_FILE_PUBLIC && is_open(&status, privacy))
        return dg_fail(error, "%s: the %s is open to others (mode %04o); do: chmod 0600 %s", path,
                       what, (unsigned)(status.st_mode & 07777), path);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return dg_fail(error, "%s: the %s can be written by others (mode %04o); do: chmod go-w %s",
                       path, what, (unsigned)(status.st_mode & 07777), path);
    return 0;
}
