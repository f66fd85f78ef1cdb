#include "policy/words.h"

#include <stddef.h>

#include "policy/policy.h"

const struct dg_word dg_mode_words[] = {
    {"off", DG_MODE_OFF},
    {"allow", DG_MODE_ALLOW},
    {"prefer", DG_MODE_PREFER},
    {"require", DG_MODE_REQUIRE},
    {NULL, 0},
};

const struct dg_word dg_node_names_words[] = {
    {"host", DG_NODE_NAMES_HOST},
    {"exact", DG_NODE_NAMES_EXACT},
    {"off", DG_NODE_NAMES_OFF},
    {NULL, 0},
};

const struct dg_word dg_tls_version_words[] = {
    {"1.3", DG_TLS_1_3},
    {"1.2", DG_TLS_1_2},
    {NULL, 0},
};

const struct dg_word dg_local_words[] = {
    {"deny", DG_LOCAL_DENY},
    {"same-user", DG_LOCAL_SAME_USER},
    {"allow", DG_LOCAL_ALLOW},
    {NULL, 0},
};

const struct dg_word dg_request_words[] = {
    {"port_please", DG_REMOTE_PORT_PLEASE},
    {"names", DG_REMOTE_NAMES},
    {NULL, 0},
};

const struct dg_word dg_log_level_words[] = {
    {"debug", DG_LOG_DEBUG},
    {"info", DG_LOG_INFO},
    {"warning", DG_LOG_WARNING},
    {"error", DG_LOG_ERROR},
    {NULL, 0},
};
