/*
 * What is said on one connection of a scan, and what follows from the answer. Knows no sockets and
 * no clock. None of it logs in, and none of it leaves a line in a plaintext node's log: to a node
 * it is a name message that never becomes whole.
 */
#ifndef DISTGUARD_CLI_SCAN_TALK_H
#define DISTGUARD_CLI_SCAN_TALK_H

#include "cli/scan/scan.h"

enum dg_talk_kind {
    DG_TALK_NAMES,     /* NAMES_REQ, to EPMD */
    DG_TALK_TLS,       /* a ClientHello */
    DG_TALK_PLAINTEXT, /* the head of a plaintext name message */
    DG_TALK_NONE,
};

enum dg_talk_state {
    DG_TALK_GOES_ON,
    DG_TALK_FINISHED, /* nothing more is to be learnt */
};

enum dg_talk_end {
    DG_TALK_THEY_CLOSED,   /* of their own accord */
    DG_TALK_THEY_FOLLOWED, /* after we had said that we are through */
    DG_TALK_TIME_IS_UP,    /* neither */
};

struct dg_talk {
    enum dg_talk_kind kind;
    struct dg_scan_host *host;
    struct dg_scan_port *port;
    struct dg_probe *probe; /* of DG_TALK_TLS */
    enum dg_probe_state tls;
    uint8_t *in; /* of DG_TALK_NAMES */
    size_t in_size;
    bool answered;
};

/* Room for what a talk has to say at a time. */
enum { DG_TALK_OUT = 4096 };

/* Returns the size of what is to be sent first, or -1 where memory is short. */
int dg_talk_start(struct dg_talk *talk, uint8_t out[DG_TALK_OUT]);
/* What they said; `out_size` is set to the size of our answer. */
enum dg_talk_state dg_talk_hear(struct dg_talk *talk, const uint8_t *bytes, size_t size,
                                uint8_t out[DG_TALK_OUT], size_t *out_size);
/* They have said nothing for a while. Finished, or `half_close` says whether to tell them that we
 * are through. */
enum dg_talk_state dg_talk_quiet(struct dg_talk *talk, bool *half_close);
/* It is over: what was seen goes into the port. Returns what to ask there next, on a new
 * connection. */
enum dg_talk_kind dg_talk_conclude(struct dg_talk *talk, enum dg_talk_end end);
void dg_talk_clear(struct dg_talk *talk);

#endif
