#include "policy/lists.h"

#include <stdlib.h>
#include <string.h>

int dg_bind_list_append(struct dg_bind_list *list, const struct dg_bind_rule *rule)
{
    struct dg_bind_rule *rules = realloc(list->rules, (list->count + 1) * sizeof *rules);

    if (rules == NULL)
        return -1;
    list->rules = rules;
    rules[list->count] = *rule;
    if (rule->interface != NULL) {
        rules[list->count].interface = strdup(rule->interface);
        if (rules[list->count].interface == NULL)
            return -1;
    }
    list->count++;
    return 0;
}

int dg_bind_list_copy(struct dg_bind_list *list, const struct dg_bind_list *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (dg_bind_list_append(list, &from->rules[i]) != 0)
            return -1;
    return 0;
}

int dg_network_list_copy(struct dg_network_list *list, const struct dg_network_list *from)
{
    struct dg_network_rule *rules = NULL;

    if (from->count > 0) {
        rules = calloc(from->count, sizeof *rules);
        if (rules == NULL)
            return -1;
        memcpy(rules, from->rules, from->count * sizeof *rules);
    }
    *list = *from;
    list->rules = rules;
    return 0;
}

int dg_string_list_append(struct dg_string_list *list, const char *string)
{
    char **strings = realloc(list->strings, (list->count + 1) * sizeof *strings);

    if (strings == NULL)
        return -1;
    list->strings = strings;
    strings[list->count] = strdup(string);
    if (strings[list->count] == NULL)
        return -1;
    list->count++;
    return 0;
}

void dg_bind_list_free(struct dg_bind_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->rules[i].interface);
    free(list->rules);
}

void dg_network_list_free(struct dg_network_list *list)
{
    free(list->rules);
}

void dg_string_list_free(struct dg_string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->strings[i]);
    free(list->strings);
}

void dg_peer_list_free(struct dg_peer_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->rules[i].dns);
        free(list->rules[i].uri);
        dg_string_list_free(&list->rules[i].nodes);
    }
    free(list->rules);
}
