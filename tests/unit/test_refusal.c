/* The sentences that refusals are logged with, and the classes in which monitors count them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shim/core/report/refusal.h"

static const struct {
    const char *reason;
    enum dg_page_refusal refusal;
} cases[] = {
    {"not in distribution.allow_from (/etc/distguard/shim.conf:7)", DG_REFUSED_ADDRESS},
    {"the program wants to listen at 0.0.0.0, which is not where the policy wants it (a:1)",
     DG_REFUSED_ADDRESS},
    {"it came in at 10.0.0.1:4369, where the policy (epmd.bind) wants no listener",
     DG_REFUSED_ADDRESS},
    {"its source address 10.0.0.1 is not one of distribution.connect_from (a:1); name it",
     DG_REFUSED_ADDRESS},
    {"distribution is not enabled on this host (a:1)", DG_REFUSED_ADDRESS},
    {"peer speaks plaintext, our mode is require: put this node into prefer", DG_REFUSED_PLAINTEXT},
    {"peer of this host speaks plaintext as user 7, and local is same-user", DG_REFUSED_PLAINTEXT},
    {"peer speaks neither TLS nor a distribution handshake", DG_REFUSED_PLAINTEXT},
    {"peer does not answer TLS (TLS handshake not finished in time): if it speaks plaintext, put "
     "it into allow or prefer first, or this node back into allow",
     DG_REFUSED_PLAINTEXT},
    {"certificate of the peer refused: certificate has expired (DNS:a)", DG_REFUSED_CERTIFICATE},
    {"peer has shown no certificate", DG_REFUSED_CERTIFICATE},
    {"peer refused with alert: unknown CA", DG_REFUSED_CERTIFICATE},
    {"its certificate is not for the host it claims (node_names = host, the default)",
     DG_REFUSED_CERTIFICATE},
    {"entry of peers at a:9 lets it be web@* only", DG_REFUSED_CERTIFICATE},
    {"the node name that it claims has a control byte in it", DG_REFUSED_CERTIFICATE},
    {"TLS: unsupported protocol", DG_REFUSED_TLS},
    {"peer refused with alert: protocol version", DG_REFUSED_TLS},
    {"peer sends what is no TLS record", DG_REFUSED_TLS},
    {"peer closed the connection during the TLS handshake", DG_REFUSED_TLS},
    {"TLS handshake not finished in time", DG_REFUSED_TIMEOUT},
    {"no whole request within tls.handshake_timeout", DG_REFUSED_TIMEOUT},
    {"peer has said nothing until the program hung up", DG_REFUSED_TIMEOUT},
    {"peer does not read EPMD's answer", DG_REFUSED_TIMEOUT},
    {"gave way to a newer connection: too many handshakes (tls.max_handshakes)", DG_REFUSED_LIMIT},
    {"peer sends more KeyUpdates than tls.keyupdate_limit lets it", DG_REFUSED_LIMIT},
    {"peer asks to renegotiate more often than tls.keyupdate_limit lets it", DG_REFUSED_LIMIT},
    {"out of memory", DG_REFUSED_LIMIT},
    {"asks for all names, which epmd.remote_requests leaves out", DG_REFUSED_REQUEST},
    {"asks for what no other host may ask of EPMD", DG_REFUSED_REQUEST},
    {"nobody has thought of this", DG_REFUSED_OTHER},
    {"", DG_REFUSED_OTHER},
};

static void test_each_sentence_has_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (dg_refusal_class(cases[i].reason) != cases[i].refusal) {
            fail_msg("%s: class %d, wanted %d", cases[i].reason, dg_refusal_class(cases[i].reason),
                     cases[i].refusal);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sentence_has_its_class),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
