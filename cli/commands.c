#include "cli/commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/message.h"
#include "policy/suggest.h"

#define NAME_SIZE 64

const struct dg_command dg_commands[] = {
    {
        .name = "run",
        .usage = "[--conf FILE] [--profile NAME] [--] COMMAND [ARGUMENT...]",
        .summary = "start a command with the library preloaded",
        .details =
            "  --conf FILE      the policy; default: $DISTGUARD_CONF, else "
            "/etc/distguard/shim.conf\n"
            "  --profile NAME   its profile; default: $DISTGUARD_PROFILE, else the file's own\n"
            "\n"
            "Refuses what the dynamic loader would start without the library: setuid and setgid\n"
            "programs, file capabilities, static programs, another architecture or C library.\n"
            "With DISTGUARD=off in the environment it says so and starts the command as it is.\n"
            "\n"
            "Exit status: the command's; 78 if policy or library cannot be used, 126 if the\n"
            "command cannot be started, 127 if it is not found, 2 for a mistake in usage.\n",
        .run = dg_command_run,
    },
    {
        .name = "check",
        .usage = "[--profile NAME] [FILE]",
        .summary = "read a policy and its certificates, and say what they come to on this host",
        .details =
            "  --profile NAME   the profile to judge; default: $DISTGUARD_PROFILE, else the "
            "file's\n"
            "  FILE             default: $DISTGUARD_CONF, else /etc/distguard/shim.conf\n"
            "\n"
            "Every profile is read, and interfaces and networks are looked up on this host; the\n"
            "chosen profile comes last, and its certificates are tried. Run it as the user that\n"
            "the node runs as. A table on a terminal, key=value lines in a pipe.\n"
            "\n"
            "Exit status: 0 if nodes can start with it, 1 if not, 2 for a mistake in usage.\n",
        .run = dg_command_check,
    },
    {
        .name = "explain",
        .usage = "[OPTION...] bind ADDRESS:PORT | connect --to ADDRESS[:PORT] | accept --from "
                 "ADDRESS",
        .summary = "say what happens to a bind, connect or accept, and which line decides it",
        .details =
            "  --conf FILE      the policy; default: $DISTGUARD_CONF, else "
            "/etc/distguard/shim.conf\n"
            "  --profile NAME   its profile; default: $DISTGUARD_PROFILE, else the file's own\n"
            "  --program NAME   who asks: beam.smp (default), epmd, erl_call, or another\n"
            "  --role ROLE      what it is for: distribution, epmd, other; default: epmd for the\n"
            "                   program epmd and for connections to EPMD's port, else "
            "distribution\n"
            "  --to ADDRESS     where a connection leads; [ADDRESS]:PORT for IPv6\n"
            "  --from ADDRESS   the peer that connects\n"
            "  --plaintext      it speaks no TLS\n"
            "\n"
            "Interfaces and networks are looked up on this host, as it is now.\n"
            "\n"
            "Exit status: 0 if it is allowed, 1 if it is refused, 2 for a mistake in usage or in\n"
            "the policy.\n",
        .run = dg_command_explain,
    },
    {
        .name = "status",
        .usage = "[--json | --prometheus] [PID...]",
        .summary = "say which Erlang programs of this host are guarded, and which are not and why",
        .details =
            "  --json             JSON on a terminal, too; in a pipe it is JSON anyway\n"
            "  --prometheus       metrics, for node_exporter's textfile collector\n"
            "\n"
            "Looks at every beam, epmd and erl_call, those in containers too, or at each PID: "
            "mode\n"
            "and policy, listeners, connections, plaintext peers, refusals. Others' processes are\n"
            "shown to root alone.\n"
            "\n"
            "Exit status: 0 if all are guarded, 1 if one is not or cannot be looked at, else 2 if "
            "a\n"
            "certificate expires within 7 days, 3 for a mistake in usage, 4 if there is no answer\n"
            "(no such process, no /proc).\n",
        .usage_status = DG_EXIT_STATUS_USAGE,
        .run = dg_command_status,
    },
    {
        .name = "scan",
        .usage = "[--json] [--ports LIST] [--timeout SECONDS] [--rate N] HOST[:PORT]...",
        .summary = "look at EPMD and distribution of hosts as a stranger sees them",
        .details =
            "  --json             JSON on a terminal, too; in a pipe it is always JSON\n"
            "  --ports LIST       distribution ports to look at besides those that EPMD tells:\n"
            "                     9100,9110-9120\n"
            "  --timeout SECONDS  for a connection, and again for its answer; default: 5\n"
            "  --rate N           connections a second; default: 50\n"
            "\n"
            "PORT is EPMD's; default: 4369. Looks at every address of a HOST. Only looks: it "
            "never\n"
            "sends a node's name or a cookie. A guarded host logs it as a peer without "
            "certificate.\n"
            "\n"
            "Exit status: 0 if nothing is open to strangers, 1 if something is (EPMD tells names,\n"
            "a node takes plaintext, or TLS without a certificate), 2 if not all could be looked\n"
            "at, or an answer made no sense, and for a mistake in usage.\n",
        .run = dg_command_scan,
    },
    {
        .name = "enable",
        .usage = "[--conf FILE] [--profile NAME] [--root DIR] [--dry-run] UNIT",
        .summary = "guard a systemd service: write a drop-in for it",
        .details =
            "  --conf FILE      the policy; default: /etc/distguard/shim.conf\n"
            "  --profile NAME   its profile; default: the file's own\n"
            "  --root DIR       the tree to do it in, instead of this host's\n"
            "  --dry-run        say what would be written, and write nothing\n"
            "\n"
            "Writes /etc/systemd/system/UNIT.d/50-distguard.conf; for the unit that starts EPMD\n"
            "also its socket's. Refuses what cannot work: it reads the unit, and, as root, tries\n"
            "library, policy, key and programs as the unit's user. Restarts nothing.\n"
            "\n"
            "Exit status: 0, 1 if it was refused or could not, 2 for a mistake in usage.\n",
        .run = dg_command_enable,
    },
    {
        .name = "disable",
        .usage = "[--root DIR] [--dry-run] UNIT",
        .summary = "undo enable",
        .details =
            "  --root DIR       the tree to do it in, instead of this host's\n"
            "  --dry-run        say what would be removed, and remove nothing\n"
            "\n"
            "Removes what enable wrote. What was changed by hand since stays, and that is said.\n"
            "\n"
            "Exit status: 0, also where nothing was enabled; 1 if something stays; 2 for a "
            "mistake\n"
            "in usage.\n",
        .run = dg_command_disable,
    },
    {
        .name = "pki init",
        .usage = "DIR [--days N]",
        .summary = "make a certificate authority",
        .details = "  --days N         its validity; default: 3650\n"
                   "\n"
                   "Makes DIR (mode 0700) with ca.pem and ca.key. Overwrites nothing.\n"
                   "\n"
                   "Exit status: 0, 1 if it could not, 2 for a mistake in usage.\n",
        .run = dg_command_pki_init,
    },
    {
        .name = "pki issue",
        .usage = "DIR NAME [--dns NAME]... [--ip ADDRESS]... [--uri URI]... [--days N]",
        .summary = "issue a node's certificate and key",
        .details =
            "  --dns NAME       host name in the certificate; *.example.org for all of a domain\n"
            "  --ip ADDRESS     IPv4 or IPv6 address in the certificate\n"
            "  --uri URI        URI in the certificate, as spiffe://example.org/web\n"
            "  --days N         its validity; default: 90; it ends with its CA at the latest\n"
            "\n"
            "Makes NAME.pem (certificate and chain) and NAME.key in DIR, with the CA of\n"
            "`distguard pki init`. Needs at least one name. Overwrites nothing.\n"
            "\n"
            "Exit status: 0, 1 if it could not, 2 for a mistake in usage.\n",
        .run = dg_command_pki_issue,
    },
    {
        .name = "help",
        .usage = "[COMMAND]",
        .summary = "explain a command",
        .details = "",
        .run = dg_command_help,
    },
};
const size_t dg_command_count = sizeof dg_commands / sizeof dg_commands[0];

