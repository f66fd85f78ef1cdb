/*
 * A hostile OPENSSL_CONF: OpenSSL lays its "system_default" section over every context of a
 * process, and this program is run anew under one that would undo all that protects a channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support/checked.h"
#include "tests/unit/support/peer.h"
#include "tests/unit/support/pki.h"

enum { CLIENT = KERNEL_CLIENT, SERVER = KERNEL_SERVER, PLENTY = 1 << 20 };

/* What the program run anew is to try, and its exit statuses */
enum { AS_ALWAYS = 0, NOT_HOSTILE = 40, DIFFERENT = 41 };
#define HOSTILE_TEST "DG_HOSTILE_TEST"

/* A server takes this client's first choice if PrioritizeChaCha is among its options. */
#define CHACHA_FIRST "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"

static struct dg_credentials *ours;
static struct ends ends;
static struct peer *peer;

static void meet(int channel_end, const char *authority, const char *name)
{
    kernel_reset(PLENTY, 1);
    memset(&ends, 0, sizeof ends);
    ends.channel[channel_end] = dg_channel_new(
        ours, channel_end == CLIENT ? DG_CHANNEL_CLIENT : DG_CHANNEL_SERVER, &kernel_transport, 60);
    peer = peer_new(1 - channel_end, authority, name);
    /* The peer stands for one on another host, with no such configuration. */
    assert_int_equal(SSL_set_max_proto_version(peer->ssl, TLS1_3_VERSION), 1);
    assert_int_equal(SSL_set_ciphersuites(peer->ssl, CHACHA_FIRST), 1);
    assert_int_equal(SSL_set1_groups_list(peer->ssl, "X25519:P-256"), 1);
    assert_int_equal(SSL_set1_sigalgs_list(peer->ssl, "ECDSA+SHA256:RSA-PSS+SHA256"), 1);
}

static void talk(int channel_end)
{
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = 1};

    for (int i = 0; i < 6; i++) {
        peer_step(peer);
        (void)dg_channel_receive(ends.channel[channel_end], channel_end, &vector, 1, false);
    }
    peer_step(peer);
}

static bool is_refused(int channel_end)
{
    bool opened;

    talk(channel_end);
    opened = dg_channel_was_open(ends.channel[channel_end]);
    if (opened) {
        print_message("# let in: %s\n", dg_channel_version(ends.channel[channel_end]));
    }
    ends_free(&ends);
    peer_free(peer);
    kernel_free();
    return !opened;
}

static bool is_open_as_always(void)
{
    bool as_always;

    meet(SERVER, "ours", "peer");
    talk(SERVER);
    as_always = strcmp(dg_channel_version(ends.channel[SERVER]), "TLSv1.3") == 0 &&
                strcmp(dg_channel_cipher(ends.channel[SERVER]), "TLS_AES_256_GCM_SHA384") == 0 &&
                peer->tickets == 0;
    ends_free(&ends);
    peer_free(peer);
    kernel_free();
    return as_always;
}

/* Whether the configuration has an effect on a context that does not defend itself: otherwise the
 * test would prove nothing. */
static bool hostile_here(void)
{
    SSL_CTX *plain = SSL_CTX_new(TLS_method());
    bool hostile = plain != NULL && SSL_CTX_get_min_proto_version(plain) == TLS1_VERSION &&
                   SSL_CTX_get_security_level(plain) == 0;

    SSL_CTX_free(plain);
    return hostile;
}

static bool refuses_all(void)
{
    meet(SERVER, "", NULL);
    if (!is_refused(SERVER)) {
        return false;
    }
    meet(SERVER, "other", "node");
    if (!is_refused(SERVER)) {
        return false;
    }
    meet(CLIENT, "other", "node");
    if (!is_refused(CLIENT)) {
        return false;
    }
    meet(SERVER, "ours", "weak");
    if (!is_refused(SERVER)) {
        return false;
    }
    meet(SERVER, "ours", "peer");
    (void)SSL_set_max_proto_version(peer->ssl, TLS1_2_VERSION);
    return is_refused(SERVER);
}

/* In the program run anew. Its certificates are those of its parent, which waits. */
static int run_hostile(const char *folder)
{
    int status = AS_ALWAYS;

    pki_use(folder);
    if (!hostile_here()) {
        return NOT_HOSTILE;
    }
    ours = pki_credentials("ours", "node", "ours");
    if (!refuses_all() || !is_open_as_always()) {
        status = DIFFERENT;
    }
    dg_credentials_free(ours);
    return status;
}

static int run_anew(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)setenv("OPENSSL_CONF", pki_path("openssl.cnf"), 1);
        (void)setenv(HOSTILE_TEST, pki_path("."), 1);
        execl("/proc/self/exe", "test_channel_openssl_conf", (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void write_configuration(const char *settings)
{
    char text[2048];

    (void)snprintf(text, sizeof text,
                   "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n"
                   "[all]\n%s",
                   settings);
    pki_write("openssl.cnf", text);
}

static void test_a_hostile_openssl_conf_changes_nothing(void **state)
{
    static const struct pki_special weak = {.name = "weak",
                                            .from = -60,
                                            .until = 3600,
                                            .usages = "serverAuth,clientAuth",
                                            .weak = true};
    char settings[1024];

    (void)state;
    pki_special("ours", &weak);
    (void)snprintf(settings, sizeof settings,
                   "MinProtocol = TLSv1\nMaxProtocol = TLSv1.2\nCipherString = ALL@SECLEVEL=0\n"
                   "Ciphersuites = TLS_CHACHA20_POLY1305_SHA256\nVerifyMode = None\n"
                   "VerifyCAFile = %s\nNumTickets = 2\nGroups = P-521\n"
                   "SignatureAlgorithms = RSA+SHA1\nOptions = PrioritizeChaCha,ServerPreference\n",
                   pki_path("other/ca.pem"));
    write_configuration(settings);
    assert_int_equal(run_anew(), AS_ALWAYS);
}

static void test_without_the_configuration_the_test_would_notice(void **state)
{
    (void)state;
    write_configuration("MinProtocol = TLSv1.2\n");
    assert_int_equal(run_anew(), NOT_HOSTILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hostile_openssl_conf_changes_nothing),
        cmocka_unit_test(test_without_the_configuration_the_test_would_notice),
    };

    if (getenv(HOSTILE_TEST) != NULL) {
        return run_hostile(getenv(HOSTILE_TEST));
    }
    return cmocka_run_group_tests_name("tls/channel, OPENSSL_CONF", tests, pki_make, pki_remove);
}
