/* What may stand in a certificate's subjectAltName, and in the name of its files. Text in, verdict
 * out. */
#ifndef DISTGUARD_CLI_TLS_SAN_H
#define DISTGUARD_CLI_TLS_SAN_H

#include <stddef.h>

#include "cli/tls/issuer.h"
#include "policy/error.h"

/* The bytes of an IPv4 (4) or IPv6 (16) address, as iPAddress wants them. */
struct dg_san_address {
    unsigned char bytes[16];
    int size;
};

/* Each returns 0, or -1 with what is wrong and what would be right in `error`. */
int dg_san_check_dns(const char *name, struct dg_error *error);
int dg_san_parse_ip(const char *text, struct dg_san_address *address, struct dg_error *error);
int dg_san_check_uri(const char *uri, struct dg_error *error);

/* The whole request: name of the files, every SAN, the days. */
int dg_san_check_request(const struct dg_certificate_request *request, struct dg_error *error);

int dg_san_check_days(int days, struct dg_error *error);

#endif
