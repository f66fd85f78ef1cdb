/* What may be asked of a policy: what happens to one bind, connect or accept. */
#ifndef DISTGUARD_CLI_EXPLAIN_QUESTION_H
#define DISTGUARD_CLI_EXPLAIN_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

enum dg_asked_role {
    DG_ASKED_DISTRIBUTION,
    DG_ASKED_EPMD,
    DG_ASKED_OTHER,
};

struct dg_question {
    const struct dg_policy *policy;
    const char *program; /* its base name */
    enum dg_asked_role role;
    struct dg_host host; /* to be bound, connected to, or accepted from */
    uint16_t port;       /* 0: not said, or any */
    bool plaintext;      /* of an accept: the peer speaks no TLS */
};

/* Print the decision and who made it. Return the exit status: DG_EXIT_OK where the program gets
 * what it asks for, or something like it; DG_EXIT_FAILURE where it is refused. */
int dg_explain_bind(const struct dg_question *question);
int dg_explain_connect(const struct dg_question *question);
int dg_explain_accept(const struct dg_question *question);

#endif
