#include "policy/values.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/reading.h"
#include "policy/suggest.h"

int dg_parse_word(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);
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
        return dg_wrong(reading, setting, "unknown word \"%s\" (did you mean \"%s\"?)", text,
                        suggestion.best);
    return dg_wrong(reading, setting, "unknown word \"%s\"", text);
}

int dg_parse_truth(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    bool *truth = target;

    (void)key;
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
        return dg_wrong_type(reading, setting);
    *truth = config_setting_get_bool(setting) != CONFIG_FALSE;
    return 0;
}

int dg_parse_large(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    int64_t *number = target;
    long long value;

    if (!dg_is_whole(setting))
        return dg_wrong_type(reading, setting);
    value = config_setting_get_int64(setting);
    if ((double)value < key->low || (double)value > key->high)
        return dg_wrong(reading, setting, "%lld is not allowed", value);
    *number = value;
    return 0;
}

int dg_parse_whole(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    unsigned *number = target;
    int64_t value = 0;

    if (dg_parse_large(key, setting, &value, reading) != 0)
        return -1;
    *number = (unsigned)value;
    return 0;
}

int dg_parse_port(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_reading *reading)
{
    uint16_t *port = target;
    unsigned number = 0;

    if (dg_parse_whole(key, setting, &number, reading) != 0)
        return -1;
    *port = (uint16_t)number;
    return 0;
}

int dg_parse_seconds(const struct dg_key *key, const config_setting_t *setting, void *target,
                     struct dg_reading *reading)
{
    double *seconds = target;
    double value;

    if (dg_is_whole(setting))
        value = (double)config_setting_get_int64(setting);
    else if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
        value = config_setting_get_float(setting);
    else
        return dg_wrong_type(reading, setting);
    if (!(value > 0 && value <= key->high))
        return dg_wrong(reading, setting, "%g is not allowed", value);
    *seconds = value;
    return 0;
}

int dg_parse_text(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] == '\0')
        return dg_wrong(reading, setting, "empty");
    return dg_copy_text(text, target, setting, reading);
}

int dg_parse_path(const struct dg_key *key, const config_setting_t *setting, void *target,
                  struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] != '/')
        return dg_wrong(reading, setting, "\"%s\" does not begin with /", text);
    return dg_copy_text(text, target, setting, reading);
}

int dg_parse_log_target(const struct dg_key *key, const config_setting_t *setting, void *target,
                        struct dg_reading *reading)
{
    struct dg_log_policy *log = target;
    const char *text = dg_text_of(setting, reading);

    (void)key;
    if (text == NULL)
        return -1;
    if (text[0] == '/') {
        log->target = DG_LOG_TO_FILE;
        return dg_copy_text(text, &log->file, setting, reading);
    }
    if (strcmp(text, "syslog") == 0)
        log->target = DG_LOG_TO_SYSLOG;
    else if (strcmp(text, "stderr") == 0)
        log->target = DG_LOG_TO_STDERR;
    else
        return dg_wrong(reading, setting, "unknown target \"%s\"", text);
    return 0;
}

static int parse_program(const config_setting_t *setting, char **target, struct dg_reading *reading)
{
    const char *text = dg_text_of(setting, reading);

    if (text == NULL)
        return -1;
    if (text[0] == '\0' || strchr(text, '/') != NULL)
        return dg_wrong(reading, setting, "\"%s\" is not the base name of a program", text);
    return dg_copy_text(text, target, setting, reading);
}

int dg_parse_programs(const struct dg_key *key, const config_setting_t *setting, void *target,
                      struct dg_reading *reading)
{
    struct dg_string_list *list = target;
    int count;

    (void)key;
    if (!dg_is_sequence(setting))
        return dg_wrong_type(reading, setting);
    count = config_setting_length(setting);
    if (count == 0)
        return dg_wrong(reading, setting, "empty, so nothing would be guarded");
    list->strings = calloc((size_t)count, sizeof *list->strings);
    if (list->strings == NULL)
        return dg_wrong(reading, setting, "out of memory");
    for (; list->count < (size_t)count; list->count++)
        if (parse_program(config_setting_get_elem(setting, (unsigned)list->count),
                          &list->strings[list->count], reading) != 0)
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
                               struct dg_reading *reading)
{
    const char *text;
    long long value;

    if (dg_is_whole(setting)) {
        value = config_setting_get_int64(setting);
        if (value < 1 || value > UINT16_MAX)
            return dg_wrong(reading, setting, "%lld is not a port", value);
        range->first = range->last = (uint16_t)value;
        return 0;
    }
    text = dg_text_of(setting, reading);
    if (text == NULL)
        return -1;
    if (!parse_range(text, range))
        return dg_wrong(reading, setting, "\"%s\" is neither a port nor a range of ports", text);
    return 0;
}

int dg_parse_ports(const struct dg_key *key, const config_setting_t *setting, void *target,
                   struct dg_reading *reading)
{
    struct dg_port_list *list = target;
    size_t count;

    (void)key;
    if (!dg_is_sequence(setting))
        return dg_wrong_type(reading, setting);
    count = (size_t)config_setting_length(setting);
    if (count == 0)
        return 0;
    list->ranges = calloc(count, sizeof *list->ranges);
    if (list->ranges == NULL)
        return dg_wrong(reading, setting, "out of memory");
    for (; list->count < count; list->count++)
        if (parse_ports_element(config_setting_get_elem(setting, (unsigned)list->count),
                                &list->ranges[list->count], reading) != 0)
            return -1;
    return 0;
}

int dg_parse_requests(const struct dg_key *key, const config_setting_t *setting, void *target,
                      struct dg_reading *reading)
{
    unsigned *sum = target;

    if (!dg_is_sequence(setting))
        return dg_wrong_type(reading, setting);
    *sum = 0;
    for (int i = 0; i < config_setting_length(setting); i++) {
        unsigned word = 0;

        if (dg_parse_word(key, config_setting_get_elem(setting, (unsigned)i), &word, reading) != 0)
            return -1;
        *sum |= word;
    }
    return 0;
}
