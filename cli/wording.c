#include "cli/wording.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/message.h"
#include "policy/pin.h"

char *dg_word_arguments(const char *format, va_list arguments)
{
    char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        dg_complain("out of memory");
        exit(EXIT_FAILURE);
    }
    return text;
}

char *dg_word(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = dg_word_arguments(format, arguments);
    va_end(arguments);
    return text;
}

char *dg_word_place(const struct dg_place *place)
{
    return place->file == NULL ? dg_word("default") : dg_word("%s:%u", place->file, place->line);
}

/* "WHAT (PLACE)" */
static char *with_place(const char *what, const struct dg_place *place)
{
    char *where = dg_word_place(place);
    char *text = dg_word("%s (%s)", what, where);

    free(where);
    return text;
}

char *dg_word_rule(const struct dg_bind_rule *rule)
{
    char network[DG_NETWORK_TEXT], *interface, *text;

    switch (rule->kind) {
    case DG_BIND_LOOPBACK:
        return with_place("loopback", &rule->place);
    case DG_BIND_ANY:
        return with_place("any", &rule->place);
    case DG_BIND_INTERFACE:
        interface = dg_word("interface:%s", rule->interface);
        text = with_place(interface, &rule->place);
        free(interface);
        return text;
    case DG_BIND_NETWORK:
    default:
        dg_network_print(&rule->network, network);
        return with_place(network, &rule->place);
    }
}

char *dg_word_network_rule(const struct dg_network_rule *rule)
{
    char network[DG_NETWORK_TEXT];

    dg_network_print(&rule->network, network);
    return with_place(network, &rule->place);
}

char *dg_word_join(char *list, const char *separator, char *item)
{
    char *text = dg_word("%s%s%s", list, list[0] == '\0' ? "" : separator, item);

    free(list);
    free(item);
    return text;
}

static char *append(char *list, char *item)
{
    return dg_word_join(list, ", ", item);
}

char *dg_word_rules(const struct dg_bind_list *rules)
{
    char *text = dg_word("%s", "");

    for (size_t i = 0; i < rules->count; i++)
        text = append(text, dg_word_rule(&rules->rules[i]));
    return text;
}

char *dg_word_network_rules(const struct dg_network_list *rules)
{
    char *text = dg_word("%s", "");

    for (size_t i = 0; i < rules->count; i++)
        text = append(text, dg_word_network_rule(&rules->rules[i]));
    return text;
}

/* What a certificate must have, all of it. */
static char *word_criteria(const struct dg_peer_rule *rule)
{
    char *text = dg_word("%s", "");
    char network[DG_NETWORK_TEXT], pin[DG_PIN_TEXT];

    if (rule->dns != NULL)
        text = dg_word_join(text, " and ", dg_word("dns %s", rule->dns));
    if (rule->ip.host.family != DG_FAMILY_NONE) {
        dg_network_print(&rule->ip, network);
        text = dg_word_join(text, " and ", dg_word("ip %s", network));
    }
    if (rule->uri != NULL)
        text = dg_word_join(text, " and ", dg_word("uri %s", rule->uri));
    if (rule->pinned) {
        dg_pin_print(rule->spki, pin);
        text = dg_word_join(text, " and ", dg_word("spki %s", pin));
    }
    return text;
}

char *dg_word_peer_rule(const struct dg_peer_rule *rule)
{
    char *nodes = dg_word("%s", ""), *what, *text;

    for (size_t i = 0; i < rule->nodes.count; i++)
        nodes = dg_word_join(nodes, " or ", dg_word("%s", rule->nodes.strings[i]));
    if (rule->nodes.count == 0)
        nodes = dg_word_join(nodes, "", dg_word("any node"));
    what = dg_word_join(word_criteria(rule), ", as ", nodes);
    text = with_place(what, &rule->place);
    free(what);
    return text;
}
