/*
 * Another process's status page, as the tool reads it: whatever is in it, strings end and are
 * harmless, words are in their bounds, and counts do not lead out of their tables.
 *
 * Input: changes to a page with one record in each table: three bytes of offset, a length, bytes.
 */
#include "shim/core/report/snapshot.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/support/bytes.h"

enum { CHANGES = 64 };

static struct dg_page source, copy;

static void check_string(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0') {
            return;
        }
        if (text[i] < ' ' || text[i] > '~') {
            fuzz_fail("a byte %02x in a string of a page", (unsigned char)text[i]);
        }
    }
    fuzz_fail("a string of a page does not end");
}

#define CHECK_STRING(field) check_string(field, sizeof(field))

static void check_word(const char *word)
{
    if (word == NULL || *word == '\0') {
        fuzz_fail("no word for a number");
    }
}

static void check_process(const struct dg_page_process *process)
{
    if (process->file_count > DG_PAGE_FILES) {
        fuzz_fail("%u files", process->file_count);
    }
    for (uint32_t i = 0; i < process->file_count; i++) {
        CHECK_STRING(process->files[i].path);
    }
    CHECK_STRING(process->program);
    CHECK_STRING(process->mode);
    CHECK_STRING(process->profile);
    CHECK_STRING(process->certificate);
}

static void check_connections(const struct dg_page *page)
{
    for (uint32_t i = 0; i < page->connection_count; i++) {
        const struct dg_page_connection *connection = &page->connections[i];

        if (connection->used) {
            check_word(dg_snapshot_role(connection->role));
            check_word(dg_snapshot_direction(connection->direction));
            check_word(dg_snapshot_state(connection->state));
            CHECK_STRING(connection->peer);
            CHECK_STRING(connection->node);
            CHECK_STRING(connection->certificate);
            CHECK_STRING(connection->version);
            CHECK_STRING(connection->cipher);
            CHECK_STRING(connection->group);
        }
    }
}

static void check_peers(const struct dg_page *page)
{
    for (uint32_t i = 0; i < page->plaintext_peer_count; i++) {
        const struct dg_page_plaintext_peer *peer = &page->plaintext_peers[i];

        if (peer->used) {
            check_word(dg_snapshot_role(peer->role));
            check_word(dg_snapshot_direction(peer->direction));
            check_word(dg_snapshot_rule(peer->rule));
            CHECK_STRING(peer->address);
            CHECK_STRING(peer->node);
        }
    }
    for (uint32_t i = 0; i < page->refused_count; i++) {
        const struct dg_page_refused *refused = &page->refused[i];

        if (refused->used) {
            check_word(dg_snapshot_role(refused->role));
            check_word(dg_snapshot_refusal(refused->refusal));
            CHECK_STRING(refused->address);
            CHECK_STRING(refused->node);
            CHECK_STRING(refused->reason);
        }
    }
}

static void check_listeners(const struct dg_page *page)
{
    for (uint32_t i = 0; i < page->listener_count; i++) {
        if (page->listeners[i].used) {
            check_word(dg_snapshot_role(page->listeners[i].role));
            CHECK_STRING(page->listeners[i].asked);
            CHECK_STRING(page->listeners[i].bound);
        }
    }
}

static void make_source(void)
{
    memset(&source, 0, sizeof source);
    memcpy(source.header.magic, DG_PAGE_MAGIC, sizeof source.header.magic);
    source.header.layout = DG_PAGE_LAYOUT;
    source.header.size = sizeof source;
    source.connection_count = source.listener_count = source.refused_count = 1;
    source.plaintext_peer_count = 1;
    source.connections[0].used = source.listeners[0].used = source.refused[0].used = 1;
    source.plaintext_peers[0].used = 1;
    source.process.file_count = 1;
}

/* Where a change goes: most of a page are records that look like the first ones. */
static size_t change_offset(struct fuzz_bytes *bytes)
{
    static const size_t tables[] = {
        0, offsetof(struct dg_page, listeners), offsetof(struct dg_page, plaintext_peers),
        offsetof(struct dg_page, refused), offsetof(struct dg_page, connections)};
    size_t table = fuzz_byte(bytes) % (sizeof tables / sizeof tables[0]);

    return tables[table] + fuzz_word(bytes);
}

static void change_source(struct fuzz_bytes *bytes)
{
    for (int i = 0; i < CHANGES && bytes->left > 0; i++) {
        size_t offset = change_offset(bytes);
        const uint8_t *changed;
        size_t size = fuzz_take(bytes, &changed, fuzz_byte(bytes));

        if (offset + size <= sizeof source) {
            memcpy((char *)&source + offset, changed, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {.next = data, .left = size};
    uint8_t cut = fuzz_byte(&bytes);
    size_t source_size = cut < 64 ? cut * sizeof source / 64 : sizeof source;
    void *mapped;
    enum dg_snapshot_verdict verdict;

    make_source();
    change_source(&bytes);
    mapped = cut < 64 ? fuzz_copy((const uint8_t *)&source, source_size) : (uint8_t *)&source;
    verdict = dg_snapshot_copy(mapped, source_size, &copy);
    if (cut < 64) {
        free(mapped);
    }
    if (verdict == DG_SNAPSHOT_TAKEN) {
        check_process(&copy.process);
        check_connections(&copy);
        check_peers(&copy);
        check_listeners(&copy);
        (void)dg_snapshot_add_up(&copy);
    }
    if (verdict == DG_SNAPSHOT_TAKEN || verdict == DG_SNAPSHOT_OTHER_LAYOUT) {
        CHECK_STRING(copy.header.version);
    }
    return 0;
}
