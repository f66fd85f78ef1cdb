#include "cli/scan/talk.h"

#include <stdlib.h>
#include <string.h>

#include "cli/scan/text.h"
#include "shim/core/wire/epmd.h"
#include "shim/core/wire/epmd_names.h"

/* To a node, the head of a name message: its length (255), what it is, the flags of any node since
 * OTP 23, and how long the name is that never comes. Less than that would not tell a guarded node
 * which takes plaintext from one that does not. To TLS it is no record. */
static const uint8_t fragment[] = {0, 255, 'N', 0, 0, 0, 0, 5, 0, 1, 4, 0, 0, 0, 0, 0, 240};

static const uint8_t names_req[] = {0, 1, DG_EPMD_NAMES_REQ};

static bool is_epmd(const struct dg_talk *talk)
{
    return talk->port == &talk->host->epmd;
}

static int say(uint8_t out[DG_TALK_OUT], const uint8_t *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return (int)size;
}

int dg_talk_start(struct dg_talk *talk, uint8_t out[DG_TALK_OUT])
{
    const char *server = talk->host->server;

    switch (talk->kind) {
    case DG_TALK_NAMES:
        talk->in = malloc(DG_SCAN_NAMES_BYTES);
        return talk->in != NULL ? say(out, names_req, sizeof names_req) : -1;
    case DG_TALK_TLS:
        talk->probe = dg_probe_new(server[0] != '\0' ? server : NULL);
        if (talk->probe == NULL)
            return -1;
        talk->tls = dg_probe_receive(talk->probe, NULL, 0);
        return (int)dg_probe_send(talk->probe, out, DG_TALK_OUT);
    case DG_TALK_PLAINTEXT:
        return say(out, fragment, sizeof fragment);
    case DG_TALK_NONE:
    default:
        return -1;
    }
}

/* Whoever sends more than that is no EPMD that we could learn from. */
static enum dg_talk_state hear_names(struct dg_talk *talk, const uint8_t *bytes, size_t size)
{
    size_t room = DG_SCAN_NAMES_BYTES - talk->in_size;

    memcpy(talk->in + talk->in_size, bytes, size < room ? size : room);
    talk->in_size += size < room ? size : room;
    talk->host->cut = talk->host->cut || size > room;
    return size > room ? DG_TALK_FINISHED : DG_TALK_GOES_ON;
}

static enum dg_talk_state hear_tls(struct dg_talk *talk, const uint8_t *bytes, size_t size,
                                   uint8_t out[DG_TALK_OUT], size_t *out_size)
{
    talk->tls = dg_probe_receive(talk->probe, bytes, size);
    *out_size = dg_probe_send(talk->probe, out, DG_TALK_OUT);
    return talk->tls == DG_PROBE_WAITS || talk->tls == DG_PROBE_THROUGH ? DG_TALK_GOES_ON
                                                                        : DG_TALK_FINISHED;
}

enum dg_talk_state dg_talk_hear(struct dg_talk *talk, const uint8_t *bytes, size_t size,
                                uint8_t out[DG_TALK_OUT], size_t *out_size)
{
    *out_size = 0;
    talk->answered = true;
    if (talk->kind == DG_TALK_NAMES)
        return hear_names(talk, bytes, size);
    if (talk->kind == DG_TALK_TLS)
        return hear_tls(talk, bytes, size, out, out_size);
    return DG_TALK_FINISHED;
}

enum dg_talk_state dg_talk_quiet(struct dg_talk *talk, bool *half_close)
{
    /* A node that waits for the rest of a message gives up once none can come; what guards itself
     * would have hung up long ago. */
    *half_close = !talk->answered && talk->kind != DG_TALK_NAMES;
    if (talk->kind == DG_TALK_TLS && talk->tls == DG_PROBE_THROUGH) {
        talk->port->stranger = DG_STRANGER_ADMITTED;
        return DG_TALK_FINISHED;
    }
    return DG_TALK_GOES_ON;
}

/* --- what follows --- */

