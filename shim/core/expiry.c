#include "shim/core/expiry.h"

#include <stdio.h>

#include "shim/core/report/log.h"
#include "shim/core/report/timestamp.h"

enum { HOUR = 60 * 60, DAY = 24 * HOUR };

static time_t asked; /* the last time */

static const char *remedy(enum dg_expiry_kind kind)
{
    switch (kind) {
    case DG_EXPIRY_ANCHOR:
        return "put the CA's next certificate beside it; it counts without a restart";
    case DG_EXPIRY_CRL:
        return "put the CA's present CRL there; it counts without a restart";
    case DG_EXPIRY_CERTIFICATE:
    default:
        return "issue a new one; it counts without a restart";
    }
}

static void tell(const struct dg_expiry *expiry, time_t now)
{
    const struct timespec ends = {.tv_sec = expiry->ends};
    char date[DG_TIMESTAMP_SIZE];
    char days[24];

    dg_timestamp(&ends, date);
    (void)snprintf(days, sizeof days, "%lld", (long long)(expiry->ends - now) / DAY);
    dg_log(expiry->ends > now ? DG_LOG_WARNING : DG_LOG_ERROR, "expires", "what",
           dg_expiry_kind_name(expiry->kind), "name", expiry->name, "file", expiry->file, "days",
           days, "expires", date, "remedy", remedy(expiry->kind), NULL);
}

static void look(const struct dg_credentials *credentials, time_t now)
{
    size_t count = 0;
    const struct dg_expiry *expiries =
        credentials != NULL ? dg_credentials_expiries(credentials, &count) : NULL;

    for (size_t i = 0; i < count; i++) {
        if (dg_expiry_step(&expiries[i], asked, now) != DG_EXPIRY_SILENT) {
            tell(&expiries[i], now);
        }
    }
    asked = now;
}

void dg_expiry_begin(const struct dg_credentials *credentials, time_t now)
{
    asked = 0;
    look(credentials, now);
}

void dg_expiry_again(const struct dg_credentials *credentials, time_t now)
{
    if (now < asked || now - asked >= HOUR) {
        look(credentials, now);
    }
}
