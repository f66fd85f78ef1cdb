/*
 * A TLS handshake as a stranger begins it: without a certificate, and believing everything. Bytes
 * in, bytes out; the sockets are the caller's.
 */
#ifndef DISTGUARD_CLI_TLS_PROBE_H
#define DISTGUARD_CLI_TLS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Everything in here is what the peer says of itself: foreign bytes. */
struct dg_probe_findings {
    char version[16]; /* "TLSv1.3"; empty while none was agreed on */
    char cipher[64];
    char certificate[512]; /* its names; empty where it has shown none */
    time_t expires;        /* of that certificate */
    char refusal[64];      /* the alert that it ended with; empty where it sent none */
};

enum dg_probe_state {
    DG_PROBE_WAITS,   /* the peer's turn */
    DG_PROBE_THROUGH, /* the handshake is through; in TLS 1.3 the peer may yet refuse us */
    DG_PROBE_OVER,    /* refused, or broken off */
    DG_PROBE_NOT_TLS, /* what it sends is no TLS */
};

struct dg_probe;

/* For use after dg_tls_start(). `server` is the name to ask for, NULL for none. NULL where memory
 * is short. */
struct dg_probe *dg_probe_new(const char *server);
void dg_probe_free(struct dg_probe *probe);

/* What came from the peer, possibly nothing yet. */
enum dg_probe_state dg_probe_receive(struct dg_probe *probe, const uint8_t *bytes, size_t size);

/* Takes what is to be sent; returns its size, 0 where there is nothing (more). */
size_t dg_probe_send(struct dg_probe *probe, uint8_t *bytes, size_t size);

const struct dg_probe_findings *dg_probe_findings(const struct dg_probe *probe);

#endif
