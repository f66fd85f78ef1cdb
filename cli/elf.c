#include "cli/elf.h"

#include <elf.h>
#include <endian.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where e_machine stands in either class. */
#define MACHINE_OFFSET 18

#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define OWN_ORDER (BYTE_ORDER == LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)

static bool read_at(int fd, void *bytes, size_t size, uint64_t offset)
{
    return offset <= INT64_MAX && pread(fd, bytes, size, (off_t)offset) == (ssize_t)size;
}

static bool read_interpreter(int fd, const ElfW(Phdr) * segment, struct dg_elf *elf)
{
    size_t size = (size_t)segment->p_filesz;

    if (size == 0 || size > sizeof elf->interpreter ||
        !read_at(fd, elf->interpreter, size, segment->p_offset))
        return false;
    return elf->interpreter[size - 1] == '\0';
}

static bool read_segments(int fd, struct dg_elf *elf)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;

    if (!read_at(fd, &header, sizeof header, 0) ||
        (header.e_phnum > 0 && header.e_phentsize != sizeof segment))
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        if (!read_at(fd, &segment, sizeof segment, header.e_phoff + i * sizeof segment))
            return false;
        if (segment.p_type == PT_INTERP)
            return read_interpreter(fd, &segment, elf);
    }
    return true;
}

int dg_elf_read(int fd, const char *path, struct dg_elf *elf, struct dg_error *error)
{
    unsigned char start[MACHINE_OFFSET + sizeof elf->machine];

    *elf = (struct dg_elf){.class = 0};
    if (!read_at(fd, start, sizeof start, 0) || memcmp(start, ELFMAG, SELFMAG) != 0)
        return dg_fail(error, "%s is not an ELF file (a script would start with #!)", path);
    elf->class = start[EI_CLASS];
    elf->order = start[EI_DATA];
    elf->machine = elf->order == ELFDATA2MSB
                       ? (uint16_t)(start[MACHINE_OFFSET] << 8 | start[MACHINE_OFFSET + 1])
                       : (uint16_t)(start[MACHINE_OFFSET + 1] << 8 | start[MACHINE_OFFSET]);
    if (elf->class != OWN_CLASS || elf->order != OWN_ORDER)
        return 0;
    if (!read_segments(fd, elf))
        return dg_fail(error, "%s is a damaged ELF file", path);
    return 0;
}

bool dg_elf_same_kind(const struct dg_elf *a, const struct dg_elf *b)
{
    return a->class == b->class && a->order == b->order && a->machine == b->machine;
}

static const char *machine_name(uint16_t machine)
{
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "x86";
    case EM_AARCH64:
        return "ARM64";
    case EM_ARM:
        return "ARM";
    case EM_RISCV:
        return "RISC-V";
    case EM_PPC64:
        return "POWER";
    case EM_S390:
        return "S/390";
    default:
        return NULL;
    }
}

void dg_elf_print_kind(const struct dg_elf *elf, char *text, size_t size)
{
    const char *bits = elf->class == ELFCLASS64 ? "64-bit" : "32-bit";
    const char *machine = machine_name(elf->machine);

    if (machine != NULL)
        (void)snprintf(text, size, "%s %s", bits, machine);
    else
        (void)snprintf(text, size, "%s for ELF machine %u", bits, elf->machine);
}
