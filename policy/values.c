#include "policy/values.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/suggest.h"

static int wrong(struct dg_problem *problem, const config_setting_t *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int wrong(struct dg_problem *problem, const config_setting_t *at, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(problem->what.text, sizeof problem->what.text, format, arguments);
    va_end(arguments);
    problem->at = at;
    return -1;
}

static int wrong_type(struct dg_problem *problem, const config_setting_t *setting)
{
    static const char *const names[] = {
        [CONFIG_TYPE_NONE] = "no value",      [CONFIG_TYPE_GROUP] = "a group { }",
        [CONFIG_TYPE_INT] = "a whole number", [CONFIG_TYPE_INT64] = "a whole number",
        [CONFIG_TYPE_FLOAT] = "a fraction",   [CONFIG_TYPE_STRING] = "text",
        [CONFIG_TYPE_BOOL] = "a truth value", [CONFIG_TYPE_ARRAY] = "an array [ ]",
        [CONFIG_TYPE_LIST] = "a list ( )",
    };

    return wrong(problem, setting, "wrong type: %s", names[config_setting_type(setting)]);
}

static bool is_whole(const config_setting_t *setting)
{
    int type = config_setting_type(setting);

    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static bool is_sequence(const config_setting_t *setting)
{
    return config_setting_is_array(setting) || config_setting_is_list(setting);
}

static const char *text_of(const config_setting_t *setting, struct dg_problem *problem)
{
    const char *text = config_setting_get_string(setting);

    if (text == NULL)
        wrong_type(problem, setting);
    return text;
}

static int copy(const char *text, char **target, const config_setting_t *setting,
                struct dg_problem *problem)
{
    *target = strdup(text);
    return *target == NULL ? wrong(problem, setting, "out of memory") : 0;
}

int dg_parse_word(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_problem *problem)
{
    const char *text = text_of(setting, problem);
    struct dg_suggestion suggestion;

    if (text == NULL)
        return -1;
    dg_suggest_start(&suggestion, text);
    for (const struct dg_word *word = key->words; word->name != NULL; word++) {
        if (strcmp(word->name, text) == 0) {
            memcpy(target, &word->value, sizeof word->value);
            return 0;
        }
        dg_suggest_candidate(&suggestion, word->name);
    }
    if (suggestion.best != NULL)
        return wrong(problem, setting, "unknown word \"%s\" (did you mean \"%s\"?)", text,
                     suggestion.best);
    return wrong(problem, setting, "unknown word \"%s\"", text);
}

int dg_parse_whole(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_problem *problem)
{
    unsigned *number = target;
    long long value;

    if (!is_whole(setting))
        return wrong_type(problem, setting);
    value = config_setting_get_int64(setting);
    if ((double)value < key->low || (double)value > key->high)
        return wrong(problem, setting, "%lld is not allowed", value);
    *number = (unsigned)value;
    return 0;
}

int dg_parse_port(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_problem *problem)
{
    uint16_t *port = target;
    unsigned number = 0;

    if (dg_parse_whole(key, setting, &number, problem) != 0)
        return -1;
    *port = (uint16_t)number;
    return 0;
}

int dg_parse_seconds(const struct dg_key *key, const config_setting_t *setting, void *target,
                     struct dg_problem *problem)
{
    double *seconds = target;
    double value;

    if (is_whole(setting))
        value = (double)config_setting_get_int64(setting);
    else if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
        value = config_setting_get_float(setting);
    else
        return wrong_type(problem, setting);
    if (!(value > 0 && value <= key->high))
        return wrong(problem, setting, "%g is not allowed", value);
    *seconds = value;
    return 0;
}

int dg_parse_text(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_problem *problem)
{
    const char *text = text_of(setting, problem);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] == '\0')
        return wrong(problem, setting, "empty");
    return copy(text, target, setting, problem);
}

int dg_parse_path(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_problem *problem)
{
    const char *text = text_of(setting, problem);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] != '/')
        return wrong(problem, setting, "\"%s\" does not begin with /", text);
    return copy(text, target, setting, problem);
}

