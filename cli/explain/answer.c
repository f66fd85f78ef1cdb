#include "cli/explain/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/wording.h"

static void say(const char *decision, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void say(const char *decision, const char *format, va_list arguments)
{
    (void)printf("%s: ", decision);
    (void)vprintf(format, arguments);
    (void)puts(".");
}

int dg_answer_allowed(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("allowed", format, arguments);
    va_end(arguments);
    return DG_EXIT_OK;
}

int dg_answer_refused(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say("refused", format, arguments);
    va_end(arguments);
    return DG_EXIT_FAILURE;
}

int dg_answer_moved(const struct dg_host *host, const char *format, ...)
{
    char address[DG_NETWORK_TEXT], *decision;
    va_list arguments;

    dg_host_print(host, address);
    decision = dg_word("moved to %s", address);
    va_start(arguments, format);
    say(decision, format, arguments);
    va_end(arguments);
    free(decision);
    return DG_EXIT_OK;
}

/* What distguard leaves alone. */
static bool is_exempt(const struct dg_question *question)
{
    const struct dg_policy *policy = question->policy;
    char *place;

    if (policy->mode == DG_MODE_OFF) {
        place = dg_word_place(&policy->mode_place);
        dg_answer_allowed("mode is off (%s), so nothing is guarded", place);
    } else if (!dg_policy_guards(policy, question->program)) {
        place = dg_word_place(&policy->programs_place);
        dg_answer_allowed("%s is none of the programs that are guarded (%s)", question->program,
                          place);
    } else if (question->role == DG_ASKED_OTHER) {
        place = NULL;
        dg_answer_allowed("this is neither distribution nor EPMD, and other sockets keep their "
                          "addresses (default)");
    } else {
        return false;
    }
    free(place);
    return true;
}

bool dg_answer_outright(const struct dg_question *question, bool carries_distribution, int *status)
{
    const struct dg_distribution_policy *distribution = &question->policy->distribution;
    char *place;

    *status = DG_EXIT_OK;
    if (is_exempt(question))
        return true;
    if (distribution->enabled || !carries_distribution)
        return false;
    place = dg_word_place(&distribution->enabled_place);
    *status = dg_answer_refused("distribution.enabled is false (%s)", place);
    free(place);
    return true;
}

const char *dg_question_group(const struct dg_question *question)
{
    return question->role == DG_ASKED_EPMD ? "epmd" : "distribution";
}

char *dg_question_allows(const struct dg_question *question, const struct dg_network_list *list,
                         const char *name, bool *allowed)
{
    const char *group = dg_question_group(question);
    bool open;
    const struct dg_network_rule *rule = dg_policy_allows(list, &question->host, &open);
    char *rules, *text;

    *allowed = open || rule != NULL;
    if (*allowed && rule == NULL)
        return dg_word("%s.%s is not set (default)", group, name);
    rules = *allowed ? dg_word_network_rule(rule) : dg_word_network_rules(list);
    text = dg_word(*allowed ? "%s.%s has %s" : "%s.%s, %s", group, name, rules);
    free(rules);
    return text;
}
