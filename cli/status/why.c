#include "cli/status/why.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "shim/abi.h"

#define LIBRARY "libdistguard.so"
#define CORE "libdistguard-core.so"

static enum dg_guard unguarded(struct dg_error *why, const char *sentence)
{
    (void)dg_fail(why, "%s", sentence);
    return DG_UNGUARDED;
}

/* The entry of LD_PRELOAD that is ours, in `path`. False where there is none. */
static bool find_library(const char *preload, char path[PATH_MAX])
{
    while (preload != NULL && *preload != '\0') {
        size_t size = strcspn(preload, " :");
        const char *slash = memrchr(preload, '/', size);
        const char *base = slash != NULL ? slash + 1 : preload;

        if (size < PATH_MAX && (size_t)(preload + size - base) == sizeof LIBRARY - 1 &&
            memcmp(base, LIBRARY, sizeof LIBRARY - 1) == 0) {
            (void)snprintf(path, PATH_MAX, "%.*s", (int)size, preload);
            return true;
        }
        preload += size + (preload[size] != '\0' ? 1 : 0);
    }
    return false;
}

/* What the process's environment was when it started. */
struct environment {
    char *text;
    size_t size;
};

static const char *variable(const struct environment *environment, const char *name)
{
    return dg_proc_variable(environment->text, environment->size, name);
}

/* The policy that the process has, or would have, read; by its own path and in its own root. */
static struct dg_policy *its_policy(pid_t pid, const struct environment *environment,
                                    struct dg_error *error)
{
    const char *file = variable(environment, "DISTGUARD_CONF");
    char path[PATH_MAX];
    struct dg_policy *policy = NULL;

    (void)snprintf(path, sizeof path, "/proc/%ld/root%s", (long)pid,
                   file != NULL ? file : DG_POLICY_DEFAULT_FILE);
    return dg_policy_load(path, variable(environment, "DISTGUARD_PROFILE"), &policy, error) == 0
               ? policy
               : NULL;
}

/* The core is there and has decided to stay out. */
static enum dg_guard stays_out(struct dg_observed *observed, const struct environment *environment)
{
    struct dg_error error = {""};
    struct dg_policy *policy = its_policy(observed->pid, environment, &error);
    const char *file = variable(environment, "DISTGUARD_CONF");
    struct dg_error *why = &observed->why;

    file = file != NULL ? file : DG_POLICY_DEFAULT_FILE;
    if (policy == NULL) {
        (void)dg_fail(why,
                      "the library is loaded but tells nothing of itself: by its policy (%s) it is "
                      "off or not for this program, or it has no memory; the policy cannot be read "
                      "from here (%s)",
                      file, error.text);
    } else if (policy->mode == DG_MODE_OFF) {
        (void)dg_fail(why, "profile %s of %s has mode = \"off\"", policy->profile, file);
    } else if (!dg_policy_guards(policy, observed->program)) {
        (void)dg_fail(why, "programs, in profile %s of %s, leaves %s out", policy->profile, file,
                      observed->program);
    } else {
        (void)dg_fail(why,
                      "the library is loaded but tells nothing of itself: it had no descriptor or "
                      "memory for its status page, or the policy was another when the program "
                      "started; restart it, or look for event=started in the log");
    }
    dg_policy_free(policy);
    return DG_UNGUARDED;
}

/* LD_PRELOAD names the library, and it is not there. */
static enum dg_guard not_loaded(int process, const char *path, struct dg_error *why)
{
    struct stat status;

    if (dg_proc_is_secure(process)) {
        return unguarded(why, "the loader has dropped the library: the program is setuid or has "
                              "file capabilities; remove them (chmod u-s, setcap -r) and give the "
                              "service AmbientCapabilities= instead");
    }
    if (path[0] == '/' && dg_proc_stat(process, path, &status) != 0 && errno == ENOENT) {
        (void)dg_fail(why,
                      "LD_PRELOAD names %s, which is not there: install it and restart the program",
                      path);
        return DG_UNGUARDED;
    }
    (void)dg_fail(
        why,
        "LD_PRELOAD names %s, but the loader has not loaded it: it cannot be read by that "
        "user, is of another architecture or C library, or was not there yet",
        path);
    return DG_UNGUARDED;
}

static enum dg_guard from_environment(int process, struct dg_observed *observed,
                                      const struct environment *environment, const char *maps)
{
    const char *word = variable(environment, "DISTGUARD");
    struct dg_error *why = &observed->why;
    char path[PATH_MAX];

    if (!find_library(variable(environment, "LD_PRELOAD"), path)) {
        return unguarded(why, "LD_PRELOAD, in the environment that it was started with, does not "
                              "name " LIBRARY ": start it by distguard run, or set LD_PRELOAD in "
                              "its unit");
    }
    if (word != NULL && strcmp(word, "off") == 0) {
        return unguarded(why, "DISTGUARD=off is in its environment: remove it and restart the "
                              "program");
    }
    if (strstr(maps, "/" LIBRARY) == NULL) {
        return not_loaded(process, path, why);
    }
    if (strstr(maps, "/" CORE) == NULL) {
        return unguarded(why, "the library does not guard programs of this name: name it in "
                              "DISTGUARD_PROGRAMS, or start it by distguard run");
    }
    return stays_out(observed, environment);
}

enum dg_guard dg_why_not(int process, struct dg_observed *observed,
                         enum dg_snapshot_verdict verdict, const char *version)
{
    struct dg_error *why = &observed->why;
    struct environment environment;
    size_t size;
    char *maps;
    enum dg_guard guard = DG_GUARD_UNKNOWN;

    if (verdict == DG_SNAPSHOT_OTHER_LAYOUT) {
        (void)dg_fail(why,
                      "it is guarded by distguard %s, whose status this distguard (" DG_VERSION
                      ") cannot read: restart the program, or use the tool of that version",
                      version);
        return DG_GUARD_UNKNOWN;
    }
    if (verdict == DG_SNAPSHOT_BUSY) {
        (void)dg_fail(why, "its status page is being written, and stays so: the process is stopped "
                           "or hangs; try again");
        return DG_GUARD_UNKNOWN;
    }
    environment.text = dg_proc_read(process, "environ", &environment.size);
    maps = dg_proc_read(process, "maps", &size);
    if (environment.text == NULL || maps == NULL) {
        (void)dg_fail(why, DG_WHY_NOT_PERMITTED);
    } else if (size == 0) {
        (void)dg_fail(why, "it is ending");
    } else {
        guard = from_environment(process, observed, &environment, maps);
    }
    free(environment.text);
    free(maps);
    return guard;
}
