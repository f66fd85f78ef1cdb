/* distguard enable, distguard disable: a service guarded by a drop-in, and back. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/unit/compose.h"
#include "cli/unit/drop_in.h"
#include "cli/wording.h"

struct request {
    const char *conf;    /* NULL: not given */
    const char *profile; /* NULL: not given */
    const char *root;    /* "" for this host */
    bool dry_run;
    const char *unit;
};

/* A drop-in to be. */
struct piece {
    char *path;
    char *text; /* NULL: there is none to write */
};

/* --- names --- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

/* "rabbitmq-server" is rabbitmq-server.service. NULL for what is no service's name. */
static char *service_name(const char *unit)
{
    static const char *const others[] = {".socket", ".target", ".timer", ".path",
                                         ".mount",  ".slice",  ".scope"};

    if (unit[0] == '\0' || unit[0] == '.' || strpbrk(unit, "/ \t\n") != NULL)
        return NULL;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (ends_with(unit, others[i]))
            return NULL;
    return ends_with(unit, ".service") ? dg_word("%s", unit) : dg_word("%s.service", unit);
}

static char *socket_name(const char *service)
{
    return dg_word("%.*s.socket", (int)(strlen(service) - strlen(".service")), service);
}

static bool starts_epmd(const struct dg_unit *unit)
{
    const char *command = dg_unit_value(unit, "Service", "ExecStart");
    char *word = command != NULL ? dg_unit_word(&command) : NULL;
    bool epmd = word != NULL && ends_with(word, "/epmd");

    free(word);
    return epmd;
}

/* --- systemd --- */

/* systemd reads its files again. Where none runs, or for another tree, it will by itself. */
static void reload_systemd(const struct request *request)
{
    char *const argv[] = {(char[]){"systemctl"}, (char[]){"daemon-reload"}, NULL};
    struct stat status;
    int result = -1;
    pid_t child;

    if (request->root[0] != '\0' || stat("/run/systemd/system", &status) != 0) {
        (void)puts(
            "systemd does not run here: where it does, `systemctl daemon-reload` comes next");
        return;
    }
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) == 0 &&
        waitpid(child, &result, 0) == child && result == 0)
        (void)puts("systemd has read its files again (systemctl daemon-reload)");
    else
        dg_complain("`systemctl daemon-reload` has failed: run it by hand");
}

static const char *past_root(const struct request *request, const char *path)
{
    return path + strlen(request->root);
}

static void advise_restart(const char *service, bool with_socket)
{
    char *socket = socket_name(service);

    if (with_socket)
        (void)printf("it counts from the next start on: systemctl restart %s %s\n"
                     "(soon: systemd has let go of EPMD's addresses, and starts it no more until "
                     "then;\n EPMD forgets its nodes by that: restart them afterwards)\n",
                     socket, service);
    else
        (void)printf("it counts from the next start on: systemctl restart %s\n", service);
    free(socket);
}

/* --- enable --- */

