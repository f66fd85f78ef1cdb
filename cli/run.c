/* distguard run: a command with the library preloaded, or no command at all. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/library.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/programs.h"
#include "cli/target.h"
#include "policy/policy.h"
#include "shim/abi.h"

struct request {
    const char *conf;    /* NULL: not given */
    const char *profile; /* NULL: not given */
    char **command;
};

static bool switched_off(void)
{
    const char *word = getenv("DISTGUARD");

    return word != NULL && strcmp(word, "off") == 0;
}

static int set_variable(const char *name, const char *value, struct dg_error *error)
{
    if (setenv(name, value, 1) != 0)
        return dg_fail(error, "%s cannot be set: %s", name, strerror(errno));
    return 0;
}

/* The command may change its folder before it starts a node. Symbolic links stay: they may be
 * switched later. */
static int set_conf(const char *conf, struct dg_error *error)
{
    char folder[PATH_MAX];
    char path[2 * PATH_MAX];

    if (conf[0] == '/')
        return set_variable("DISTGUARD_CONF", conf, error);
    if (getcwd(folder, sizeof folder) == NULL)
        return dg_fail(error, "the current folder is unknown: %s; give --conf an absolute path",
                       strerror(errno));
    if (snprintf(path, sizeof path, "%s/%s", folder, conf) >= (int)sizeof path)
        return dg_fail(error, "%.60s…: %s", conf, strerror(ENAMETOOLONG));
    return set_variable("DISTGUARD_CONF", path, error);
}

static int set_programs(const struct dg_string_list *programs, struct dg_error *error)
{
    char *list = dg_programs_word(programs, error);
    int result = 0;

    if (list == NULL)
        return -1;
    if (list[0] != '\0')
        result = set_variable("DISTGUARD_PROGRAMS", list, error);
    free(list);
    return result;
}

static int set_environment(const struct request *request, const struct dg_policy *policy,
                           const struct dg_library *library, struct dg_error *error)
{
    if (request->conf != NULL && set_conf(request->conf, error) != 0)
        return -1;
    if (request->profile != NULL && set_variable("DISTGUARD_PROFILE", request->profile, error) != 0)
        return -1;
    if (set_programs(&policy->programs, error) != 0)
        return -1;
    return dg_library_preload(library, error);
}

static int complain(int status, const struct dg_error *error)
{
    dg_complain("%s", error->text);
    return status;
}

static int start(const char *path, char **command)
{
    (void)execv(path, command);
    dg_complain("%s cannot be started: %s", path, strerror(errno));
    return errno == ENOENT ? DG_EXIT_NOT_FOUND : DG_EXIT_CANNOT_EXECUTE;
}

static int run_guarded(const struct request *request, const struct dg_policy *policy)
{
    struct dg_library library;
    struct dg_error error;
    char path[PATH_MAX];
    int status;

    if (dg_library_find(&library, &error) != 0 ||
        set_environment(request, policy, &library, &error) != 0)
        return complain(DG_EXIT_REFUSED, &error);
    status = dg_target_find(request->command[0], path, &error);
    if (status != 0)
        return complain(status, &error);
    /* In mode off nothing is guarded, so nothing is lost where the library is not loaded. */
    if (policy->mode != DG_MODE_OFF && dg_target_check(path, &library, &error) != 0)
        return complain(DG_EXIT_CANNOT_EXECUTE, &error);
    return start(path, request->command);
}

/* The switch for emergencies: it must also work where the policy is what is broken. */
static int run_unguarded(const struct request *request)
{
    struct dg_error error;
    char path[PATH_MAX];
    int status = dg_target_find(request->command[0], path, &error);

    if (status != 0)
        return complain(status, &error);
    dg_complain("DISTGUARD=off: %s runs without protection", request->command[0]);
    return start(path, request->command);
}

static int run(const struct request *request)
{
    struct dg_policy *policy = NULL;
    struct dg_error error;
    int status;

    if (switched_off())
        return run_unguarded(request);
    if (dg_policy_load(request->conf, request->profile, &policy, &error) != 0)
        return complain(DG_EXIT_REFUSED, &error);
    status = run_guarded(request, policy);
    dg_policy_free(policy);
    return status;
}

int dg_command_run(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, 'c'},
        {"profile", required_argument, NULL, 'p'},
        DG_OPTION_HELP,
        {0},
    };
    struct request request = {.conf = NULL};
    int option;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_FIRST, options)) != -1) {
        if (option == 'c')
            request.conf = optarg;
        else
            request.profile = optarg;
    }
    if (optind == argc)
        return dg_usage_error(command, "no COMMAND to run");
    request.command = argv + optind;
    return run(&request);
}