static const struct dg_command *named(const char *name)
{
    for (size_t i = 0; i < dg_command_count; i++) {
        if (strcmp(dg_commands[i].name, name) == 0)
            return &dg_commands[i];
    }
    return NULL;
}

bool dg_command_is_group(const char *word)
{
    size_t size = strlen(word);

    for (size_t i = 0; i < dg_command_count && size > 0; i++) {
        if (strncmp(dg_commands[i].name, word, size) == 0 && dg_commands[i].name[size] == ' ')
            return true;
    }
    return false;
}

static void complain_unknown(const char *name)
{
    struct dg_suggestion suggestion;

    dg_suggest_start(&suggestion, name);
    for (size_t i = 0; i < dg_command_count; i++)
        dg_suggest_candidate(&suggestion, dg_commands[i].name);
    if (suggestion.best != NULL)
        dg_complain("unknown command \"%s\": did you mean \"%s\"?", name, suggestion.best);
    else
        dg_complain("unknown command \"%s\": `distguard help` lists them", name);
}

const struct dg_command *dg_command_find(int argc, char **argv, int *words)
{
    const struct dg_command *command;
    char name[NAME_SIZE];
    bool group = dg_command_is_group(argv[0]);

    if (group && argc == 1) {
        dg_complain("\"%s\" alone is no command: `distguard help %s` lists what it can do", argv[0],
                    argv[0]);
        return NULL;
    }
    *words = group ? 2 : 1;
    (void)snprintf(name, sizeof name, "%s%s%s", argv[0], group ? " " : "", group ? argv[1] : "");
    command = named(name);
    if (command == NULL)
        complain_unknown(name);
    return command;
}
