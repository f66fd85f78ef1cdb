/* What kind of refusal a sentence is, for those who count them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shim/core/report/refusal.h"

struct told {
    const char *reason;
    enum dg_page_refusal refusal;
};

/* As the log has them; where two kinds of words are in one, the narrower counts. */
static const struct told told[] = {
    {"203.0.113.9 is not in distribution.accept_from", DG_REFUSED_ADDRESS},
    {"peer speaks plaintext, where mode = \"require\" wants TLS", DG_REFUSED_PLAINTEXT},
    {"peer does not answer TLS (TLS handshake not finished in time): if it speaks plaintext, put "
     "it into allow or prefer first, or this node back into allow",
     DG_REFUSED_PLAINTEXT},
    {"peer's certificate has expired", DG_REFUSED_CERTIFICATE},
    {"the node name that it claims has a control byte in it", DG_REFUSED_CERTIFICATE},
    {"TLS handshake failed: unsupported protocol", DG_REFUSED_TLS},
    {"TLS handshake not finished in time", DG_REFUSED_TIMEOUT},
    {"no whole request within tls.handshake_timeout", DG_REFUSED_TIMEOUT},
    {"gave way to a newer connection: too many wait (tls.max_handshakes)", DG_REFUSED_LIMIT},
    {"peer sends more KeyUpdates than tls.keyupdate_limit lets it", DG_REFUSED_LIMIT},
    {"peer asks to renegotiate more often than tls.keyupdate_limit lets it", DG_REFUSED_LIMIT},
    {"asks for all names, which epmd.remote_requests leaves out", DG_REFUSED_REQUEST},
    {"asks for what no other host may ask of EPMD", DG_REFUSED_REQUEST},
    {"a reason that nobody has thought of", DG_REFUSED_OTHER},
};

static void test_each_reason_has_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        if (dg_refusal_class(told[i].reason) != told[i].refusal) {
            fail_msg("%s: %d, not %d", told[i].reason, (int)dg_refusal_class(told[i].reason),
                     (int)told[i].refusal);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_reason_has_its_class),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
