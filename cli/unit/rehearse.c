/* A unit's start, tried beforehand as its own user. */
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/target.h"
#include "cli/unit/plan.h"
#include "cli/wording.h"
#include "shim/core/tls/credentials.h"

static const char service[] = "Service";

/* --- becoming the unit's user --- */

/* By name or number; NULL with `error`. */
static const struct passwd *find_user(const char *name, struct dg_error *error)
{
    const struct passwd *user = getpwnam(name);
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if (user == NULL && *end == '\0')
        user = getpwuid((uid_t)number);
    if (user == NULL)
        (void)dg_fail(error, "the unit's User=%s does not exist here", name);
    return user;
}

static int add_groups(const struct dg_unit *unit, struct dg_error *error)
{
    enum { GROUPS_MAX = 256 };
    const struct dg_unit_setting *setting;
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);
    size_t at = 0;

    while ((setting = dg_unit_next(unit, service, "SupplementaryGroups", &at)) != NULL) {
        const char *rest = setting->value;
        char *word;

        while ((word = dg_unit_word(&rest)) != NULL) {
            struct group *group = getgrnam(word);

            if (group != NULL && count >= 0 && count < GROUPS_MAX)
                groups[count++] = group->gr_gid;
            free(word);
        }
    }
    if (count < 0 || setgroups((size_t)count, groups) != 0)
        return dg_fail(error, "its groups cannot be taken on: %s", strerror(errno));
    return 0;
}

static int become(const struct dg_unit *unit, const char *name, struct dg_error *error)
{
    const char *group_name = dg_unit_value(unit, service, "Group");
    const struct group *group = group_name != NULL ? getgrnam(group_name) : NULL;
    const struct passwd *user = find_user(name, error);
    gid_t gid;

    if (user == NULL)
        return -1;
    if (group_name != NULL && group == NULL)
        return dg_fail(error, "the unit's Group=%s does not exist here", group_name);
    gid = group != NULL ? group->gr_gid : user->pw_gid;
    if (initgroups(user->pw_name, gid) != 0 || add_groups(unit, error) != 0 || setgid(gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return dg_fail(error, "cannot become %s: %s", name, strerror(errno));
    if (dg_unit_is_on(unit, service, "NoNewPrivileges"))
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return 0;
}

/* --- what it will run --- */

/* Emulators and EPMDs at the places of this pattern. Returns how many, or -1. */
static int try_emulators(const struct dg_plan *plan, const char *folder, struct dg_error *error)
{
    char *pattern = dg_word("%s/erts-*/bin/{beam.smp,epmd}", folder);
    glob_t found = {.gl_pathc = 0};
    int result = 0;

    if (glob(pattern, GLOB_BRACE, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && result >= 0; i++)
            result =
                dg_target_check(found.gl_pathv[i], &plan->library, error) == 0 ? (int)i + 1 : -1;
    }
    globfree(&found);
    free(pattern);
    return result;
}

/* The program is a script, mostly; what it starts in the end stands beside it in a release, or
 * where Debian puts it. */
static int try_program(const struct dg_plan *plan, const char *command, struct dg_error *error)
{
    char path[PATH_MAX];
    char *folder;
    int emulators;

    if (dg_target_find(command, path, error) != 0 ||
        dg_target_check(path, &plan->library, error) != 0)
        return -1;
    folder = dg_word("%.*s/..", (int)(strrchr(path, '/') - path), path);
    emulators = try_emulators(plan, folder, error);
    free(folder);
    if (emulators == 0)
        emulators = try_emulators(plan, "/usr/lib/erlang", error);
    return emulators < 0 ? -1 : 0;
}

static int try_programs(const struct dg_plan *plan, struct dg_error *error)
{
    const struct dg_unit_setting *setting;
    size_t at = 0, count = 0;
    int result = 0;

    while (result == 0 && (setting = dg_unit_next(plan->unit, service, "ExecStart", &at)) != NULL) {
        const char *rest = setting->value + strspn(setting->value, "@-:+!|");
        char *command = dg_unit_word(&rest);

        if (command != NULL)
            result = try_program(plan, command, error);
        free(command);
        count++;
    }
    if (count == 0)
        return dg_fail(error, "the unit starts no program (no ExecStart=)");
    return result;
}

static int try_policy(const struct dg_plan *plan, struct dg_error *error)
{
    struct dg_credentials *credentials = NULL;
    struct dg_policy *policy = NULL;
    int result = -1;

    if (dg_policy_load(plan->conf, plan->profile, &policy, error) != 0)
        return -1;
    if (policy->mode == DG_MODE_OFF)
        result = 0;
    else if (dg_tls_start(error) == 0)
        result = dg_credentials_load(policy, &credentials, error);
    dg_credentials_free(credentials);
    dg_policy_free(policy);
    return result;
}

static int try_all(const struct dg_plan *plan, const char *user, struct dg_error *error)
{
    struct dg_library library;
    struct dg_error reason;

    if (plan->root[0] != '\0' && (chroot(plan->root) != 0 || chdir("/") != 0))
        return dg_fail(error, "%s cannot be entered: %s", plan->root, strerror(errno));
    if (geteuid() == 0 && become(plan->unit, user, error) != 0)
        return -1;
    if (dg_library_read(&library, plan->library.path, &reason) == 0 &&
        try_programs(plan, &reason) == 0 && try_policy(plan, &reason) == 0)
        return 0;
    return dg_fail(error, "as user %s: %s", user, reason.text);
}

/* --- the child --- */

static void run_child(const struct dg_plan *plan, const char *user, int pipe_end)
{
    struct dg_error error = {.text = ""};
    int result = try_all(plan, user, &error);

    if (result != 0)
        (void)!write(pipe_end, error.text, strlen(error.text));
    _exit(result == 0 ? 0 : 1);
}

static int outcome(pid_t child, int pipe_end, struct dg_error *error)
{
    size_t used = 0;
    ssize_t size;
    int status;

    while (used < sizeof error->text - 1 &&
           (size = read(pipe_end, error->text + used, sizeof error->text - 1 - used)) > 0)
        used += (size_t)size;
    error->text[used] = '\0';
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return used > 0 ? -1 : dg_fail(error, "the trial as the unit's user broke off");
}

int dg_plan_rehearse(const struct dg_plan *plan, bool *tried, struct dg_error *error)
{
    const char *user = dg_unit_value(plan->unit, service, "User");
    int ends[2];
    pid_t child;
    int result;

    *tried = geteuid() == 0;
    if (!*tried)
        return 0;
    if (pipe(ends) != 0)
        return dg_fail(error, "no pipe: %s", strerror(errno));
    child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        run_child(plan, user != NULL ? user : "root", ends[1]);
    }
    (void)close(ends[1]);
    result = child < 0 ? dg_fail(error, "no process for the trial: %s", strerror(errno))
                       : outcome(child, ends[0], error);
    (void)close(ends[0]);
    return result;
}
