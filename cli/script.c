#include "cli/script.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static const char blanks[] = " \t";

bool dg_script_read(int fd, struct dg_script *script)
{
    char line[DG_SCRIPT_LINE + 1];
    ssize_t size = pread(fd, line, DG_SCRIPT_LINE, 0);
    char *word;
    char *end;

    if (size < 2 || line[0] != '#' || line[1] != '!')
        return false;
    line[size] = '\0';
    line[strcspn(line, "\n")] = '\0';
    /* The kernel takes blanks off the end too. */
    for (end = line + strlen(line); end > line && strchr(blanks, end[-1]) != NULL; end--)
        end[-1] = '\0';

    word = line + 2 + strspn(line + 2, blanks);
    end = word + strcspn(word, blanks);
    (void)snprintf(script->argument, sizeof script->argument, "%s", end + strspn(end, blanks));
    *end = '\0';
    (void)snprintf(script->interpreter, sizeof script->interpreter, "%s", word);
    return true;
}

bool dg_script_env_command(const struct dg_script *script, char name[DG_SCRIPT_LINE])
{
    const char *slash = strrchr(script->interpreter, '/');
    const char *word = script->argument;
    size_t size;

    if (slash == NULL || strcmp(slash, "/env") != 0)
        return false;
    if (strncmp(word, "-S", 2) == 0)
        word += 2 + strspn(word + 2, blanks);
    size = strcspn(word, blanks);
    memcpy(name, word, size);
    name[size] = '\0';
    return size > 0 && name[0] != '-' && strpbrk(name, "=\"'\\$") == NULL;
}
