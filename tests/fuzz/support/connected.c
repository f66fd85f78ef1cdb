#include "tests/fuzz/support/connected.h"

#include <stdlib.h>
#include <string.h>

#include "policy/lists.h"
#include "shim/core/tls/channel_parts.h"
#include "tests/unit/support/pki.h"

#define CIPHER "AES-256-GCM"
#define DIGEST "SHA2-384"

enum { REKEY_BYTES = 5000, KEYUPDATE_LIMIT = 10 };

struct dg_policy connected_policy;
struct dg_credentials *connected_credentials;

void connected_start(void)
{
    if (pki_make(NULL) != 0) {
        abort();
    }
    connected_policy.tls = pki_policy("ours", "node", "ours");
    connected_policy.tls.min_version = DG_TLS_1_2;
    connected_policy.tls.rekey_bytes = REKEY_BYTES;
    connected_policy.tls.keyupdate_limit = KEYUPDATE_LIMIT;
    connected_policy.node_names = DG_NODE_NAMES_HOST;
    connected_policy.local = DG_LOCAL_DENY;
    connected_credentials = pki_credentials_of(&connected_policy);
    (void)pki_remove(NULL);
}

static void init_keys(struct dg_keys *keys, enum dg_tls_version version, bool of_client,
                      bool sealing)
{
    static const struct dg_master master;
    uint8_t secret[DG_SECRET_MAX];
    int result;

    memset(secret, of_client ? 'c' : 's', sizeof secret);
    result = version == DG_TLS_1_3
                 ? dg_keys_init(keys, CIPHER, DIGEST, secret, sizeof secret, sealing)
                 : dg_keys_init_1_2(keys, CIPHER, DIGEST, &master, of_client, sealing);
    if (result != 0) {
        abort();
    }
}

static void open_channel(struct dg_channel *channel, enum dg_tls_version version)
{
    bool client = channel->side == DG_CHANNEL_CLIENT;

    dg_handshake_free(channel->handshake);
    channel->handshake = NULL;
    init_keys(&channel->sending, version, client, true);
    init_keys(&channel->receiving, version, !client, false);
    channel->messages.version = version;
    channel->messages.client = client;
    channel->answered = true;
    if (dg_string_list_append(&channel->agreed.identity.dns, "node.example.org") != 0) {
        abort();
    }
    dg_channel_enter(channel, DG_CHANNEL_OPEN);
}

struct ends connected_ends(enum dg_tls_version version, size_t capacity)
{
    struct ends ends;

    kernel_reset(capacity, 1);
    ends = ends_new(connected_credentials, connected_credentials);
    open_channel(ends.channel[KERNEL_CLIENT], version);
    open_channel(ends.channel[KERNEL_SERVER], version);
    return ends;
}