static void print_piece(const struct request *request, const struct piece *piece)
{
    (void)printf("%s %s\n", request->dry_run ? "would write" : "wrote",
                 past_root(request, piece->path));
    for (const char *line = piece->text; *line != '\0';) {
        size_t size = strcspn(line, "\n");

        (void)printf("    %.*s\n", (int)size, line);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
}

/* What stands there by other hands is left alone. */
static int check_free(const struct piece *piece, struct dg_error *error)
{
    enum dg_drop_in_state state;

    if (dg_drop_in_state(piece->path, &state, error) != 0)
        return -1;
    if (state == DG_DROP_IN_CHANGED)
        return dg_fail(error,
                       "%s was not written by distguard, or has been changed since: move it "
                       "out of the way, or take over what it says",
                       piece->path);
    return 0;
}

static int write_pieces(const struct request *request, const struct piece *pieces, size_t count,
                        struct dg_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (pieces[i].text != NULL && check_free(&pieces[i], error) != 0)
            return -1;
    for (size_t i = 0; i < count; i++) {
        struct dg_error ignored;

        if (pieces[i].text == NULL)
            continue;
        if (!request->dry_run && dg_drop_in_write(pieces[i].path, pieces[i].text, error) != 0) {
            while (i-- > 0)
                if (pieces[i].text != NULL)
                    (void)dg_drop_in_remove(pieces[i].path, &ignored);
            return -1;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (pieces[i].text != NULL)
            print_piece(request, &pieces[i]);
    return 0;
}

/* Takes the body. */
static struct piece make_piece(const struct request *request, const char *unit, const char *service,
                               char *body)
{
    struct piece piece = {.path = dg_unit_drop_in(request->root, unit)};

    if (body != NULL)
        piece.text = dg_drop_in_text(piece.path, service, body);
    free(body);
    return piece;
}

/* Where systemd starts EPMD, that one needs the library as well. */
static void advise_epmd(const struct request *request)
{
    char *path = dg_unit_drop_in(request->root, "epmd.service");
    struct dg_error ignored;
    struct dg_unit epmd;

    if (dg_unit_read(&epmd, request->root, "epmd.service", &ignored) == 1 &&
        access(path, F_OK) != 0)
        (void)puts("systemd starts EPMD here, which is guarded by its own unit: "
                   "distguard enable epmd");
    dg_unit_free(&epmd);
    free(path);
}

static int write_plan(const struct request *request, const struct dg_plan *plan,
                      const struct dg_unit *socket, struct dg_error *error)
{
    const char *name = plan->unit->name;
    char *service = dg_compose_service(plan, error);
    char *streams =
        service != NULL && socket != NULL ? dg_compose_socket(plan, socket, error) : NULL;
    struct piece pieces[2] = {{.text = NULL}};
    int result = -1;

    if (service != NULL && (socket == NULL || streams != NULL)) {
        pieces[0] = make_piece(request, name, name, service);
        pieces[1] = socket != NULL ? make_piece(request, socket->name, name, streams)
                                   : (struct piece){.text = NULL};
        result = write_pieces(request, pieces, 2, error);
    } else {
        free(service);
    }
    for (size_t i = 0; i < 2; i++) {
        free(pieces[i].path);
        free(pieces[i].text);
    }
    return result;
}

static void print_next(const struct request *request, const struct dg_plan *plan, bool with_socket)
{
    const char *name = plan->unit->name;

    if (plan->policy->mode == DG_MODE_OFF)
        dg_complain("profile %s has mode off: nothing is guarded with it", plan->policy->profile);
    if (request->dry_run)
        return;
    reload_systemd(request);
    advise_restart(name, with_socket);
    if (!starts_epmd(plan->unit))
        advise_epmd(request);
    (void)printf("to undo it: distguard disable %s%s%s\n", name,
                 request->root[0] != '\0' ? " --root " : "", request->root);
}

static int apply(const struct request *request, struct dg_plan *plan, struct dg_error *error)
{
    struct dg_unit socket = {.count = 0};
    bool with_socket = false, tried;
    int result = -1;

    if (starts_epmd(plan->unit)) {
        char *name = socket_name(plan->unit->name);

        with_socket = dg_unit_read(&socket, request->root, name, error) == 1;
        free(name);
    }
    if (dg_plan_examine(plan, error) == 0 && dg_plan_rehearse(plan, &tried, error) == 0)
        result = write_plan(request, plan, with_socket ? &socket : NULL, error);
    if (result == 0) {
        if (!tried)
            dg_complain(
                "not tried as the unit's user, which takes root: whether it can read policy "
                "and key is not known");
        print_next(request, plan, with_socket);
    }
    dg_unit_free(&socket);
    return result;
}

/* The library is the one of the tree. */
static int find_library(const struct request *request, struct dg_library *library,
                        struct dg_error *error)
{
    char *path;
    int result;

    if (request->root[0] == '\0')
        return dg_library_find(library, error);
    path = dg_word("%s%s", request->root, dg_library_installed());
    result = dg_library_read(library, path, error);
    free(path);
    if (result == 0)
        (void)snprintf(library->path, sizeof library->path, "%s", dg_library_installed());
    return result;
}

static int enable_unit(const struct request *request, const char *name, struct dg_error *error)
{
    struct dg_policy *policy = NULL;
    struct dg_unit unit;
    struct dg_plan plan = {.root = request->root,
                           .conf = request->conf != NULL ? request->conf : DG_POLICY_DEFAULT_FILE,
                           .profile = request->profile,
                           .unit = &unit};
    char *conf = dg_word("%s%s", plan.root, plan.conf);
    int result = -1;

    if (dg_unit_read(&unit, request->root, name, error) == 1 &&
        dg_policy_load(conf, plan.profile, &policy, error) == 0 &&
        find_library(request, &plan.library, error) == 0) {
        plan.policy = policy;
        result = apply(request, &plan, error);
    }
    dg_policy_free(policy);
    dg_unit_free(&unit);
    free(conf);
    return result;
}

/* --- disable --- */

/* Returns 1 if it removed the file (or would), 0 if there is none, -1 with `error`. */
static int remove_piece(const struct request *request, const char *unit, struct dg_error *error)
{
    char *path = dg_unit_drop_in(request->root, unit);
    enum dg_drop_in_state state;
    int result = dg_drop_in_state(path, &state, error);

    if (result == 0 && state == DG_DROP_IN_CHANGED)
        result = dg_fail(error,
                         "%s has been changed by hand since, or is not distguard's: it stays; "
                         "remove it yourself",
                         past_root(request, path));
    else if (result == 0 && state == DG_DROP_IN_OURS)
        result = request->dry_run || dg_drop_in_remove(path, error) == 0 ? 1 : -1;
    if (result == 1)
        (void)printf("%s %s\n", request->dry_run ? "would remove" : "removed",
                     past_root(request, path));
    free(path);
    return result;
}

static int disable_unit(const struct request *request, const char *name, struct dg_error *error)
{
    char *socket = socket_name(name);
    int service_removed = remove_piece(request, name, error);
    struct dg_error other;
    int socket_removed = remove_piece(request, socket, &other);

    free(socket);
    if (service_removed == 0 && socket_removed == 0)
        (void)printf("%s is not enabled: nothing to undo\n", name);
    if ((service_removed == 1 || socket_removed == 1) && !request->dry_run) {
        reload_systemd(request);
        advise_restart(name, socket_removed == 1);
    }
    if (service_removed >= 0 && socket_removed < 0)
        *error = other;
    return service_removed < 0 || socket_removed < 0 ? -1 : 0;
}

/* --- the commands --- */

static int perform(const struct dg_command *command, const struct request *request,
                   int (*action)(const struct request *, const char *, struct dg_error *))
{
    char *name = service_name(request->unit);
    struct dg_error error;
    int result;

    if (name == NULL)
        return dg_usage_error(command, "\"%s\" is no service: name the .service", request->unit);
    if (request->conf != NULL && request->conf[0] != '/')
        result = dg_usage_error(command, "--conf %s: an absolute path, as the unit has no folder",
                                request->conf);
    else if (action(request, name, &error) == 0)
        result = DG_EXIT_OK;
    else {
        dg_complain("%s: %s", name, error.text);
        result = DG_EXIT_FAILURE;
    }
    free(name);
    return result;
}

enum { CONF = 1, PROFILE, ROOT, DRY_RUN };

static void take_option(struct request *request, int option)
{
    if (option == CONF)
        request->conf = optarg;
    else if (option == PROFILE)
        request->profile = optarg;
    else if (option == ROOT)
        request->root = strcmp(optarg, "/") == 0 ? "" : optarg;
    else
        request->dry_run = true;
}

static int run(const struct dg_command *command, int argc, char **argv,
               const struct option *options,
               int (*action)(const struct request *, const char *, struct dg_error *))
{
    struct request request = {.root = ""};
    int option;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options)) != -1)
        take_option(&request, option);
    if (argc - optind != 1)
        return dg_usage_error(command, "name one UNIT");
    request.unit = argv[optind];
    return perform(command, &request, action);
}

int dg_command_enable(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, CONF},
        {"profile", required_argument, NULL, PROFILE},
        {"root", required_argument, NULL, ROOT},
        {"dry-run", no_argument, NULL, DRY_RUN},
        DG_OPTION_HELP,
        {0},
    };

    return run(command, argc, argv, options, enable_unit);
}

int dg_command_disable(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"root", required_argument, NULL, ROOT},
        {"dry-run", no_argument, NULL, DRY_RUN},
        DG_OPTION_HELP,
        {0},
    };

    return run(command, argc, argv, options, disable_unit);
}
