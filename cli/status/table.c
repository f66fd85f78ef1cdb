/* distguard status on a terminal: a block for each process. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/status/print.h"

static void fact(const char *key)
{
    (void)printf("  %-12s ", key);
}

/* "3.2 MB" */
static const char *amount(uint64_t bytes, char text[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit < sizeof units / sizeof units[0] - 1) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(text, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

static void print_policy(const struct dg_observed *observed)
{
    const struct dg_page_process *process = &observed->page->process;
    char date[DG_STATUS_DATE];

    dg_status_date(date, process->loaded);
    fact("policy");
    (void)printf("%s, profile %s, generation %" PRIu64 ", read %s\n",
                 process->file_count > 0 ? process->files[0].path : "?", process->profile,
                 process->generation, date);
    for (uint32_t i = 0; i < process->file_count; i++) {
        static const char *const words[] = {
            [DG_FILE_SAME] = NULL,
            [DG_FILE_CHANGED] = "has changed since",
            [DG_FILE_GONE] = "is gone",
            [DG_FILE_UNKNOWN] = "cannot be looked at from here",
        };

        if (words[observed->files[i]] != NULL) {
            fact("");
            (void)printf("%s %s\n", process->files[i].path, words[observed->files[i]]);
        }
    }
}

static void print_certificate(const struct dg_observed *observed)
{
    char date[DG_STATUS_DATE];
    long days;

    fact("certificate");
    dg_status_date(date, observed->page->process.certificate_expires);
    (void)printf("%s", or_dash(observed->page->process.certificate));
    if (!dg_observed_days_left(observed, &days)) {
        (void)printf("\n");
    } else if (days < 0) {
        (void)printf(", EXPIRED %s: issue a new one\n", date);
    } else {
        (void)printf(", expires %s (%ld days)%s\n", date, days,
                     days < DG_STATUS_EXPIRING_DAYS ? ": issue a new one" : "");
    }
}

static void print_listeners(const struct dg_page *page)
{
    for (uint32_t i = 0; i < page->listener_count; i++) {
        const struct dg_page_listener *listener = &page->listeners[i];

        if (listener->used) {
            fact("listens");
            (void)printf("%s for %s", listener->bound, dg_snapshot_role(listener->role));
            if (strcmp(listener->asked, listener->bound) != 0) {
                (void)printf(" (the program asked for %s)", listener->asked);
            }
            (void)printf("\n");
        }
    }
}

static void print_connection(const struct dg_page_connection *connection, uint64_t generation)
{
    char date[DG_STATUS_DATE];
    char in[16];
    char out[16];

    dg_status_date(date, connection->since);
    (void)printf("    %-22s %-24s %-3s %-9s %-7s %-22s %-14s %-20s %9s %9s", connection->peer,
                 or_dash(connection->node), dg_snapshot_direction(connection->direction),
                 dg_snapshot_state(connection->state), or_dash(connection->version),
                 or_dash(connection->cipher), or_dash(connection->group), date,
                 amount(connection->bytes[DG_PAGE_IN], in),
                 amount(connection->bytes[DG_PAGE_OUT], out));
    if (connection->role == DG_PAGE_EPMD) {
        (void)printf("  epmd");
    }
    if (connection->generation < generation) {
        (void)printf("  by policy generation %" PRIu64, connection->generation);
    }
    (void)printf("\n");
}

static void print_connections(const struct dg_page *page)
{
    struct dg_snapshot_totals totals = dg_snapshot_add_up(page);
    char in[16];
    char out[16];

    fact("connections");
    (void)printf("%u; %s received and %s sent in all\n", totals.connections,
                 amount(totals.bytes[DG_PAGE_IN], in), amount(totals.bytes[DG_PAGE_OUT], out));
    if (totals.connections > page->counters.unlisted) {
        (void)printf("    %-22s %-24s %-3s %-9s %-7s %-22s %-14s %-20s %9s %9s\n", "PEER", "NODE",
                     "DIR", "STATE", "TLS", "CIPHER", "GROUP", "SINCE", "IN", "OUT");
    }
    for (uint32_t i = 0; i < page->connection_count; i++) {
        if (page->connections[i].used) {
            print_connection(&page->connections[i], page->process.generation);
        }
    }
    if (page->counters.unlisted > 0) {
        (void)printf("    and %" PRIu64 " that are not listed\n",
                     (uint64_t)page->counters.unlisted);
    }
}

static void print_plaintext_peer(const struct dg_page_plaintext_peer *peer)
{
    char date[DG_STATUS_DATE];

    dg_status_date(date, peer->last_seen);
    (void)printf("    %-22s %-24s %-3s %-12s by %s, %" PRIu64 " times, last %s\n", peer->address,
                 or_dash(peer->node), dg_snapshot_direction(peer->direction),
                 dg_snapshot_role(peer->role), dg_snapshot_rule(peer->rule), peer->count, date);
}

static void print_plaintext(const struct dg_observed *observed)
{
    const struct dg_page *page = observed->page;
    char date[DG_STATUS_DATE];

    dg_status_date(date, page->process.started);
    fact("plaintext");
    if (dg_observed_plaintext(observed) == 0) {
        (void)printf("require is safe: no plaintext peer since %s", date);
        if (page->counters.plaintext[DG_PAGE_LOCAL] > 0) {
            (void)printf(", but for this host's own (local)");
        }
        (void)printf("\n");
    } else {
        (void)printf("require is not safe yet: these peers still need a step\n");
    }
    for (uint32_t i = 0; i < page->plaintext_peer_count; i++) {
        if (page->plaintext_peers[i].used) {
            print_plaintext_peer(&page->plaintext_peers[i]);
        }
    }
}

static void print_refusals(const struct dg_page *page)
{
    const char *separator = "";
    bool any = false;

    fact("refused");
    for (uint32_t i = 0; i < DG_PAGE_REFUSAL_CLASSES; i++) {
        if (page->counters.refused[i] > 0) {
            (void)printf("%s%s %" PRIu64, separator, dg_snapshot_refusal(i),
                         (uint64_t)page->counters.refused[i]);
            separator = ", ";
            any = true;
        }
    }
    (void)printf("%s\n", any ? "" : "nobody");
    for (uint32_t i = 0; i < page->refused_count; i++) {
        const struct dg_page_refused *refused = &page->refused[i];
        char date[DG_STATUS_DATE];

        if (refused->used) {
            dg_status_date(date, refused->last_seen);
            (void)printf("    %-22s %-24s %-3s %" PRIu64 " times, last %s: %s\n", refused->address,
                         or_dash(refused->node), dg_snapshot_direction(refused->direction),
                         refused->count, date, refused->reason);
        }
    }
}

static void print_page(const struct dg_observed *observed)
{
    const struct dg_page *page = observed->page;
    char date[DG_STATUS_DATE];

    dg_status_date(date, page->process.started);
    (void)printf("guarded, mode %s, since %s, by distguard %s\n", page->process.mode, date,
                 page->header.version);
    print_policy(observed);
    print_certificate(observed);
    print_listeners(page);
    print_connections(page);
    print_plaintext(observed);
    print_refusals(page);
    if (page->counters.failed_reloads > 0) {
        fact("reloads");
        (void)printf("%" PRIu64 " failed: the log says why\n",
                     (uint64_t)page->counters.failed_reloads);
    }
    if (page->counters.lines_dropped > 0) {
        fact("log");
        (void)printf("%" PRIu64 " lines could not be written\n",
                     (uint64_t)page->counters.lines_dropped);
    }
}

void dg_status_print_table(const struct dg_observations *all)
{
    if (all->count == 0) {
        (void)printf("no beam, epmd or erl_call runs here\n");
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct dg_observed *observed = &all->processes[i];

        (void)printf("%s%s (%ld): ", i > 0 ? "\n" : "", observed->program, (long)observed->pid);
        if (observed->page != NULL) {
            print_page(observed);
        } else {
            (void)printf("%s: %s\n",
                         observed->guard == DG_UNGUARDED ? "NOT GUARDED" : "cannot be told",
                         observed->why.text);
        }
    }
}
