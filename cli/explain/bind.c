/* What happens to a listener. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/explain/answer.h"
#include "cli/wording.h"
#include "shim/core/socket/placement.h"

static const struct dg_bind_list *rules_of(const struct dg_question *question)
{
    return question->role == DG_ASKED_EPMD ? &question->policy->epmd.bind
                                           : &question->policy->distribution.bind;
}

/* What else is to be known of a listener that is moved. */
static const char *addition(const struct dg_question *question)
{
    if (question->role == DG_ASKED_EPMD)
        return "; EPMD listens on loopback, too, for the nodes of this host";
    if (question->port != 0 &&
        dg_policy_port_listed(&question->policy->distribution.ports, question->port))
        return ", at once, as distribution.ports names the port";
    return ", when the node registers the port with EPMD; any other listener stays where it is";
}

/* A socket of IPv6 that is not told otherwise speaks IPv4, too, and so can be moved there. */
static enum dg_placement place(const struct dg_bind_list *rules, enum dg_family family,
                               struct dg_host *host, const struct dg_bind_rule **rule,
                               struct dg_error *error)
{
    enum dg_placement placement = dg_place_listener(rules, family, host, rule, error);

    if (placement == DG_PLACEMENT_OTHER_FAMILY && family == DG_FAMILY_IPV6)
        return dg_place_listener(rules, DG_FAMILY_IPV4, host, rule, error);
    return placement;
}

static int explain_wildcard(const struct dg_question *question)
{
    const struct dg_bind_list *rules = rules_of(question);
    const char *group = dg_question_group(question);
    const struct dg_bind_rule *rule;
    struct dg_error error;
    struct dg_host host;
    enum dg_placement placement = place(rules, question->host.family, &host, &rule, &error);
    char *text = rule == NULL ? dg_word_rules(rules) : dg_word_rule(rule);
    int status;

    switch (placement) {
    case DG_PLACEMENT_FOUND:
        status = dg_answer_moved(&host, "%s.bind is %s%s", group, text, addition(question));
        break;
    case DG_PLACEMENT_ANY:
        status = dg_answer_allowed("%s.bind is %s", group, text);
        break;
    case DG_PLACEMENT_OTHER_FAMILY:
        status = dg_answer_refused("%s.bind is %s, which is no place for %s", group, text,
                                   question->host.family == DG_FAMILY_IPV4 ? "IPv4" : "IPv6");
        break;
    case DG_PLACEMENT_FAILED:
    default:
        status = dg_answer_refused("%s", error.text);
    }
    free(text);
    return status;
}

/* The rule that lets a program have this very address. */
static const struct dg_bind_rule *permitting(const struct dg_bind_list *rules,
                                             const struct dg_host *host)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct dg_bind_list one = {&rules->rules[i], 1};

        if (dg_place_permits(&one, host))
            return &rules->rules[i];
    }
    return NULL;
}

static int explain_address(const struct dg_question *question)
{
    const struct dg_bind_list *rules = rules_of(question);
    const struct dg_bind_rule *rule = permitting(rules, &question->host);
    const char *group = dg_question_group(question);
    char address[DG_NETWORK_TEXT], *text;
    int status;

    dg_host_print(&question->host, address);
    if (dg_host_is_loopback(&question->host))
        return dg_answer_allowed("%s is loopback, which no other host can reach (default)",
                                 address);
    text = rule == NULL ? dg_word_rules(rules) : dg_word_rule(rule);
    if (rule != NULL)
        status = dg_answer_allowed("%s is within %s.bind, %s", address, group, text);
    else
        status = dg_answer_refused("%s is not within %s.bind, %s; the program gets EADDRNOTAVAIL",
                                   address, group, text);
    free(text);
    return status;
}

int dg_explain_bind(const struct dg_question *question)
{
    int status;

    if (dg_answer_outright(question, question->role == DG_ASKED_DISTRIBUTION, &status))
        return status;
    return dg_host_is_wildcard(&question->host) ? explain_wildcard(question)
                                                : explain_address(question);
}
