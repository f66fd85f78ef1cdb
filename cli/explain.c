/* distguard explain: what happens to one bind, connect or accept, and which line of the policy says
 * so. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/explain/endpoint.h"
#include "cli/explain/question.h"
#include "cli/message.h"
#include "cli/options.h"
#include "policy/policy.h"

#define EPMD_PORT 4369

struct request {
    const char *conf;
    const char *profile;
    const char *program;
    const char *role;
    const char *to;
    const char *from;
    bool plaintext;
};

static uint16_t epmd_port(const struct dg_policy *policy)
{
    return policy->epmd.port != 0 ? policy->epmd.port : EPMD_PORT;
}

/* What is not said follows from the program, and from where a connection leads. */
static bool choose_role(const struct request *request, bool connecting,
                        struct dg_question *question)
{
    static const char *const names[] = {[DG_ASKED_DISTRIBUTION] = "distribution",
                                        [DG_ASKED_EPMD] = "epmd",
                                        [DG_ASKED_OTHER] = "other"};

    if (request->role == NULL) {
        bool epmd = connecting ? question->port == epmd_port(question->policy)
                               : strcmp(question->program, "epmd") == 0;

        question->role = epmd ? DG_ASKED_EPMD : DG_ASKED_DISTRIBUTION;
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(request->role, names[i]) == 0) {
            question->role = (enum dg_asked_role)i;
            return true;
        }
    return false;
}

struct subject {
    const char *name;
    int (*explain)(const struct dg_question *question);
    bool connecting;
    bool port_required;
};

static int ask(const struct dg_command *command, const struct request *request,
               const struct subject *subject, const struct dg_endpoint *endpoint)
{
    struct dg_policy *policy = NULL;
    struct dg_question question = {.host = endpoint->host,
                                   .port = endpoint->port,
                                   .program = request->program,
                                   .plaintext = request->plaintext};
    struct dg_error error;
    int status;

    if (dg_policy_load(request->conf, request->profile, &policy, &error) != 0) {
        dg_complain("%s", error.text);
        return DG_EXIT_USAGE;
    }
    question.policy = policy;
    if (choose_role(request, subject->connecting, &question))
        status = subject->explain(&question);
    else
        status = dg_usage_error(command, "--role %s: allowed are distribution, epmd, other",
                                request->role);
    dg_policy_free(policy);
    return status;
}

static int explain(const struct dg_command *command, const struct request *request,
                   const struct subject *subject, const char *address)
{
    struct dg_endpoint endpoint;

    if (!dg_endpoint_parse(address, &endpoint))
        return dg_usage_error(command,
                              "\"%s\" is no address; write 10.0.0.1, 10.0.0.1:4369 or "
                              "[fd00::1]:4369",
                              address);
    if (subject->port_required && !endpoint.has_port)
        return dg_usage_error(command, "%s %s: the port is missing; 0 is any", subject->name,
                              address);
    if (!subject->port_required && dg_host_is_wildcard(&endpoint.host))
        return dg_usage_error(command, "\"%s\" is every address; name one", address);
    return ask(command, request, subject, &endpoint);
}

static int dispatch(const struct dg_command *command, const struct request *request, int argc,
                    char **argv)
{
    static const struct subject bind = {"bind", dg_explain_bind, false, true};
    static const struct subject connect = {"connect", dg_explain_connect, true, false};
    static const struct subject accept = {"accept", dg_explain_accept, false, false};
    const char *what = argc > 0 ? argv[0] : "";

    if (strcmp(what, "bind") == 0 && argc == 2)
        return explain(command, request, &bind, argv[1]);
    if (strcmp(what, "bind") == 0)
        return dg_usage_error(command, "bind needs one ADDRESS:PORT");
    if (argc == 1 && strcmp(what, "connect") == 0)
        return request->to != NULL ? explain(command, request, &connect, request->to)
                                   : dg_usage_error(command, "connect needs --to ADDRESS");
    if (argc == 1 && strcmp(what, "accept") == 0)
        return request->from != NULL ? explain(command, request, &accept, request->from)
                                     : dg_usage_error(command, "accept needs --from ADDRESS");
    return dg_usage_error(command, "say what to explain: bind, connect or accept");
}

int dg_command_explain(const struct dg_command *command, int argc, char **argv)
{
    enum { CONF = 1, PROFILE, PROGRAM, ROLE, TO, FROM, PLAINTEXT };
    static const struct option options[] = {
        {"conf", required_argument, NULL, CONF},
        {"profile", required_argument, NULL, PROFILE},
        {"program", required_argument, NULL, PROGRAM},
        {"role", required_argument, NULL, ROLE},
        {"to", required_argument, NULL, TO},
        {"from", required_argument, NULL, FROM},
        {"plaintext", no_argument, NULL, PLAINTEXT},
        DG_OPTION_HELP,
        {0},
    };
    struct request request = {.program = "beam.smp"};
    const char **const values[] = {
        [CONF] = &request.conf, [PROFILE] = &request.profile, [PROGRAM] = &request.program,
        [ROLE] = &request.role, [TO] = &request.to,           [FROM] = &request.from};
    int option;

    while ((option = dg_next_option(command, argc, argv, DG_OPTIONS_ANYWHERE, options)) != -1) {
        if (option == PLAINTEXT)
            request.plaintext = true;
        else
            *values[option] = optarg;
    }
    return dispatch(command, &request, argc - optind, argv + optind);
}
