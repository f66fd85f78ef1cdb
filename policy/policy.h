/*
 * The policy: one profile of shim.conf as an immutable struct.
 *
 * Nothing in this folder opens a socket or knows of TLS; it reads one file and answers questions
 * about it.
 */
#ifndef DISTGUARD_POLICY_POLICY_H
#define DISTGUARD_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/error.h"
#include "policy/network.h"

#define DG_POLICY_DEFAULT_FILE "/etc/distguard/shim.conf"

/* Neighbours understand each other: a cluster goes from one to the next, node by node. */
enum dg_mode {
    DG_MODE_OFF,     /* as without the shim */
    DG_MODE_ALLOW,   /* takes plaintext and TLS, speaks plaintext */
    DG_MODE_PREFER,  /* takes plaintext and TLS, speaks TLS */
    DG_MODE_REQUIRE, /* TLS alone, but for `local` */
};

/* How the node name that a peer claims is held against its certificate. */
enum dg_node_names {
    DG_NODE_NAMES_HOST,  /* the host part is one of its DNS or IP names */
    DG_NODE_NAMES_EXACT, /* it has the URI erlang:NAME@HOST */
    DG_NODE_NAMES_OFF,
};

enum dg_tls_version {
    DG_TLS_1_2,
    DG_TLS_1_3,
};

/* Who may connect in plaintext from this very host. */
enum dg_local {
    DG_LOCAL_DENY,
    DG_LOCAL_SAME_USER,
    DG_LOCAL_ALLOW,
};

enum dg_log_target {
    DG_LOG_TO_SYSLOG,
    DG_LOG_TO_STDERR,
    DG_LOG_TO_FILE,
};

/* Ascending in loudness; a policy's level is the least that is written. */
enum dg_log_level {
    DG_LOG_DEBUG,
    DG_LOG_INFO,
    DG_LOG_WARNING,
    DG_LOG_ERROR,
};

struct dg_port_range {
    uint16_t first;
    uint16_t last; /* inclusive */
};

struct dg_port_list {
    struct dg_port_range *ranges;
    size_t count;
};

struct dg_string_list {
    char **strings;
    size_t count;
};

/* Where in the policy something was said, for explanations. */
struct dg_place {
    const char *file; /* owned by the policy; NULL: nowhere, it is the default */
    unsigned line;
};

enum dg_bind_kind {
    DG_BIND_LOOPBACK,
    DG_BIND_ANY,
    DG_BIND_INTERFACE, /* the addresses of one interface */
    DG_BIND_NETWORK,   /* an address, or this host's address in a network */
};

struct dg_bind_rule {
    enum dg_bind_kind kind;
    char *interface;           /* DG_BIND_INTERFACE, else NULL */
    struct dg_network network; /* DG_BIND_NETWORK */
    struct dg_place place;
};

/* One rule, or several of which each speaks for the families that it can (one NETWORK a family,
 * LOOPBACK, ANY and INTERFACE for both). Never empty, but for connect_from where the source address
 * is left to the kernel. */
struct dg_bind_list {
    struct dg_bind_rule *rules;
    size_t count;
};

struct dg_network_rule {
    struct dg_network network;
    struct dg_place place;
};

struct dg_network_list {
    struct dg_network_rule *rules;
    size_t count;
    struct dg_place place; /* of the list itself */
    bool given;            /* false: not in the policy, everything is allowed */
};

struct dg_distribution_policy {
    bool enabled;
    struct dg_place enabled_place;
    struct dg_bind_list bind;
    struct dg_bind_list connect_from;
    struct dg_network_list allow_from;
    struct dg_network_list allow_to;
    struct dg_port_list ports; /* distribution ports that EPMD does not reveal */
};

enum { DG_SPKI_SIZE = 32 };

/* One entry of `peers`: certificates that have all of what it names may join. */
struct dg_peer_rule {
    char *dns;            /* a SAN, or a pattern such as *.example.org; NULL: any */
    struct dg_network ip; /* a SAN within it; of no family: any */
    char *uri;            /* a SAN, or a SPIFFE ID that ends in a wildcard segment; NULL: any */
    bool pinned;          /* the key must be that of `spki`, too */
    uint8_t spki[DG_SPKI_SIZE];  /* SHA-256 of its SubjectPublicKeyInfo */
    struct dg_string_list nodes; /* patterns of node names, such as web@*; none: any */
    struct dg_place place;
};

struct dg_peer_list {
    struct dg_peer_rule *rules;
    size_t count;
    struct dg_place place; /* of the list itself */
    bool given;            /* false: any certificate of the trust anchors */
};

