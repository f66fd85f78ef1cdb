#include "shim/core/tls/expiry.h"

#include <stddef.h>

#define DAY ((time_t)24 * 60 * 60)

const char *dg_expiry_kind_name(enum dg_expiry_kind kind)
{
    switch (kind) {
    case DG_EXPIRY_ANCHOR:
        return "anchor";
    case DG_EXPIRY_CRL:
        return "crl";
    case DG_EXPIRY_CERTIFICATE:
    default:
        return "certificate";
    }
}

/* The least of the thresholds that is reached at `now`. */
static int threshold(const struct dg_expiry *expiry, time_t now)
{
    static const int days[] = {0, 1, 7, 30};

    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        if (expiry->ends - now <= days[i] * DAY && expiry->ends - expiry->begins > days[i] * DAY) {
            return days[i];
        }
    }
    return DG_EXPIRY_SILENT;
}

int dg_expiry_step(const struct dg_expiry *expiry, time_t then, time_t now)
{
    int reached = threshold(expiry, now);
    int before = then != 0 ? threshold(expiry, then) : DG_EXPIRY_SILENT;

    return before != DG_EXPIRY_SILENT && reached >= before ? DG_EXPIRY_SILENT : reached;
}
