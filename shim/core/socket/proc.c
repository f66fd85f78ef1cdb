#include "shim/core/socket/proc.h"

#include <fcntl.h>
#include <unistd.h>

void dg_proc_read(const struct dg_real *real, const char *path, char text[DG_PROC_TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, DG_PROC_TEXT - 1) : 0;

    text[size > 0 ? size : 0] = '\0';
    if (fd >= 0) {
        real->close(fd);
    }
}