static enum dg_seen without_answer(enum dg_talk_end end)
{
    return end == DG_TALK_TIME_IS_UP ? DG_SEEN_SILENT : DG_SEEN_HANGS_UP;
}

/* Returns whether it is NAMES_RESP; then the host has the ports that it tells. What breaks off
 * within a line is one: EPMD may have been cut short. */
static bool read_names(struct dg_talk *talk)
{
    size_t at = DG_EPMD_NAMES_HEAD;
    struct dg_epmd_name name;
    struct dg_scan_port *port;
    uint16_t own;
    size_t used;

    if (dg_epmd_parse_names_head(talk->in, talk->in_size, &own) != DG_PARSE_DONE)
        return false;
    while (at < talk->in_size) {
        enum dg_parse parsed =
            dg_epmd_parse_names_line(talk->in + at, talk->in_size - at, &name, &used);

        if (parsed != DG_PARSE_DONE) {
            talk->host->cut = true;
            return at > DG_EPMD_NAMES_HEAD || parsed == DG_PARSE_MORE;
        }
        port = dg_scan_host_port(talk->host, name.port);
        if (port != NULL)
            dg_scan_escape(port->name, sizeof port->name, name.name, name.size);
        at += used;
    }
    return true;
}

static enum dg_talk_kind conclude_names(struct dg_talk *talk, enum dg_talk_end end)
{
    struct dg_scan_port *port = talk->port;

    if (read_names(talk)) {
        port->seen = DG_SEEN_PLAINTEXT;
        return DG_TALK_NONE;
    }
    port->seen = talk->answered ? DG_SEEN_OTHER : without_answer(end);
    return DG_TALK_TLS;
}

/* Where it was us who broke off, over bytes that make no sense, nobody has been refused. */
static enum dg_stranger stranger(const struct dg_talk *talk, enum dg_talk_end end)
{
    const struct dg_probe_findings *findings = dg_probe_findings(talk->probe);
    bool made_sense = findings->refusal[0] != '\0' || findings->version[0] != '\0';

    if (talk->port->stranger != DG_STRANGER_UNKNOWN)
        return talk->port->stranger;
    return (talk->tls == DG_PROBE_OVER && made_sense) || end == DG_TALK_THEY_CLOSED
               ? DG_STRANGER_REFUSED
               : DG_STRANGER_UNKNOWN;
}

/* An EPMD has said before what it makes of plaintext; a node is asked for it then. */
static enum dg_talk_kind conclude_tls(struct dg_talk *talk, enum dg_talk_end end)
{
    struct dg_scan_port *port = talk->port;

    if (talk->answered && talk->tls != DG_PROBE_NOT_TLS) {
        port->seen = DG_SEEN_TLS;
        port->tls = *dg_probe_findings(talk->probe);
        port->stranger = stranger(talk, end);
        return is_epmd(talk) ? DG_TALK_NONE : DG_TALK_PLAINTEXT;
    }
    if (is_epmd(talk))
        return DG_TALK_NONE;
    if (talk->answered)
        port->seen = DG_SEEN_OTHER;
    else
        port->seen = end == DG_TALK_THEY_FOLLOWED ? DG_SEEN_PLAINTEXT : without_answer(end);
    return DG_TALK_NONE;
}

enum dg_talk_kind dg_talk_conclude(struct dg_talk *talk, enum dg_talk_end end)
{
    switch (talk->kind) {
    case DG_TALK_NAMES:
        return conclude_names(talk, end);
    case DG_TALK_TLS:
        return conclude_tls(talk, end);
    case DG_TALK_PLAINTEXT:
        if (!talk->answered && end == DG_TALK_THEY_FOLLOWED)
            talk->port->seen = DG_SEEN_BOTH;
        return DG_TALK_NONE;
    case DG_TALK_NONE:
    default:
        return DG_TALK_NONE;
    }
}

void dg_talk_clear(struct dg_talk *talk)
{
    dg_probe_free(talk->probe);
    free(talk->in);
    *talk = (struct dg_talk){.kind = DG_TALK_NONE};
}
