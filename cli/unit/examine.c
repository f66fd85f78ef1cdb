/* The settings of a unit that would keep the library out, or its files from it. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/unit/plan.h"
#include "cli/wording.h"

static const char service[] = "Service";

/* --- the environment --- */

static bool is_variable(const char *word, const char *name)
{
    size_t size = strlen(name);

    return strncmp(word, name, size) == 0 && word[size] == '=';
}

/* The value that Environment= gives, to be freed; NULL where it gives none. */
static char *environment(const struct dg_unit *unit, const char *name)
{
    const struct dg_unit_setting *setting;
    char *value = NULL;
    size_t at = 0;

    while ((setting = dg_unit_next(unit, service, "Environment", &at)) != NULL) {
        const char *rest = setting->value;
        char *word;

        while ((word = dg_unit_word(&rest)) != NULL) {
            if (is_variable(word, name)) {
                free(value);
                value = dg_word("%s", strchr(word, '=') + 1);
            }
            free(word);
        }
    }
    return value;
}

char *dg_plan_preload(const struct dg_unit *unit)
{
    char *value = environment(unit, "LD_PRELOAD");

    return value != NULL ? value : dg_word("%s", "");
}

static const char *const variables[] = {"LD_PRELOAD", "DISTGUARD", "DISTGUARD_CONF",
                                        "DISTGUARD_PROFILE", "DISTGUARD_PROGRAMS"};
enum { VARIABLE_COUNT = sizeof variables / sizeof variables[0] };

/* What stands in such a file counts more than Environment=. */
static int examine_file(const char *path, const char *shown, struct dg_error *error)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    int result = 0;

    if (file == NULL)
        return 0;
    for (unsigned number = 1; result == 0 && getline(&line, &size, file) > 0; number++) {
        const char *word = line + strspn(line, " \t");

        for (size_t i = 0; i < VARIABLE_COUNT && result == 0; i++)
            if (is_variable(word, variables[i]))
                result = dg_fail(error,
                                 "%s:%u sets %s, and counts more than any drop-in (it is an "
                                 "EnvironmentFile= of the unit): take it out there",
                                 shown, number, variables[i]);
    }
    free(line);
    (void)fclose(file);
    return result;
}

static int examine_environment_files(const struct dg_plan *plan, struct dg_error *error)
{
    const struct dg_unit_setting *setting;
    size_t at = 0;
    int result = 0;

    while (result == 0 &&
           (setting = dg_unit_next(plan->unit, service, "EnvironmentFile", &at)) != NULL) {
        const char *name = setting->value[0] == '-' ? setting->value + 1 : setting->value;
        char *pattern = dg_word("%s%s", plan->root, name);
        glob_t found = {.gl_pathc = 0};

        if (glob(pattern, 0, NULL, &found) == 0) {
            for (size_t i = 0; i < found.gl_pathc && result == 0; i++)
                result =
                    examine_file(found.gl_pathv[i], found.gl_pathv[i] + strlen(plan->root), error);
        }
        globfree(&found);
        free(pattern);
    }
    return result;
}

static int examine_unset(const struct dg_unit *unit, struct dg_error *error)
{
    const struct dg_unit_setting *setting;
    size_t at = 0;
    int result = 0;

    while (result == 0 &&
           (setting = dg_unit_next(unit, service, "UnsetEnvironment", &at)) != NULL) {
        for (size_t i = 0; i < VARIABLE_COUNT && result == 0; i++) {
            char *place = dg_unit_place(unit, setting);

            if (strstr(setting->value, variables[i]) != NULL)
                result = dg_fail(error, "%s: UnsetEnvironment=%s takes away what enables distguard",
                                 place, setting->value);
            free(place);
        }
    }
    return result;
}

static int examine_environment(const struct dg_plan *plan, struct dg_error *error)
{
    char *word = environment(plan->unit, "DISTGUARD");
    char *preload = dg_plan_preload(plan->unit);
    int result = 0;

    if (word != NULL && strcmp(word, "off") == 0)
        result = dg_fail(error,
                         "the unit sets DISTGUARD=off, with which the library does nothing: "
                         "take it out (`systemctl cat %s` shows where it stands)",
                         plan->unit->name);
    else if (strstr(preload, "libdistguard.so") != NULL)
        result = dg_fail(error,
                         "the unit preloads libdistguard.so already, by hand: take it out "
                         "first (`systemctl cat %s` shows where it stands)",
                         plan->unit->name);
    else if (examine_unset(plan->unit, error) != 0 || examine_environment_files(plan, error) != 0)
        result = -1;
    free(preload);
    free(word);
    return result;
}

/* --- files that the service would not see --- */

