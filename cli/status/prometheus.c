/* distguard status --prometheus: one family of metrics after the other, each with all processes. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/status/print.h"

static void family(const char *name, const char *type, const char *help)
{
    (void)printf("# HELP distguard_%s %s\n# TYPE distguard_%s %s\n", name, help, name, type);
}

/* A label's value may hold anything but these as they are. Newlines there are none (snapshot.h). */
static void print_escaped(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"') {
            (void)putchar('\\');
        }
        (void)putchar(*text);
    }
}

static void label(const char *name, const char *value)
{
    (void)printf(",%s=\"", name);
    print_escaped(value);
    (void)putchar('"');
}

/* Which process; other labels may follow. */
static void begin(const char *name, const struct dg_observed *observed)
{
    (void)printf("distguard_%s{pid=\"%ld\"", name, (long)observed->pid);
    label("program", observed->program);
}

static void end(uint64_t value)
{
    (void)printf("} %" PRIu64 "\n", value);
}

/* --- families --- */

typedef void print_samples(const struct dg_observed *observed);

static void guarded(const struct dg_observed *observed)
{
    begin("guarded", observed);
    end(observed->guard == DG_GUARDED);
}

static void info(const struct dg_observed *observed)
{
    begin("info", observed);
    label("version", observed->page->header.version);
    label("mode", observed->page->process.mode);
    label("profile", observed->page->process.profile);
    end(1);
}

static void start_time(const struct dg_observed *observed)
{
    begin("start_time_seconds", observed);
    end((uint64_t)observed->page->process.started / 1000);
}

static void certificate_expiry(const struct dg_observed *observed)
{
    if (observed->page->process.certificate_expires > 0) {
        begin("certificate_expiry_timestamp_seconds", observed);
        end((uint64_t)observed->page->process.certificate_expires / 1000);
    }
}

static void policy_generation(const struct dg_observed *observed)
{
    begin("policy_generation", observed);
    end(observed->page->process.generation);
}

static void policy_changed(const struct dg_observed *observed)
{
    enum dg_file_state state = dg_observed_policy(observed);

    if (state != DG_FILE_UNKNOWN) {
        begin("policy_changed", observed);
        end(state != DG_FILE_SAME);
    }
}

/* How many of the table there are of this kind. */
static uint64_t count(const struct dg_page *page, uint32_t role, uint32_t direction, uint32_t state)
{
    uint64_t found = 0;

    for (uint32_t i = 0; i < page->connection_count; i++) {
        const struct dg_page_connection *connection = &page->connections[i];

        found += connection->used && connection->role == role &&
                 connection->direction == direction && connection->state == state;
    }
    return found;
}

static void connections(const struct dg_observed *observed)
{
    enum { KINDS = DG_PAGE_ROLES * DG_PAGE_DIRECTIONS * DG_PAGE_STATES };

    for (uint32_t kind = 0; kind < KINDS; kind++) {
        uint32_t state = kind % DG_PAGE_STATES;
        uint32_t direction = kind / DG_PAGE_STATES % DG_PAGE_DIRECTIONS;
        uint32_t role = kind / DG_PAGE_STATES / DG_PAGE_DIRECTIONS;

        begin("connections", observed);
        label("role", dg_snapshot_role(role));
        label("direction", dg_snapshot_direction(direction));
        label("state", dg_snapshot_state(state));
        end(count(observed->page, role, direction, state));
    }
}

static void unlisted(const struct dg_observed *observed)
{
    begin("connections_unlisted", observed);
    end(observed->page->counters.unlisted);
}

static void print_directions(const struct dg_observed *observed, const char *name,
                             const uint64_t values[DG_PAGE_DIRECTIONS])
{
    for (uint32_t direction = 0; direction < DG_PAGE_DIRECTIONS; direction++) {
        begin(name, observed);
        label("direction", dg_snapshot_direction(direction));
        end(values[direction]);
    }
}

static void bytes(const struct dg_observed *observed)
{
    struct dg_snapshot_totals totals = dg_snapshot_add_up(observed->page);

    print_directions(observed, "bytes_total", totals.bytes);
}

static void records(const struct dg_observed *observed)
{
    struct dg_snapshot_totals totals = dg_snapshot_add_up(observed->page);

    print_directions(observed, "records_total", totals.records);
}

static void key_updates(const struct dg_observed *observed)
{
    begin("key_updates_total", observed);
    end(dg_snapshot_add_up(observed->page).key_updates);
}

static void admitted(const struct dg_observed *observed)
{
    for (uint32_t role = 0; role < DG_PAGE_ROLES; role++) {
        for (uint32_t direction = 0; direction < DG_PAGE_DIRECTIONS; direction++) {
            begin("admitted_total", observed);
            label("role", dg_snapshot_role(role));
            label("direction", dg_snapshot_direction(direction));
            end(observed->page->counters.admitted[role][direction]);
        }
    }
}

static void refused(const struct dg_observed *observed)
{
    for (uint32_t i = 0; i < DG_PAGE_REFUSAL_CLASSES; i++) {
        begin("refused_total", observed);
        label("reason", dg_snapshot_refusal(i));
        end(observed->page->counters.refused[i]);
    }
}

static void plaintext(const struct dg_observed *observed)
{
    for (uint32_t i = 0; i < DG_PAGE_RULES; i++) {
        begin("plaintext_total", observed);
        label("rule", dg_snapshot_rule(i));
        end(observed->page->counters.plaintext[i]);
    }
}

static void reloads(const struct dg_observed *observed)
{
    begin("policy_reloads_total", observed);
    label("result", "success");
    end(observed->page->counters.reloads);
    begin("policy_reloads_total", observed);
    label("result", "failure");
    end(observed->page->counters.failed_reloads);
}

static void lines_dropped(const struct dg_observed *observed)
{
    begin("log_lines_dropped_total", observed);
    end(observed->page->counters.lines_dropped);
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    print_samples *print;
    bool of_page; /* of guarded processes only */
} families[] = {
    {"guarded", "gauge", "Whether distguard guards the process.", guarded, false},
    {"info", "gauge", "What guards it, and how; always 1.", info, true},
    {"start_time_seconds", "gauge", "When guarding began, since the epoch.", start_time, true},
    {"certificate_expiry_timestamp_seconds", "gauge",
     "When the first certificate of its chain expires, since the epoch.", certificate_expiry, true},
    {"policy_generation", "gauge", "How often the policy was read.", policy_generation, true},
    {"policy_changed", "gauge", "Whether a file of the policy has changed since it was read.",
     policy_changed, true},
    {"connections", "gauge", "Connections there are now.", connections, true},
    {"connections_unlisted", "gauge", "Connections beyond what the status page can list.", unlisted,
     true},
    {"bytes_total", "counter", "Plaintext bytes through guarded connections.", bytes, true},
    {"records_total", "counter", "TLS records through guarded connections.", records, true},
    {"key_updates_total", "counter", "KeyUpdates of either side.", key_updates, true},
    {"admitted_total", "counter", "Peers admitted.", admitted, true},
    {"refused_total", "counter", "Connections refused.", refused, true},
    {"plaintext_total", "counter", "Connections that passed in plaintext.", plaintext, true},
    {"policy_reloads_total", "counter", "Reloads of the policy.", reloads, true},
    {"log_lines_dropped_total", "counter", "Lines that the log could not take.", lines_dropped,
     true},
};

void dg_status_print_prometheus(const struct dg_observations *all)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        family(families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < all->count; i++) {
            if (!families[f].of_page || all->processes[i].page != NULL) {
                families[f].print(&all->processes[i]);
            }
        }
    }
}
