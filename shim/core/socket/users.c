#include "shim/core/socket/users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_MAX = 128 };

/* What it is where nobody has set it, and where /proc/sys is not shown (ProcSubset=pid). */
#define DEFAULT_OVERFLOW_USER 65534U

/* The beginning of a file in /proc; "" if it cannot be read. */
static void read_text(const struct dg_real *real, const char *path, char text[TEXT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, TEXT_MAX - 1) : 0;

    text[size > 0 ? size : 0] = '\0';
    if (fd >= 0) {
        real->close(fd);
    }
}

static uid_t overflow_user(const struct dg_real *real)
{
    char text[TEXT_MAX];

    read_text(real, "/proc/sys/kernel/overflowuid", text);
    return text[0] != '\0' ? (uid_t)strtoul(text, NULL, 10) : DEFAULT_OVERFLOW_USER;
}

/* All users have their place here, as they have in the first user namespace: "0 0 4294967295", the
 * first of a range in here, outside, and how many. */
static bool all_have_a_place(const struct dg_real *real)
{
    char text[TEXT_MAX];
    char *rest = text;
    unsigned long first;
    unsigned long count;

    read_text(real, "/proc/self/uid_map", text);
    first = strtoul(rest, &rest, 10);
    (void)strtoul(rest, &rest, 10);
    count = strtoul(rest, &rest, 10);
    return first == 0 && count == (uid_t)-1;
}

bool dg_user_is_shared(const struct dg_real *real, uid_t user)
{
    return user == overflow_user(real) && !all_have_a_place(real);
}
