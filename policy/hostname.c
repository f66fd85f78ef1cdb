#include "policy/hostname.h"

#include <string.h>

#include "policy/ascii.h"

#define LABEL_MAX 63 /* RFC 1035 */

static bool label_valid(const char *label, size_t size)
{
    if (size == 0 || size > LABEL_MAX || label[0] == '-' || label[size - 1] == '-')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!dg_is_letter(label[i]) && !dg_is_digit(label[i]) && label[i] != '-')
            return false;
    return true;
}

bool dg_hostname_valid(const char *name)
{
    if (strlen(name) > DG_HOSTNAME_MAX)
        return false;
    for (;; name++) {
        size_t size = strcspn(name, ".");

        if (!label_valid(name, size))
            return false;
        name += size;
        if (*name == '\0')
            return true;
    }
}

bool dg_hostname_usual(const char *name)
{
    size_t label = 0;

    if (strlen(name) > DG_HOSTNAME_MAX)
        return false;
    for (; *name != '\0'; name++) {
        if (*name == '.' && label == 0)
            return false;
        if (*name != '.' && !dg_is_letter(*name) && !dg_is_digit(*name) && *name != '-' &&
            *name != '_')
            return false;
        label = *name == '.' ? 0 : label + 1;
    }
    return label > 0;
}

bool dg_hostname_is_pattern(const char *name, unsigned labels)
{
    if (strlen(name) > DG_HOSTNAME_MAX || strncmp(name, "*.", 2) != 0 ||
        !dg_hostname_valid(name + 2))
        return false;
    for (name += 2; name != NULL && labels > 1; labels--) {
        name = strchr(name, '.');
        name = name != NULL ? name + 1 : NULL;
    }
    return name != NULL;
}

bool dg_hostname_matches(const char *pattern, const char *name)
{
    size_t label = strcspn(name, ".");

    if (dg_equal_ignoring_case(pattern, name))
        return true;
    return dg_hostname_is_pattern(pattern, 1) && label_valid(name, label) &&
           dg_equal_ignoring_case(pattern + 1, name + label);
}
