#include "policy/reading.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int dg_wrong(struct dg_reading *reading, const config_setting_t *at, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reading->what.text, sizeof reading->what.text, format, arguments);
    va_end(arguments);
    reading->at = at;
    return -1;
}

int dg_wrong_type(struct dg_reading *reading, const config_setting_t *setting)
{
    static const char *const names[] = {
        [CONFIG_TYPE_NONE] = "no value",      [CONFIG_TYPE_GROUP] = "a group { }",
        [CONFIG_TYPE_INT] = "a whole number", [CONFIG_TYPE_INT64] = "a whole number",
        [CONFIG_TYPE_FLOAT] = "a fraction",   [CONFIG_TYPE_STRING] = "text",
        [CONFIG_TYPE_BOOL] = "a truth value", [CONFIG_TYPE_ARRAY] = "an array [ ]",
        [CONFIG_TYPE_LIST] = "a list ( )",
    };

    return dg_wrong(reading, setting, "wrong type: %s", names[config_setting_type(setting)]);
}

bool dg_is_whole(const config_setting_t *setting)
{
    int type = config_setting_type(setting);

    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

bool dg_is_sequence(const config_setting_t *setting)
{
    return config_setting_is_array(setting) || config_setting_is_list(setting);
}

const char *dg_text_of(const config_setting_t *setting, struct dg_reading *reading)
{
    const char *text = config_setting_get_string(setting);

    if (text == NULL)
        dg_wrong_type(reading, setting);
    return text;
}

int dg_copy_text(const char *text, char **target, const config_setting_t *setting,
                 struct dg_reading *reading)
{
    *target = strdup(text);
    return *target == NULL ? dg_wrong(reading, setting, "out of memory") : 0;
}

struct dg_place dg_place_of(const struct dg_reading *reading, const config_setting_t *setting)
{
    struct dg_place place = {.file = NULL};
    unsigned line = config_setting_source_line(setting);

    if (reading->document != NULL) {
        place.file = dg_source_file(reading->document->source, line);
        place.line = dg_source_line(reading->document->source, line);
    }
    return place;
}
