/* distguard status --json. All strings of a page are ASCII by now (snapshot.h). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/print.h"
#include "cli/status/print.h"
#include "shim/abi.h"

/* docs/status.md */
enum { FORMAT = 1 };

void dg_status_date(char date[DG_STATUS_DATE], dg_page_time time)
{
    date[0] = '\0';
    if (time > 0) {
        dg_print_date(date, (time_t)(time / 1000));
    }
}

static json_t *date(dg_page_time time)
{
    char text[DG_STATUS_DATE];

    dg_status_date(text, time);
    return text[0] != '\0' ? json_string(text) : json_null();
}

/* null where it is not known. */
static json_t *word(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *file_state(enum dg_file_state state)
{
    return state == DG_FILE_UNKNOWN ? json_null() : json_boolean(state != DG_FILE_SAME);
}

static json_t *policy(const struct dg_observed *observed)
{
    const struct dg_page_process *process = &observed->page->process;
    json_t *files = json_array();

    for (uint32_t i = 0; i < process->file_count; i++) {
        json_array_append_new(files, json_pack("{s:s, s:o}", "path", process->files[i].path,
                                               "changed", file_state(observed->files[i])));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "profile", process->profile, "generation",
                     number(process->generation), "loaded", date(process->loaded), "changed",
                     file_state(dg_observed_policy(observed)), "files", files);
}

static json_t *certificate(const struct dg_observed *observed)
{
    const struct dg_page_process *process = &observed->page->process;
    long days;
    bool known = dg_observed_days_left(observed, &days);

    return json_pack("{s:o, s:o, s:o}", "path", word(process->certificate), "expires",
                     date(process->certificate_expires), "days_left",
                     known ? json_integer(days) : json_null());
}

static json_t *listeners(const struct dg_page *page)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < page->listener_count; i++) {
        const struct dg_page_listener *listener = &page->listeners[i];

        if (listener->used) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "role",
                                                  dg_snapshot_role(listener->role), "asked",
                                                  listener->asked, "bound", listener->bound));
        }
    }
    return list;
}

static json_t *connection_json(const struct dg_page_connection *connection)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "role",
        dg_snapshot_role(connection->role), "direction",
        dg_snapshot_direction(connection->direction), "state", dg_snapshot_state(connection->state),
        "peer", connection->peer, "node", word(connection->node), "certificate",
        word(connection->certificate), "tls", word(connection->version), "cipher",
        word(connection->cipher), "group", word(connection->group), "since",
        date(connection->since), "policy_generation", number(connection->generation));

    (void)json_object_set_new(object, "bytes_in", number(connection->bytes[DG_PAGE_IN]));
    (void)json_object_set_new(object, "bytes_out", number(connection->bytes[DG_PAGE_OUT]));
    (void)json_object_set_new(object, "records_in", number(connection->records[DG_PAGE_IN]));
    (void)json_object_set_new(object, "records_out", number(connection->records[DG_PAGE_OUT]));
    (void)json_object_set_new(object, "key_updates", number(connection->key_updates));
    return object;
}

static json_t *connections(const struct dg_page *page)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < page->connection_count; i++) {
        if (page->connections[i].used) {
            json_array_append_new(list, connection_json(&page->connections[i]));
        }
    }
    return list;
}

static json_t *plaintext_peers(const struct dg_page *page)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < page->plaintext_peer_count; i++) {
        const struct dg_page_plaintext_peer *peer = &page->plaintext_peers[i];

        if (peer->used) {
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:o}", "role",
                                dg_snapshot_role(peer->role), "direction",
                                dg_snapshot_direction(peer->direction), "address", peer->address,
                                "node", word(peer->node), "rule", dg_snapshot_rule(peer->rule),
                                "count", number(peer->count), "last_seen", date(peer->last_seen)));
        }
    }
    return list;
}

static json_t *refusals(const struct dg_page *page)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < page->refused_count; i++) {
        const struct dg_page_refused *refused = &page->refused[i];

        if (refused->used) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:o}", "role",
                                            dg_snapshot_role(refused->role), "direction",
                                            dg_snapshot_direction(refused->direction), "address",
                                            refused->address, "node", word(refused->node), "class",
                                            dg_snapshot_refusal(refused->refusal), "reason",
                                            refused->reason, "count", number(refused->count),
                                            "last_seen", date(refused->last_seen)));
        }
    }
    return list;
}

