/* Parsers for the types of values that shim.conf knows; what each expects as its target is said
 * beside it. */
#ifndef DISTGUARD_POLICY_VALUES_H
#define DISTGUARD_POLICY_VALUES_H

#include "policy/keys.h"

dg_key_parser dg_parse_word;       /* an enum whose values are in the key's words */
dg_key_parser dg_parse_requests;   /* unsigned; the sum of the words in a list */
dg_key_parser dg_parse_truth;      /* bool */
dg_key_parser dg_parse_whole;      /* unsigned */
dg_key_parser dg_parse_large;      /* int64_t */
dg_key_parser dg_parse_port;       /* uint16_t */
dg_key_parser dg_parse_seconds;    /* double; above zero, up to the key's high */
dg_key_parser dg_parse_text;       /* char *; not empty */
dg_key_parser dg_parse_path;       /* char *; absolute */
dg_key_parser dg_parse_programs;   /* struct dg_string_list */
dg_key_parser dg_parse_ports;      /* struct dg_port_list */
dg_key_parser dg_parse_binds;      /* struct dg_bind_list */
dg_key_parser dg_parse_sources;    /* struct dg_bind_list; nothing that reaches no other host */
dg_key_parser dg_parse_networks;   /* struct dg_network_list */
dg_key_parser dg_parse_peers;      /* struct dg_peer_list */
dg_key_parser dg_parse_dns;        /* char *; a host name, or a pattern of them */
dg_key_parser dg_parse_network;    /* struct dg_network */
dg_key_parser dg_parse_uri;        /* char *; a URI, or a pattern of SPIFFE IDs */
dg_key_parser dg_parse_pin;        /* struct dg_peer_rule: its pinned and spki */
dg_key_parser dg_parse_nodes;      /* struct dg_string_list; patterns of node names */
dg_key_parser dg_parse_log_target; /* struct dg_log_policy: its target and file */

#endif
