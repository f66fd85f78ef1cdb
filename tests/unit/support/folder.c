#include "tests/unit/support/folder.h"

#include <dirent.h>
#include <unistd.h>

void folder_remove(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        (void)unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    (void)rmdir(path);
}