static json_t *admitted(const struct dg_page_counters *counters)
{
    json_t *object = json_object();

    for (uint32_t role = 0; role < DG_PAGE_ROLES; role++) {
        (void)json_object_set_new(object, dg_snapshot_role(role),
                                  json_pack("{s:o, s:o}", "in",
                                            number(counters->admitted[role][DG_PAGE_IN]), "out",
                                            number(counters->admitted[role][DG_PAGE_OUT])));
    }
    return object;
}

/* Counters with a word for each. */
static json_t *by_word(const dg_page_counter *values, uint32_t count, const char *(*name)(uint32_t))
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < count; i++) {
        (void)json_object_set_new(object, name(i), number(values[i]));
    }
    return object;
}

static json_t *totals(const struct dg_page *page)
{
    const struct dg_page_counters *counters = &page->counters;
    struct dg_snapshot_totals sums = dg_snapshot_add_up(page);

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "admitted", admitted(counters),
        "refused", by_word(counters->refused, DG_PAGE_REFUSAL_CLASSES, dg_snapshot_refusal),
        "plaintext", by_word(counters->plaintext, DG_PAGE_RULES, dg_snapshot_rule), "bytes_in",
        number(sums.bytes[DG_PAGE_IN]), "bytes_out", number(sums.bytes[DG_PAGE_OUT]), "records_in",
        number(sums.records[DG_PAGE_IN]), "records_out", number(sums.records[DG_PAGE_OUT]),
        "key_updates", number(sums.key_updates), "reloads", number(counters->reloads),
        "failed_reloads", number(counters->failed_reloads), "log_lines_dropped",
        number(counters->lines_dropped));
}

static void describe_page(json_t *object, const struct dg_observed *observed)
{
    const struct dg_page *page = observed->page;

    (void)json_object_set_new(object, "version", json_string(page->header.version));
    (void)json_object_set_new(object, "started", date(page->process.started));
    (void)json_object_set_new(object, "mode", json_string(page->process.mode));
    (void)json_object_set_new(object, "policy", policy(observed));
    (void)json_object_set_new(object, "certificate", certificate(observed));
    (void)json_object_set_new(object, "listeners", listeners(page));
    (void)json_object_set_new(object, "connections", connections(page));
    (void)json_object_set_new(object, "connections_unlisted", number(page->counters.unlisted));
    (void)json_object_set_new(object, "plaintext_peers", plaintext_peers(page));
    (void)json_object_set_new(object, "require_is_safe",
                              json_boolean(dg_observed_plaintext(observed) == 0));
    (void)json_object_set_new(object, "refusals", refusals(page));
    (void)json_object_set_new(object, "totals", totals(page));
}

static json_t *process_json(const struct dg_observed *observed)
{
    json_t *object = json_pack(
        "{s:i, s:s, s:o, s:o}", "pid", (int)observed->pid, "program", observed->program, "guarded",
        observed->guard == DG_GUARD_UNKNOWN ? json_null()
                                            : json_boolean(observed->guard == DG_GUARDED),
        "why_not", word(observed->why.text));

    if (observed->page != NULL) {
        describe_page(object, observed);
    }
    return object;
}

int dg_status_print_json(const struct dg_observations *all, enum dg_status_verdict verdict)
{
    static const char *const verdicts[] = {[DG_STATUS_ALL_GUARDED] = "guarded",
                                           [DG_STATUS_EXPIRING] = "expiring",
                                           [DG_STATUS_NOT_ALL_GUARDED] = "not_guarded"};
    json_t *processes = json_array();
    json_t *root;
    int result;

    for (size_t i = 0; i < all->count; i++) {
        json_array_append_new(processes, process_json(&all->processes[i]));
    }
    root = json_pack("{s:i, s:s, s:o, s:s, s:o}", "format", FORMAT, "distguard", DG_VERSION, "time",
                     date((dg_page_time)time(NULL) * 1000), "verdict", verdicts[verdict],
                     "processes", processes);
    result = root != NULL ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;
    if (result == 0) {
        (void)putchar('\n');
    }
    json_decref(root);
    return result;
}
