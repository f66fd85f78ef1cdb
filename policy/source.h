/*
 * The text of a policy file with its @include files in place, and where each of its lines came
 * from.
 *
 * libconfig could include by itself, but opens those files before we could check whose they are,
 * and ends the process if one of them is a directory (its scanner calls exit()). So it is only ever
 * handed text.
 */
#ifndef DISTGUARD_POLICY_SOURCE_H
#define DISTGUARD_POLICY_SOURCE_H

#include <stddef.h>

#include "policy/error.h"
#include "policy/policy.h"

struct dg_source_line {
    size_t file;     /* index into files */
    unsigned number; /* from 1 */
};

struct dg_source {
    char *text; /* NUL-terminated */
    size_t size;
    struct dg_source_line *lines; /* lines[0] is the text's first */
    size_t line_count;
    char **files; /* files[0] is the policy file */
    size_t file_count;
};

/*
 * Reads `path` and all that it includes; relative names are looked up in the policy file's own
 * folder. Every file must pass dg_policy_check_file(). Returns 0 and a source that the caller frees
 * with dg_source_free(), or -1 with the reason in `error`; then there is nothing to free.
 */
int dg_source_read(struct dg_source *source, const char *path, struct dg_error *error);
void dg_source_free(struct dg_source *source);

/* The names of the files become the list's, which is empty; the source answers no more questions
 * then. */
void dg_source_give_files(struct dg_source *source, struct dg_string_list *list);

/* The file and line that the text's line (from 1) came from. */
const char *dg_source_file(const struct dg_source *source, unsigned line);
unsigned dg_source_line(const struct dg_source *source, unsigned line);

#endif
