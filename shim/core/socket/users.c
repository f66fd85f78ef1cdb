#include "shim/core/socket/users.h"

#include <stdlib.h>

#include "shim/core/socket/proc.h"

/* What it is where nobody has set it, and where /proc/sys is not shown (ProcSubset=pid). */
#define DEFAULT_OVERFLOW_USER 65534U

static uid_t overflow_user(const struct dg_real *real)
{
    char text[DG_PROC_TEXT];

    dg_proc_read(real, "/proc/sys/kernel/overflowuid", text);
    return text[0] != '\0' ? (uid_t)strtoul(text, NULL, 10) : DEFAULT_OVERFLOW_USER;
}

/* All users have their place here, as they have in the first user namespace: "0 0 4294967295", the
 * first of a range in here, outside, and how many. */
static bool all_have_a_place(const struct dg_real *real)
{
    char text[DG_PROC_TEXT];
    char *rest = text;
    unsigned long first;
    unsigned long count;

    dg_proc_read(real, "/proc/self/uid_map", text);
    first = strtoul(rest, &rest, 10);
    (void)strtoul(rest, &rest, 10);
    count = strtoul(rest, &rest, 10);
    return first == 0 && count == (uid_t)-1;
}

bool dg_user_is_shared(const struct dg_real *real, uid_t user)
{
    return user == overflow_user(real) && !all_have_a_place(real);
}
