/* What happens to a peer that connects. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/explain/answer.h"
#include "cli/wording.h"

/* Plaintext from this host is `local`'s to decide. */
static int explain_local(const struct dg_question *question, const char *address)
{
    const struct dg_policy *policy = question->policy;
    char *place = dg_word_place(&policy->local_place);
    int status;

    switch (policy->local) {
    case DG_LOCAL_ALLOW:
        status = dg_answer_allowed("%s is this very host, and local is allow (%s)", address, place);
        break;
    case DG_LOCAL_SAME_USER:
        status = dg_answer_allowed("%s is this very host, and local is same-user (%s), if the "
                                   "peer's socket belongs to the program's user or to root; else "
                                   "it is refused",
                                   address, place);
        break;
    case DG_LOCAL_DENY:
    default:
        status = dg_answer_refused("%s is this very host, but speaks plaintext, and local is deny "
                                   "(%s)",
                                   address, place);
    }
    free(place);
    return status;
}

static int explain_certificate(const struct dg_peer_list *peers, const char *because)
{
    char *place;
    int status;

    if (!peers->given)
        return dg_answer_allowed("%s; over TLS, with a certificate of the CA", because);
    place = dg_word_place(&peers->place);
    status = dg_answer_allowed("%s; over TLS, with a certificate of the CA that peers has (%s)",
                               because, place);
    free(place);
    return status;
}

/* The address may connect, `because`: may it do so without TLS? */
static int explain_transport(const struct dg_question *question, const char *because)
{
    const struct dg_policy *policy = question->policy;
    const char *mode = dg_mode_name(policy->mode);
    char *place;
    int status;

    if (!question->plaintext)
        return explain_certificate(&policy->peers, because);
    place = dg_word_place(&policy->mode_place);
    if (policy->mode == DG_MODE_ALLOW || policy->mode == DG_MODE_PREFER)
        status = dg_answer_allowed("%s; in plaintext, as mode is %s (%s)", because, mode, place);
    else
        status = dg_answer_refused("%s, but it speaks plaintext, and mode is %s (%s)", because,
                                   mode, place);
    free(place);
    return status;
}

static int explain_peer(const struct dg_question *question, const char *address)
{
    const struct dg_network_list *list = question->role == DG_ASKED_EPMD
                                             ? &question->policy->epmd.allow_from
                                             : &question->policy->distribution.allow_from;
    bool allowed;
    char *because = dg_question_allows(question, list, "allow_from", &allowed);
    int status = allowed ? explain_transport(question, because)
                         : dg_answer_refused("%s is not within %s; the connection is closed, and "
                                             "the program never sees it",
                                             address, because);

    free(because);
    return status;
}

/* What `local` keeps out is no worse than a stranger, whom allow and prefer take. */
static int explain_local_plaintext(const struct dg_question *question, const char *address)
{
    char *because;
    int status;

    if (question->policy->local == DG_LOCAL_ALLOW || question->policy->mode == DG_MODE_REQUIRE)
        return explain_local(question, address);
    because = dg_word("%s is this very host", address);
    status = explain_transport(question, because);
    free(because);
    return status;
}

int dg_explain_accept(const struct dg_question *question)
{
    char address[DG_NETWORK_TEXT];
    int status;

    if (dg_answer_outright(question, question->role == DG_ASKED_DISTRIBUTION, &status))
        return status;
    dg_host_print(&question->host, address);
    if (!dg_host_is_loopback(&question->host))
        return explain_peer(question, address);
    if (question->plaintext && question->role == DG_ASKED_DISTRIBUTION)
        return explain_local_plaintext(question, address);
    return dg_answer_allowed("%s is this very host, which allow_from does not keep out (default)",
                             address);
}
