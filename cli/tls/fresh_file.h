/*
 * Files that must not have been there: a key and its certificate, both written or neither.
 *
 * They are created by name in an open directory, so that nobody who renames it meanwhile changes
 * where they go.
 */
#ifndef DISTGUARD_CLI_TLS_FRESH_FILE_H
#define DISTGUARD_CLI_TLS_FRESH_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "policy/error.h"

struct dg_fresh_file {
    const char *name;
    mode_t mode;
    const void *bytes;
    size_t size;
};

/* `path` is the directory's, for messages. Returns 0, or -1 with `error` and none of the files left
 * behind. */
int dg_fresh_files_write(int directory, const char *path, const struct dg_fresh_file *files,
                         size_t count, struct dg_error *error);

#endif