static bool within(const char *path, const char *folder)
{
    size_t size = strlen(folder);

    while (size > 1 && folder[size - 1] == '/')
        size--;
    return strncmp(path, folder, size) == 0 &&
           (size == 1 || path[size] == '/' || path[size] == '\0');
}

/* Whether one of a list of paths covers this one. */
static bool covered(const struct dg_unit *unit, const char *key, const char *path)
{
    const struct dg_unit_setting *setting;
    size_t at = 0;
    bool found = false;

    while ((setting = dg_unit_next(unit, service, key, &at)) != NULL) {
        const char *rest = setting->value;
        char *word;

        while ((word = dg_unit_word(&rest)) != NULL) {
            word[strcspn(word, ":")] = '\0';
            found = found || within(path, word + strspn(word, "-+"));
            free(word);
        }
    }
    return found;
}

static bool home_hidden(const struct dg_unit *unit, const char *path)
{
    const char *home = dg_unit_value(unit, service, "ProtectHome");

    return (dg_unit_is_on(unit, service, "ProtectHome") ||
            (home != NULL && strcmp(home, "tmpfs") == 0)) &&
           (within(path, "/home") || within(path, "/root") || within(path, "/run/user"));
}

static int examine_path(const struct dg_unit *unit, const char *path, struct dg_error *error)
{
    const char *key = NULL;

    if (path == NULL)
        return 0;
    if (covered(unit, "InaccessiblePaths", path))
        key = "InaccessiblePaths";
    else if (covered(unit, "TemporaryFileSystem", path))
        key = "TemporaryFileSystem";
    else if (home_hidden(unit, path))
        key = "ProtectHome";
    else if (dg_unit_is_on(unit, service, "PrivateTmp") &&
             (within(path, "/tmp") || within(path, "/var/tmp")))
        key = "PrivateTmp";
    if (key == NULL)
        return 0;
    return dg_fail(error, "the unit's %s= hides %s from the service: put the file elsewhere", key,
                   path);
}

static int examine_paths(const struct dg_plan *plan, struct dg_error *error)
{
    const struct dg_tls_policy *tls = &plan->policy->tls;
    const char *paths[] = {plan->library.path, plan->conf, tls->certificate,
                           tls->private_key,   tls->ca,    tls->crl};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (examine_path(plan->unit, paths[i], error) != 0)
            return -1;
    if (covered(plan->unit, "NoExecPaths", plan->library.path) &&
        !covered(plan->unit, "ExecPaths", plan->library.path))
        return dg_fail(error,
                       "the unit's NoExecPaths= covers %s: the loader could not map it, and would "
                       "go on without; add the library's folder to ExecPaths=",
                       plan->library.path);
    return 0;
}

int dg_plan_examine(const struct dg_plan *plan, struct dg_error *error)
{
    static const char *const roots[] = {"RootDirectory", "RootImage"};

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        if (dg_unit_value(plan->unit, service, roots[i]) != NULL)
            return dg_fail(error,
                           "the unit runs in a tree of its own (%s=%s), which has neither the "
                           "library nor the policy: install distguard there, and use --root",
                           roots[i], dg_unit_value(plan->unit, service, roots[i]));
    if (dg_unit_is_on(plan->unit, service, "DynamicUser"))
        return dg_fail(error,
                       "the unit has DynamicUser=yes: the private key must belong to the user "
                       "that it runs as, and that one has no name before it starts; give it "
                       "DynamicUser=no and a User=");
    if (examine_environment(plan, error) != 0)
        return -1;
    return examine_paths(plan, error);
}

/* --- address families --- */

/* As systemd reads the list: its first word decides whether it allows or denies. */
static bool family_allowed(const struct dg_unit *unit, const char *family)
{
    const struct dg_unit_setting *setting;
    bool allows = false, listed = false, given = false;
    size_t at = 0;

    while ((setting = dg_unit_next(unit, service, "RestrictAddressFamilies", &at)) != NULL) {
        bool denies = setting->value[0] == '~';
        const char *rest = setting->value + (denies ? 1 : 0);
        char *word;

        if (!given)
            allows = !denies;
        given = true;
        while ((word = dg_unit_word(&rest)) != NULL) {
            if (strcmp(word, family) == 0)
                listed = denies != allows;
            free(word);
        }
    }
    return !given || allows == listed;
}

char *dg_plan_families(const struct dg_plan *plan)
{
    bool syslog = plan->policy->log.target == DG_LOG_TO_SYSLOG;
    /* Whose the other end of a local connection is, and which addresses the host has: the kernel
     * tells by netlink. syslog is a Unix socket. */
    bool netlink = !family_allowed(plan->unit, "AF_NETLINK");
    bool local = syslog && !family_allowed(plan->unit, "AF_UNIX");

    return dg_word("%s%s%s", netlink ? "AF_NETLINK" : "", netlink && local ? " " : "",
                   local ? "AF_UNIX" : "");
}