int dg_parse_log_target(const struct dg_key *key, const config_setting_t *setting, void *target,
                        struct dg_problem *problem)
{
    struct dg_log_policy *log = target;
    const char *text = text_of(setting, problem);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] == '/') {
        log->target = DG_LOG_TO_FILE;
        return copy(text, &log->file, setting, problem);
    }
    if (strcmp(text, "syslog") == 0)
        log->target = DG_LOG_TO_SYSLOG;
    else if (strcmp(text, "stderr") == 0)
        log->target = DG_LOG_TO_STDERR;
    else
        return wrong(problem, setting, "unknown target \"%s\"", text);
    return 0;
}

static int parse_program(const config_setting_t *setting, char **target, struct dg_problem *problem)
{
    const char *text = text_of(setting, problem);

    if (text == NULL)
        return -1;
    if (text[0] == '\0' || strchr(text, '/') != NULL)
        return wrong(problem, setting, "\"%s\" is not the base name of a program", text);
    return copy(text, target, setting, problem);
}

int dg_parse_programs(const struct dg_key *key, const config_setting_t *setting, void *target,
                      struct dg_problem *problem)
{
    struct dg_string_list *list = target;
    int count;

    (void)key;
    if (!is_sequence(setting))
        return wrong_type(problem, setting);
    count = config_setting_length(setting);
    if (count == 0)
        return wrong(problem, setting, "empty, so nothing would be guarded");
    list->strings = calloc((size_t)count, sizeof *list->strings);
    if (list->strings == NULL)
        return wrong(problem, setting, "out of memory");
    for (; list->count < (size_t)count; list->count++)
        if (parse_program(config_setting_get_elem(setting, (unsigned)list->count),
                          &list->strings[list->count], problem) != 0)
            return -1;
    return 0;
}

/* Decimal digits and nothing else, 1 to 65535. Returns what follows them, or NULL. */
static const char *take_port(const char *text, uint16_t *port)
{
    unsigned value = 0;

    if (!isdigit((unsigned char)*text))
        return NULL;
    for (; isdigit((unsigned char)*text); text++) {
        value = 10 * value + (unsigned)(*text - '0');
        if (value > UINT16_MAX)
            return NULL;
    }
    *port = (uint16_t)value;
    return value == 0 ? NULL : text;
}

static bool parse_range(const char *text, struct dg_port_range *range)
{
    const char *rest = take_port(text, &range->first);

    if (rest == NULL)
        return false;
    range->last = range->first;
    if (*rest == '-')
        rest = take_port(rest + 1, &range->last);
    return rest != NULL && *rest == '\0' && range->first <= range->last;
}

static int parse_ports_element(const config_setting_t *setting, struct dg_port_range *range,
                               struct dg_problem *problem)
{
    const char *text;
    long long value;

    if (is_whole(setting)) {
        value = config_setting_get_int64(setting);
        if (value < 1 || value > UINT16_MAX)
            return wrong(problem, setting, "%lld is not a port", value);
        range->first = range->last = (uint16_t)value;
        return 0;
    }
    text = text_of(setting, problem);
    if (text == NULL)
        return -1;
    if (!parse_range(text, range))
        return wrong(problem, setting, "\"%s\" is neither a port nor a range of ports", text);
    return 0;
}

int dg_parse_ports(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_problem *problem)
{
    struct dg_port_list *list = target;
    size_t count;

    (void)key;
    if (!is_sequence(setting))
        return wrong_type(problem, setting);
    count = (size_t)config_setting_length(setting);
    if (count == 0)
        return 0;
    list->ranges = calloc(count, sizeof *list->ranges);
    if (list->ranges == NULL)
        return wrong(problem, setting, "out of memory");
    for (; list->count < count; list->count++)
        if (parse_ports_element(config_setting_get_elem(setting, (unsigned)list->count),
                                &list->ranges[list->count], problem) != 0)
            return -1;
    return 0;
}
