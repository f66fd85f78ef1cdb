/* Which files may be believed: the same rule for the policy, what it includes, and the keys. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"

enum { GROUPS_MAX = 256 /* of whom has more, the first */ };

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

static bool is_in_group(gid_t group)
{
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);

    if (group == getegid())
        return true;
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return false;
}

/*
 * A key is its owner's alone, with one exception: a service that is not root, and must not be able
 * to change its key, may read root's by its group. Kubernetes has no other way to give a pod a
 * secret (fsGroup).
 */
static bool is_open(const struct stat *status)
{
    mode_t open = S_IRWXG | S_IRWXO;

    if (status->st_uid == 0 && geteuid() != 0 && is_in_group(status->st_gid))
        open &= ~(mode_t)S_IRGRP;
    return (status->st_mode & open) != 0;
}

int dg_policy_check_file(int fd, const char *path, const char *what, bool secret,
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
    if (secret && is_open(&status))
        return dg_fail(error, "%s: the %s is open to others (mode %04o); do: chmod 0600 %s", path,
                       what, (unsigned)(status.st_mode & 07777), path);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return dg_fail(error, "%s: the %s can be written by others (mode %04o); do: chmod go-w %s",
                       path, what, (unsigned)(status.st_mode & 07777), path);
    return 0;
}
