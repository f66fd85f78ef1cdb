#include "policy/schema.h"

#include "policy/policy.h"
#include "policy/values.h"
#include "policy/words.h"

_Static_assert(sizeof(enum dg_mode) == sizeof(unsigned) &&
                   sizeof(enum dg_node_names) == sizeof(unsigned) &&
                   sizeof(enum dg_tls_version) == sizeof(unsigned) &&
                   sizeof(enum dg_local) == sizeof(unsigned) &&
                   sizeof(enum dg_log_level) == sizeof(unsigned),
               "dg_parse_word stores words as unsigned");

static int parse_profiles(const struct dg_key *key, const config_setting_t *setting, void *target,
                          struct dg_reading *reading)
{
    const config_setting_t **profiles = target;

    (void)key;
    if (!config_setting_is_group(setting) || config_setting_length(setting) == 0)
        return dg_wrong(reading, setting, "holds no profile");
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *profile = config_setting_get_elem(setting, (unsigned)i);

        if (!config_setting_is_group(profile))
            return dg_wrong(reading, profile, "%s is not a group", config_setting_name(profile));
    }
    *profiles = setting;
    return 0;
}

const struct dg_key dg_schema_top[] = {
    {.path = "version",
     .parse = dg_parse_whole,
     .offset = offsetof(struct dg_schema_top, version),
     .required = true,
     .low = DG_SCHEMA_VERSION,
     .high = DG_SCHEMA_VERSION,
     .allowed = "1, the version of the file's format"},
    {.path = "default_profile",
     .parse = dg_parse_text,
     .offset = offsetof(struct dg_schema_top, default_profile),
     .allowed = "the name of one of the profiles, in double quotes"},
    {.path = "profiles",
     .parse = parse_profiles,
     .offset = offsetof(struct dg_schema_top, profiles),
     .required = true,
     .allowed = "profiles: { NAME: { … }; … }; with at least one profile"},
    {.path = NULL},
};

#define BIND_ALLOWED                                                                               \
    "\"loopback\", \"any\", \"interface:NAME\", an address, a network such as \"10.0.0.0/8\", or " \
    "a list with one address or network for each family"
#define NETWORKS_ALLOWED                                                                           \
    "an array of addresses and networks, such as [ \"10.0.0.0/8\", \"fd00::/8\" ]"

