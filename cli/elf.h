/* What the dynamic loader decides by: the kind of an ELF file, and who interprets it. */
#ifndef DISTGUARD_CLI_ELF_H
#define DISTGUARD_CLI_ELF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/error.h"

struct dg_elf {
    unsigned char class; /* ELFCLASS32, ELFCLASS64 */
    unsigned char order; /* ELFDATA2LSB, ELFDATA2MSB */
    uint16_t machine;    /* EM_X86_64, … */
    /* PT_INTERP; empty in a static program or a library, and where the kind is not this machine's
     * own. */
    char interpreter[PATH_MAX];
};

/* Returns 0, or -1 with the reason in `error`. */
int dg_elf_read(int fd, const char *path, struct dg_elf *elf, struct dg_error *error);

bool dg_elf_same_kind(const struct dg_elf *a, const struct dg_elf *b);

/* For messages: "64-bit x86-64". */
void dg_elf_print_kind(const struct dg_elf *elf, char *text, size_t size);

#endif
