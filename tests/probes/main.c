/* probe NAME: runs one probe. Without a name: lists them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/probes/probe.h"

/* A probe that waits for ever has failed. */
enum { SECONDS = 30 };

static const struct {
    const char *name;
    void (*run)(void);
} probes[] = {
    {"bytes", probe_bytes},     {"flags", probe_flags},         {"arguments", probe_arguments},
    {"sockets", probe_sockets}, {"copies", probe_copies},       {"closing", probe_closing},
    {"control", probe_control}, {"passing", probe_passing},     {"children", probe_children},
    {"signals", probe_signals}, {"fortified", probe_fortified},
};

int main(int count, char **arguments)
{
    (void)alarm(SECONDS);
    report_broken_pipes();
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        if (count < 2) {
            (void)puts(probes[i].name);
        } else if (strcmp(arguments[1], probes[i].name) == 0) {
            probes[i].run();
            return 0;
        }
    }
    return count < 2 ? 0 : 2;
}