const struct dg_key dg_schema_profile[] = {
    {.path = "inherit",
     .parse = dg_parse_text,
     .offset = offsetof(struct dg_policy, inherit),
     .allowed = "the name of another profile, in double quotes"},
    {.path = "mode",
     .parse = dg_parse_word,
     .offset = offsetof(struct dg_policy, mode),
     .place = offsetof(struct dg_policy, mode_place),
     .standard = "\"require\"",
     .words = dg_mode_words},
    {.path = "local",
     .parse = dg_parse_word,
     .offset = offsetof(struct dg_policy, local),
     .place = offsetof(struct dg_policy, local_place),
     .standard = "\"same-user\"",
     .words = dg_local_words},
    {.path = "peers",
     .parse = dg_parse_peers,
     .offset = offsetof(struct dg_policy, peers),
     .allowed =
         "a list of groups, such as ( { dns = \"*.web.example.org\"; nodes = \"web@*\"; } )"},
    {.path = "node_names",
     .parse = dg_parse_word,
     .offset = offsetof(struct dg_policy, node_names),
     .place = offsetof(struct dg_policy, node_names_place),
     .standard = "\"host\"",
     .words = dg_node_names_words},
    {.path = "programs",
     .parse = dg_parse_programs,
     .offset = offsetof(struct dg_policy, programs),
     .place = offsetof(struct dg_policy, programs_place),
     .standard = "[ \"beam.smp\", \"epmd\", \"erl_call\" ]",
     .allowed = "an array of base names of programs, such as [ \"beam.smp\", \"epmd\" ]"},
    {.path = "distribution.enabled",
     .parse = dg_parse_truth,
     .offset = offsetof(struct dg_policy, distribution.enabled),
     .place = offsetof(struct dg_policy, distribution.enabled_place),
     .standard = "true",
     .allowed = "true, false"},
    {.path = "distribution.bind",
     .parse = dg_parse_binds,
     .offset = offsetof(struct dg_policy, distribution.bind),
     .standard = "\"loopback\"",
     .allowed = BIND_ALLOWED},
    {.path = "distribution.connect_from",
     .parse = dg_parse_sources,
     .offset = offsetof(struct dg_policy, distribution.connect_from),
     .allowed = "\"interface:NAME\", an address, a network such as \"10.0.0.0/8\", or a list with "
                "one address or network for each family"},
    {.path = "distribution.allow_from",
     .parse = dg_parse_networks,
     .offset = offsetof(struct dg_policy, distribution.allow_from),
     .allowed = NETWORKS_ALLOWED},
    {.path = "distribution.allow_to",
     .parse = dg_parse_networks,
     .offset = offsetof(struct dg_policy, distribution.allow_to),
     .allowed = NETWORKS_ALLOWED},
    {.path = "distribution.ports",
     .parse = dg_parse_ports,
     .offset = offsetof(struct dg_policy, distribution.ports),
     .allowed =
         "an array of ports and ranges within 1 to 65535, such as [ \"9100-9110\", \"4370\" ]"},
    {.path = "epmd.bind",
     .parse = dg_parse_binds,
     .offset = offsetof(struct dg_policy, epmd.bind),
     .allowed = BIND_ALLOWED},
    {.path = "epmd.allow_from",
     .parse = dg_parse_networks,
     .offset = offsetof(struct dg_policy, epmd.allow_from),
     .allowed = NETWORKS_ALLOWED},
    {.path = "epmd.allow_to",
     .parse = dg_parse_networks,
     .offset = offsetof(struct dg_policy, epmd.allow_to),
     .allowed = NETWORKS_ALLOWED},
    {.path = "epmd.port",
     .parse = dg_parse_port,
     .offset = offsetof(struct dg_policy, epmd.port),
     .low = 1,
     .high = 65535,
     .allowed = "a whole number from 1 to 65535"},
    {.path = "epmd.remote_requests",
     .parse = dg_parse_requests,
     .offset = offsetof(struct dg_policy, epmd.remote_requests),
     .standard = "[ \"port_please\", \"names\" ]",
     .words = dg_request_words},
    {.path = "tls.certificate",
     .parse = dg_parse_path,
     .offset = offsetof(struct dg_policy, tls.certificate),
     .standard = "\"/etc/distguard/node.pem\"",
     .allowed = "the absolute path of a PEM file"},
    {.path = "tls.private_key",
     .parse = dg_parse_path,
     .offset = offsetof(struct dg_policy, tls.private_key),
     .standard = "\"/etc/distguard/node.key\"",
     .allowed = "the absolute path of a PEM file"},
    {.path = "tls.private_key_group_readable",
     .parse = dg_parse_truth,
     .offset = offsetof(struct dg_policy, tls.private_key_group_readable),
     .standard = "false",
     .allowed = "true, false"},
    {.path = "tls.ca",
     .parse = dg_parse_path,
     .offset = offsetof(struct dg_policy, tls.ca),
     .standard = "\"/etc/distguard/ca.pem\"",
     .allowed = "the absolute path of a PEM file"},
    {.path = "tls.crl",
     .parse = dg_parse_path,
     .offset = offsetof(struct dg_policy, tls.crl),
     .allowed = "the absolute path of a PEM file"},
    {.path = "tls.min_version",
     .parse = dg_parse_word,
     .offset = offsetof(struct dg_policy, tls.min_version),
     .standard = "\"1.3\"",
     .words = dg_tls_version_words},
    {.path = "tls.handshake_timeout",
     .parse = dg_parse_seconds,
     .offset = offsetof(struct dg_policy, tls.handshake_timeout),
     .standard = "5.0",
     .high = 60,
     .allowed = "seconds, above 0 and up to 60"},
    {.path = "tls.max_handshakes",
     .parse = dg_parse_whole,
     .offset = offsetof(struct dg_policy, tls.max_handshakes),
     .standard = "64",
     .low = 1,
     .high = 1000,
     .allowed = "a whole number from 1 to 1000"},
    {.path = "tls.rekey_bytes",
     .parse = dg_parse_large,
     .offset = offsetof(struct dg_policy, tls.rekey_bytes),
     .standard = "68719476736L",
     .low = 65536,
     .high = 274877906944,
     .allowed = "a whole number from 65536 to 274877906944L"},
    {.path = "tls.keyupdate_limit",
     .parse = dg_parse_whole,
     .offset = offsetof(struct dg_policy, tls.keyupdate_limit),
     .standard = "10",
     .low = 1,
     .high = 1000,
     .allowed = "a whole number from 1 to 1000"},
    {.path = "log.target",
     .parse = dg_parse_log_target,
     .offset = offsetof(struct dg_policy, log),
     .standard = "\"syslog\"",
     .allowed = "\"syslog\", \"stderr\", or the absolute path of a file"},
    {.path = "log.level",
     .parse = dg_parse_word,
     .offset = offsetof(struct dg_policy, log.level),
     .standard = "\"info\"",
     .words = dg_log_level_words},
    {.path = NULL},
};

const struct dg_key dg_schema_peer[] = {
    {.path = "dns",
     .parse = dg_parse_dns,
     .offset = offsetof(struct dg_peer_rule, dns),
     .allowed =
         "a host name of letters, digits and hyphens, or one whose first label is *, such as "
         "\"*.web.example.org\""},
    {.path = "ip",
     .parse = dg_parse_network,
     .offset = offsetof(struct dg_peer_rule, ip),
     .allowed = "an address, or a network such as \"10.0.0.0/8\""},
    {.path = "uri",
     .parse = dg_parse_uri,
     .offset = offsetof(struct dg_peer_rule, uri),
     .allowed = "a URI; only that of a SPIFFE ID may end in a wildcard, such as "
                "\"spiffe://example.org/web/*\""},
    {.path = "spki",
     .parse = dg_parse_pin,
     .allowed = "the SHA-256 of the public key, as \"sha256:\" and 64 hexadecimal digits, or "
                "\"sha256/\" and base64"},
    {.path = "nodes",
     .parse = dg_parse_nodes,
     .offset = offsetof(struct dg_peer_rule, nodes),
     .allowed = "a pattern of node names, such as \"web@*\", or an array of them"},
    {.path = NULL},
};
