#include "policy/schema.h"

#include "policy/policy.h"
#include "policy/values.h"
#include "policy/words.h"

_Static_assert(sizeof(enum dg_mode) == sizeof(unsigned) &&
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
    {.path = "tls.ca",
     .parse = dg_parse_path,
     .offset = offsetof(struct dg_policy, tls.ca),
     .standard = "\"/etc/distguard/ca.pem\"",
     .allowed = "the absolute path of a PEM file"},
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
