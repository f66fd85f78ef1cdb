/* The words that shim.conf uses for our enums: one table each, from which parser, messages and
 * names follow. */
#ifndef DISTGUARD_POLICY_WORDS_H
#define DISTGUARD_POLICY_WORDS_H

/* A table ends with a word whose name is NULL. */
struct dg_word {
    const char *name;
    unsigned value;
};

extern const struct dg_word dg_mode_words[];
extern const struct dg_word dg_node_names_words[];
extern const struct dg_word dg_tls_version_words[];
extern const struct dg_word dg_local_words[];
extern const struct dg_word dg_request_words[];
extern const struct dg_word dg_log_level_words[];

#endif
