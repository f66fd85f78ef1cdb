/* What happens to a connection that a program makes. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/explain/answer.h"
#include "cli/wording.h"
#include "shim/core/socket/placement.h"

static const char *transport_of(const struct dg_question *question)
{
    if (question->policy->mode == DG_MODE_ALLOW)
        return "; in plaintext, as mode is allow";
    if (question->role != DG_ASKED_EPMD)
        return "; over mutual TLS";
    return dg_host_is_loopback(&question->host)
               ? "; in plaintext, as EPMD speaks it on its own host"
               : "; over mutual TLS, unless it is this host's own";
}

/* It may connect, `because`: from which address? */
static int explain_source(const struct dg_question *question, const char *because)
{
    const struct dg_bind_rule *rule;
    char address[DG_NETWORK_TEXT], *text;
    struct dg_error error;
    struct dg_host host;
    int status;

    switch (dg_place_listener(&question->policy->distribution.connect_from, question->host.family,
                              &host, &rule, &error)) {
    case DG_PLACEMENT_FOUND:
        dg_host_print(&host, address);
        text = dg_word_rule(rule);
        status = dg_answer_allowed("%s; the source address is %s, as connect_from is %s%s", because,
                                   address, text, transport_of(question));
        free(text);
        return status;
    case DG_PLACEMENT_FAILED:
        return dg_answer_refused("%s", error.text);
    case DG_PLACEMENT_OTHER_FAMILY:
        text = dg_word_rules(&question->policy->distribution.connect_from);
        status = dg_answer_refused("%s, but connect_from is %s, from which %s cannot be reached; "
                                   "the program gets EADDRNOTAVAIL",
                                   because, text,
                                   question->host.family == DG_FAMILY_IPV4 ? "IPv4" : "IPv6");
        free(text);
        return status;
    case DG_PLACEMENT_ANY:
    default:
        return dg_answer_allowed("%s; the kernel chooses the source address (default)%s", because,
                                 transport_of(question));
    }
}

static int explain_destination(const struct dg_question *question, const char *address)
{
    const struct dg_network_list *list = question->role == DG_ASKED_EPMD
                                             ? &question->policy->epmd.allow_to
                                             : &question->policy->distribution.allow_to;
    bool allowed;
    char *because = dg_question_allows(question, list, "allow_to", &allowed);
    int status = allowed ? explain_source(question, because)
                         : dg_answer_refused("%s is not within %s; the program gets EACCES",
                                             address, because);

    free(because);
    return status;
}

int dg_explain_connect(const struct dg_question *question)
{
    char address[DG_NETWORK_TEXT];
    int status;

    if (dg_answer_outright(question, true, &status))
        return status;
    dg_host_print(&question->host, address);
    if (dg_host_is_loopback(&question->host))
        return dg_answer_allowed("%s is this very host, to which allow_to and connect_from do not "
                                 "apply (default)%s",
                                 address, transport_of(question));
    return explain_destination(question, address);
}
