/* distguard status: which Erlang programs of this host are guarded, which are not, and why. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/status/print.h"

/* What monitoring is told. */
enum {
    EXIT_ALL_GUARDED = 0,
    EXIT_NOT_ALL_GUARDED = 1,
    EXIT_EXPIRING = 2,
    EXIT_NO_ANSWER = 4,
};

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS };

static bool is_expiring(const struct dg_observed *observed)
{
    long days;

    return dg_observed_days_left(observed, &days) && days < DG_STATUS_EXPIRING_DAYS;
}

static enum dg_status_verdict judge(const struct dg_observations *all)
{
    enum dg_status_verdict verdict = DG_STATUS_ALL_GUARDED;

    for (size_t i = 0; i < all->count; i++) {
        if (all->processes[i].guard != DG_GUARDED) {
            return DG_STATUS_NOT_ALL_GUARDED;
        }
        if (is_expiring(&all->processes[i])) {
            verdict = DG_STATUS_EXPIRING;
        }
    }
    return verdict;
}

static int print(const struct dg_observations *all, enum form form)
{
    static const int exits[] = {
        [DG_STATUS_ALL_GUARDED] = EXIT_ALL_GUARDED,
        [DG_STATUS_EXPIRING] = EXIT_EXPIRING,
        [DG_STATUS_NOT_ALL_GUARDED] = EXIT_NOT_ALL_GUARDED,
    };
    enum dg_status_verdict verdict = judge(all);

    switch (form) {
    case FORM_TABLE:
        dg_status_print_table(all);
        break;
    case FORM_PROMETHEUS:
        dg_status_print_prometheus(all);
        break;
    case FORM_JSON:
    default:
        if (dg_status_print_json(all, verdict) != 0) {
            dg_complain("status: out of memory");
            return EXIT_NO_ANSWER;
        }
        break;
    }
    return exits[verdict];
}

static int status(const pid_t *pids, size_t count, enum form form)
{
    struct dg_observations all = {NULL, 0};
    struct dg_error error = {""};
    int result;

    /* Those of the processes count here, not ours. */
    (void)unsetenv("DISTGUARD_CONF");
    (void)unsetenv("DISTGUARD_PROFILE");
    if ((count > 0 ? dg_observe(pids, count, &all, &error) : dg_observe_all(&all, &error)) == 0) {
        result = print(&all, form);
    } else {
        dg_complain("status: %s", error.text);
        result = EXIT_NO_ANSWER;
    }
    dg_observations_free(&all);
    return result;
}

int dg_command_status(const struct dg_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"prometheus", no_argument, NULL, 'p'},
        DG_OPTION_HELP,
        {0},
    };
    enum form form = dg_print_for_people() ? FORM_TABLE : FORM_JSON;
    int chosen = 0;
    int option;
    pid_t *pids;
    size_t count;
    int result;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options)) != -1) {
        if (chosen != 0 && chosen != option) {
            return dg_usage_error(command, "--json and --prometheus: choose one");
        }
        chosen = option;
        form = option == 'j' ? FORM_JSON : FORM_PROMETHEUS;
    }
    count = (size_t)(argc - optind);
    pids = calloc(count + 1, sizeof *pids);
    if (pids == NULL) {
        dg_complain("status: out of memory");
        return EXIT_NO_ANSWER;
    }
    for (size_t i = 0; i < count; i++) {
        pids[i] = dg_proc_number(argv[optind + (int)i]);
        if (pids[i] == 0) {
            free(pids);
            return dg_usage_error(command, "\"%s\" is no process number", argv[optind + (int)i]);
        }
    }
    result = status(pids, count, form);
    free(pids);
    return result;
}