/* What another host may ask of EPMD; bits. */
enum {
    DG_REMOTE_PORT_PLEASE = 1,
    DG_REMOTE_NAMES = 2,
};

/* Lists that the policy does not give are distribution's. */
struct dg_epmd_policy {
    struct dg_bind_list bind;
    struct dg_network_list allow_from;
    struct dg_network_list allow_to;
    uint16_t port; /* 0: not set, the program's own setting counts */
    unsigned remote_requests;
};

struct dg_tls_policy {
    char *certificate; /* absolute paths of PEM files */
    char *private_key;
    bool private_key_group_readable; /* root's key, by its group */
    char *ca;
    char *crl; /* NULL: none */
    enum dg_tls_version min_version;
    int64_t rekey_bytes;      /* of plaintext under one key; then a KeyUpdate is sent */
    unsigned keyupdate_limit; /* how many KeyUpdates a second a peer may send */
    double handshake_timeout; /* seconds */
    unsigned max_handshakes;  /* how many connections may wait for theirs at once */
};

struct dg_log_policy {
    enum dg_log_target target;
    char *file; /* DG_LOG_TO_FILE only, else NULL */
    enum dg_log_level level;
};

struct dg_policy {
    char *file;    /* the path it was read from */
    char *profile; /* its name */
    char *inherit; /* the profile that it takes over from; NULL: none */
    enum dg_mode mode;
    struct dg_place mode_place;
    enum dg_local local;
    struct dg_place local_place;
    struct dg_distribution_policy distribution;
    struct dg_epmd_policy epmd;
    struct dg_tls_policy tls;
    struct dg_peer_list peers;
    enum dg_node_names node_names;
    struct dg_place node_names_place;
    struct dg_log_policy log;
    struct dg_string_list programs;
    struct dg_place programs_place;
    struct dg_string_list profiles; /* all that the file has, in its order */
    struct dg_string_list files;    /* `file` and what it includes; places point to these */
};

/*
 * Reads `file` (NULL: DISTGUARD_CONF, an absolute path, else /etc/distguard/shim.conf) and makes
 * the policy of `profile` (NULL: DISTGUARD_PROFILE, else the file's default_profile, else its only
 * one). All profiles of the file are checked, not only the chosen one. The file, and what it
 * includes, must pass dg_policy_check_file().
 *
 * Returns 0 and a policy that the caller frees with dg_policy_free(), or -1 with the reason in
 * `error` as `FILE:LINE: KEY: what is wrong; what is allowed`. Harms nobody's locale and keeps
 * nothing open.
 */
int dg_policy_load(const char *file, const char *profile, struct dg_policy **policy,
                   struct dg_error *error);
void dg_policy_free(struct dg_policy *policy);

/* Who may read a file. */
enum dg_privacy {
    DG_FILE_PUBLIC,   /* anybody */
    DG_FILE_SECRET,   /* its owner alone */
    DG_FILE_OF_GROUP, /* its owner, and where that is root its group */
};

/*
 * Checks that a file may be trusted: regular, owned by root or the effective user, writable by
 * nobody else, and readable by nobody else than `privacy` says. `what` names it in the error
 * ("policy file", "private key"). Works on an open descriptor, so that what is checked is what is
 * read.
 *
 * Returns 0, or -1 with the reason and the remedy in `error`.
 */
int dg_policy_check_file(int fd, const char *path, const char *what, enum dg_privacy privacy,
                         struct dg_error *error);

/* The rule that lets `host` in, or NULL. A list that is not given lets everyone in: then `*open` is
 * true. Loopback addresses are this host, for which `local` speaks, and are never kept out here:
 * also open. */
const struct dg_network_rule *dg_policy_allows(const struct dg_network_list *list,
                                               const struct dg_host *host, bool *open);

/* Whether no address that the rule designates can be reached from another host. */
bool dg_bind_rule_is_loopback(const struct dg_bind_rule *rule);

bool dg_policy_port_listed(const struct dg_port_list *ports, uint16_t port);

/* Whether the policy guards the program of this base name; "beam.smp" stands for every emulator
 * flavour (beam, beam.smp, beam.debug.smp, …). */
bool dg_policy_guards(const struct dg_policy *policy, const char *program);

/* The words of shim.conf, for messages; never NULL. */
const char *dg_mode_name(enum dg_mode mode);
const char *dg_node_names_name(enum dg_node_names node_names);
const char *dg_tls_version_name(enum dg_tls_version version);
const char *dg_local_name(enum dg_local local);
const char *dg_log_level_name(enum dg_log_level level);

#endif
