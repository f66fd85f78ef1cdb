/* The status page, from both sides: what the writer tells, the reader finds; what a hostile, torn
 * or foreign page holds harms nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/abi.h"
#include "shim/core/report/snapshot.h"
#include "shim/core/report/status.h"
#include "tests/unit/support/random.h"

#define LINK "/memfd:" DG_PAGE_NAME " (deleted)"

static char policy_path[] = "/tmp/distguard-status-XXXXXX";
static struct dg_page *copy; /* what the reader has found */

/* --- finding the page --- */

/* How many descriptors of pages this process has; the last of them in *fd. */
static int find_descriptors(int *fd)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    assert_non_null(directory);
    *fd = -1;
    while ((entry = readdir(directory)) != NULL) {
        char target[64] = "";

        if (readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1) > 0 &&
            strcmp(target, LINK) == 0) {
            *fd = (int)strtol(entry->d_name, NULL, 10);
            count++;
        }
    }
    (void)closedir(directory);
    return count;
}

static int own_descriptor(void)
{
    int fd;

    assert_int_equal(find_descriptors(&fd), 1);
    return fd;
}

/* As another process would: by the link, for reading only. */
static const struct dg_page *look(void)
{
    char path[32];
    int fd;

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", own_descriptor());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    memset(copy, 0, sizeof *copy);
    assert_int_equal(dg_snapshot_read(fd, copy), DG_SNAPSHOT_TAKEN);
    (void)close(fd);
    return copy;
}

/* The connection of this peer; NULL where there is none. */
static const struct dg_page_connection *connection_of(const struct dg_page *page, const char *peer)
{
    for (uint32_t i = 0; i < page->connection_count; i++) {
        if (page->connections[i].used && strcmp(page->connections[i].peer, peer) == 0) {
            return &page->connections[i];
        }
    }
    return NULL;
}

static unsigned connections_in(const struct dg_page *page)
{
    return dg_snapshot_add_up(page).connections;
}

static struct dg_status_connection made(const char *peer)
{
    return (struct dg_status_connection){.role = DG_PAGE_DISTRIBUTION,
                                         .direction = DG_PAGE_IN,
                                         .state = DG_PAGE_HANDSHAKE,
                                         .generation = 7,
                                         .peer = peer};
}

static dg_status_record connect_peer(const char *peer)
{
    struct dg_status_connection connection = made(peer);
    dg_status_record record = dg_status_connected(&connection);

    assert_int_not_equal(record, 0);
    return record;
}

/* --- what the writer tells --- */

static void test_process_and_policy_are_told(void **state)
{
    const struct dg_page *page = look();
    struct stat status;

    (void)state;
    assert_int_equal(stat(policy_path, &status), 0);
    assert_int_equal(page->header.pid, getpid());
    assert_string_equal(page->header.version, DG_VERSION);
    assert_string_equal(page->process.program, "beam.smp");
    assert_string_equal(page->process.mode, "require");
    assert_string_equal(page->process.profile, "production");
    assert_int_equal(page->process.generation, 1);
    assert_int_equal(page->process.certificate_expires, INT64_C(4102444800000));
    assert_int_equal(page->process.file_count, 2);
    assert_string_equal(page->process.files[0].path, policy_path);
    assert_int_equal(page->process.files[0].inode, status.st_ino);
    assert_int_equal(page->process.files[0].size, status.st_size);
    assert_string_equal(page->process.files[1].path, "/nowhere/included.conf");
    assert_int_equal(page->process.files[1].size, -1);
}

static void test_a_connection_is_there_from_its_beginning_to_its_end(void **state)
{
    dg_status_record record = connect_peer("10.0.0.7:40000");
    struct dg_status_connection open = made("10.0.0.7:40000");
    const struct dg_page_connection *found = connection_of(look(), "10.0.0.7:40000");
    dg_page_time since;

    (void)state;
    assert_non_null(found);
    assert_int_equal(found->state, DG_PAGE_HANDSHAKE);
    assert_int_equal(found->generation, 7);
    since = found->since;
    assert_true(since > INT64_C(1600000000000));

    open.state = DG_PAGE_OPEN;
    open.node = "web@10.0.0.7";
    open.cipher = "TLS_AES_256_GCM_SHA384";
    dg_status_changed(record, &open);
    found = connection_of(look(), "10.0.0.7:40000");
    assert_non_null(found);
    assert_int_equal(found->state, DG_PAGE_OPEN);
    assert_string_equal(found->node, "web@10.0.0.7");
    assert_string_equal(found->cipher, "TLS_AES_256_GCM_SHA384");
    assert_true(found->since == since);

    dg_status_closed(record);
    assert_null(connection_of(look(), "10.0.0.7:40000"));
}

static void test_what_moved_stays_in_the_totals(void **state)
{
    struct dg_snapshot_totals before = dg_snapshot_add_up(look());
    struct dg_snapshot_totals after;
    dg_status_record record = connect_peer("10.0.0.8:40000");

    (void)state;
    dg_status_moved(record, DG_PAGE_IN, 1000);
    dg_status_moved(record, DG_PAGE_IN, 24);
    dg_status_moved(record, DG_PAGE_OUT, 5);
    dg_status_records(record, 4, 3, 2);
    assert_int_equal(connection_of(look(), "10.0.0.8:40000")->bytes[DG_PAGE_IN], 1024);
    assert_int_equal(dg_snapshot_add_up(look()).bytes[DG_PAGE_IN], before.bytes[DG_PAGE_IN] + 1024);
    dg_status_closed(record);
    after = dg_snapshot_add_up(look());
    assert_int_equal(after.bytes[DG_PAGE_IN], before.bytes[DG_PAGE_IN] + 1024);
    assert_int_equal(after.bytes[DG_PAGE_OUT], before.bytes[DG_PAGE_OUT] + 5);
    assert_int_equal(after.records[DG_PAGE_OUT], before.records[DG_PAGE_OUT] + 3);
    assert_int_equal(after.key_updates, before.key_updates + 2);
    assert_int_equal(after.connections, before.connections);
}

static void test_more_connections_than_the_table_holds_are_counted(void **state)
{
    enum { MORE = 3 };
    static dg_status_record records[DG_PAGE_CONNECTIONS + MORE];
    uint64_t moved = dg_snapshot_add_up(look()).bytes[DG_PAGE_OUT];

    (void)state;
    for (int i = 0; i < DG_PAGE_CONNECTIONS + MORE; i++) {
        records[i] = connect_peer("10.0.0.9:1");
    }
    dg_status_moved(records[DG_PAGE_CONNECTIONS], DG_PAGE_OUT, 7);
    assert_int_equal(look()->counters.unlisted, MORE);
    assert_int_equal(connections_in(copy), DG_PAGE_CONNECTIONS + MORE);
    assert_int_equal(dg_snapshot_add_up(copy).bytes[DG_PAGE_OUT], moved + 7);
    for (int i = 0; i < DG_PAGE_CONNECTIONS + MORE; i++) {
        dg_status_closed(records[i]);
    }
    assert_int_equal(connections_in(look()), 0);
    assert_int_equal(copy->counters.unlisted, 0);
}

static void test_no_record_is_none(void **state)
{
    (void)state;
    dg_status_moved(0, DG_PAGE_IN, 1);
    dg_status_records(0, 1, 1, 1);
    dg_status_closed(0);
    assert_int_equal(connections_in(look()), 0);
}

static void test_listeners_are_told(void **state)
{
    dg_status_record record = dg_status_listening(DG_PAGE_EPMD, "0.0.0.0:4369", "10.0.0.5:4369");
    const struct dg_page *page = look();

    (void)state;
    assert_int_equal(page->listener_count, 1);
    assert_int_equal(page->listeners[0].role, DG_PAGE_EPMD);
    assert_string_equal(page->listeners[0].asked, "0.0.0.0:4369");
    assert_string_equal(page->listeners[0].bound, "10.0.0.5:4369");
    dg_status_moved(record, DG_PAGE_IN, 1); /* a listener's record is no connection's */
    dg_status_closed(record);
    assert_int_equal(look()->listeners[0].used, 0);
}

static void test_plaintext_peers_are_counted_and_named(void **state)
{
    struct dg_status_peer peer = {.role = DG_PAGE_DISTRIBUTION,
                                  .direction = DG_PAGE_IN,
                                  .address = "10.0.0.1",
                                  .node = "old@10.0.0.1"};
    const struct dg_page *page;

    (void)state;
    dg_status_plaintext(&peer, DG_PAGE_ALLOW);
    dg_status_plaintext(&peer, DG_PAGE_ALLOW);
    peer.node = NULL;
    dg_status_plaintext(&peer, DG_PAGE_LOCAL);
    page = look();
    assert_int_equal(page->counters.plaintext[DG_PAGE_ALLOW], 2);
    assert_int_equal(page->counters.plaintext[DG_PAGE_LOCAL], 1);
    assert_int_equal(page->plaintext_peer_count, 2);
    assert_string_equal(page->plaintext_peers[0].address, "10.0.0.1");
    assert_string_equal(page->plaintext_peers[0].node, "old@10.0.0.1");
    assert_int_equal(page->plaintext_peers[0].count, 2);
    assert_int_equal(page->plaintext_peers[1].rule, DG_PAGE_LOCAL);
    assert_string_equal(page->plaintext_peers[1].node, "");
}

static void test_the_peer_not_seen_for_longest_gives_way(void **state)
{
    char address[32];
    struct dg_status_peer peer = {.direction = DG_PAGE_IN, .address = address};
    const struct dg_page *page;
    bool newest = false;

    (void)state;
    for (int i = 0; i <= DG_PAGE_REFUSALS; i++) {
        (void)snprintf(address, sizeof address, "192.0.2.%d", i);
        dg_status_refused(&peer, DG_REFUSED_CERTIFICATE, "peer has shown no certificate");
    }
    page = look();
    assert_int_equal(page->counters.refused[DG_REFUSED_CERTIFICATE], DG_PAGE_REFUSALS + 1);
    assert_int_equal(page->refused_count, DG_PAGE_REFUSALS);
    for (uint32_t i = 0; i < page->refused_count; i++) {
        newest = newest || strcmp(page->refused[i].address, address) == 0;
        assert_string_not_equal(page->refused[i].address, "192.0.2.0");
        assert_int_equal(page->refused[i].count, 1);
    }
    assert_true(newest);
}

/* --- the descriptor --- */

static void test_the_descriptor_is_out_of_the_way_and_sealed(void **state)
{
    int fd = own_descriptor();
    int seals = fcntl(fd, F_GET_SEALS);

    (void)state;
    assert_true(fd >= 512);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void test_a_lost_descriptor_is_replaced_and_nothing_else_touched(void **state)
{
    int fd = own_descriptor();
    dg_status_record record = connect_peer("10.0.0.10:1");
    dg_status_record next;
    struct stat before;
    struct stat after;
    int stranger;

    (void)state;
    dg_status_moved(record, DG_PAGE_IN, 11);
    (void)close(fd);
    stranger = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(stranger, fd), fd); /* the number is somebody else's now */
    (void)close(stranger);
    assert_int_equal(fstat(fd, &before), 0);
    dg_status_moved(record, DG_PAGE_IN, 11); /* the mapping is as good as before */

    next = connect_peer("10.0.0.10:2");
    dg_status_moved(record, DG_PAGE_IN, 11);
    assert_int_equal(connection_of(look(), "10.0.0.10:1")->bytes[DG_PAGE_IN], 33);
    assert_non_null(connection_of(copy, "10.0.0.10:2"));
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_rdev, before.st_rdev);
    dg_status_closed(record);
    dg_status_closed(next);
    (void)close(fd);
}

static void test_without_descriptors_the_page_waits_for_one(void **state)
{
    enum { FEW = 64 };
    int taken[FEW];
    int fd = own_descriptor();
    int count = 0;
    struct rlimit limit;
    struct rlimit few;
    dg_status_record record;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = FEW;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    (void)close(fd);
    while (count < FEW && (taken[count] = dup(STDERR_FILENO)) >= 0) {
        count++;
    }
    errno = 0;
    record = connect_peer("10.0.0.11:1"); /* into the page, which nobody finds yet */
    assert_int_equal(errno, 0);
    while (count > 0) {
        (void)close(taken[--count]);
    }
    assert_int_equal(find_descriptors(&fd), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    dg_status_closed(connect_peer("10.0.0.11:2"));
    assert_non_null(connection_of(look(), "10.0.0.11:1"));
    dg_status_closed(record);
    assert_int_equal(connections_in(look()), 0);
}

/* What the child does, in the child: 0 where it finds what it should. */
static int child_of_fork(dg_status_record parents)
{
    int fd;

    dg_status_moved(parents, DG_PAGE_IN, 1000);
    dg_status_closed(parents);
    if (find_descriptors(&fd) != 0) {
        return 1; /* the parent's page is not the child's to keep */
    }
    dg_status_moved(connect_peer("10.0.0.12:2"), DG_PAGE_IN, 5);
    if (look()->header.pid != getpid() || connections_in(copy) != 1 ||
        connection_of(copy, "10.0.0.12:2")->bytes[DG_PAGE_IN] != 5) {
        return 2;
    }
    return strcmp(copy->process.profile, "production") == 0 ? 0 : 3;
}

static void test_a_forked_child_has_a_page_of_its_own(void **state)
{
    dg_status_record record = connect_peer("10.0.0.12:1");
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        _exit(child_of_fork(record));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_non_null(connection_of(look(), "10.0.0.12:1"));
    assert_null(connection_of(copy, "10.0.0.12:2"));
    assert_int_equal(connection_of(copy, "10.0.0.12:1")->bytes[DG_PAGE_IN], 0);
    dg_status_closed(record);
}

/* --- reading while it is written --- */

static _Atomic bool writing;

/* A connection whose texts are all of one letter, which changes. */
static void *write_letters(void *unused)
{
    char peer[60];
    unsigned letter = 0;

    while (atomic_load(&writing)) {
        struct dg_status_connection connection = made(peer);
        dg_status_record record;

        memset(peer, (int)('a' + letter), sizeof peer - 1);
        peer[sizeof peer - 1] = '\0';
        connection.node = connection.certificate = peer;
        record = dg_status_connected(&connection);
        dg_status_moved(record, DG_PAGE_IN, 1);
        letter = (letter + 1) % 26;
        dg_status_closed(record);
    }
    return unused;
}

static void assert_of_one_letter(const struct dg_page_connection *connection)
{
    for (const char *c = connection->peer; *c != '\0'; c++) {
        assert_int_equal(*c, connection->peer[0]);
    }
    assert_int_equal(strlen(connection->peer), 59);
    assert_string_equal(connection->node, connection->peer);
    assert_string_equal(connection->certificate, connection->peer);
}

static void test_no_reader_sees_half_a_record(void **state)
{
    uint64_t last = 0;
    pthread_t writer;
    int seen = 0;

    (void)state;
    atomic_store(&writing, true);
    assert_int_equal(pthread_create(&writer, NULL, write_letters, NULL), 0);
    /* On a busy machine the writer may not have begun yet. */
    for (int i = 0; i < 1000 || (i < 1000000 && (seen < 10 || last == 0)); i++) {
        const struct dg_page *page = look();

        for (uint32_t c = 0; c < page->connection_count; c++) {
            if (page->connections[c].used) {
                assert_of_one_letter(&page->connections[c]);
                seen++;
            }
        }
        assert_true(page->counters.bytes[DG_PAGE_IN] >= last);
        last = page->counters.bytes[DG_PAGE_IN];
    }
    atomic_store(&writing, false);
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(seen > 0);
    assert_true(last > 0);
}

/* --- pages that are not to be trusted --- */

static void assert_printable(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    assert_true(length < size);
    for (size_t i = 0; i < length; i++) {
        assert_true(isprint((unsigned char)text[i]));
    }
}

static void assert_connection_harmless(const struct dg_page_connection *connection)
{
    assert_printable(connection->peer, sizeof connection->peer);
    assert_printable(connection->node, sizeof connection->node);
    assert_printable(connection->certificate, sizeof connection->certificate);
    assert_printable(connection->version, sizeof connection->version);
    assert_printable(connection->cipher, sizeof connection->cipher);
    assert_printable(connection->group, sizeof connection->group);
    assert_non_null(dg_snapshot_role(connection->role));
    assert_non_null(dg_snapshot_direction(connection->direction));
    assert_non_null(dg_snapshot_state(connection->state));
}

static void assert_peers_harmless(const struct dg_page *page)
{
    for (uint32_t i = 0; i < page->plaintext_peer_count; i++) {
        if (page->plaintext_peers[i].used) {
            assert_printable(page->plaintext_peers[i].address, DG_PAGE_ADDRESS);
            assert_printable(page->plaintext_peers[i].node, DG_PAGE_NODE);
            assert_non_null(dg_snapshot_rule(page->plaintext_peers[i].rule));
        }
    }
    for (uint32_t i = 0; i < page->refused_count; i++) {
        if (page->refused[i].used) {
            assert_printable(page->refused[i].reason, DG_PAGE_REASON);
            assert_non_null(dg_snapshot_refusal(page->refused[i].refusal));
        }
    }
}

static void assert_harmless(const struct dg_page *page)
{
    assert_true(page->connection_count <= DG_PAGE_CONNECTIONS);
    assert_true(page->listener_count <= DG_PAGE_LISTENERS);
    assert_true(page->plaintext_peer_count <= DG_PAGE_PLAINTEXT_PEERS);
    assert_true(page->refused_count <= DG_PAGE_REFUSALS);
    assert_true(page->process.file_count <= DG_PAGE_FILES);
    assert_printable(page->process.program, sizeof page->process.program);
    for (uint32_t i = 0; i < page->process.file_count; i++) {
        assert_printable(page->process.files[i].path, DG_PAGE_PATH);
    }
    for (uint32_t i = 0; i < page->listener_count; i++) {
        if (page->listeners[i].used) {
            assert_printable(page->listeners[i].asked, DG_PAGE_ADDRESS);
            assert_non_null(dg_snapshot_role(page->listeners[i].role));
        }
    }
    for (uint32_t i = 0; i < page->connection_count; i++) {
        if (page->connections[i].used) {
            assert_connection_harmless(&page->connections[i]);
        }
    }
    assert_peers_harmless(page);
    (void)dg_snapshot_add_up(page);
}

static void fill_random(struct random *random, void *bytes, size_t size)
{
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = random_next(random);

        memcpy((char *)bytes + i, &word, sizeof word);
    }
}

static uint64_t seed(void)
{
    const char *given = getenv("DG_SEED");
    uint64_t chosen =
        given != NULL ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 2654435761U + 1;

    (void)fprintf(stderr, "# DG_SEED=%llu\n", (unsigned long long)chosen);
    return chosen;
}

/* Random bytes all over, but for the words that a reader looks at first. */
static void make_hostile(struct random *random, struct dg_page *page)
{
    fill_random(random, page, sizeof *page);
    memcpy(page->header.magic, DG_PAGE_MAGIC, sizeof page->header.magic);
    page->header.layout = DG_PAGE_LAYOUT;
    page->header.size = sizeof *page;
    page->process.sequence &= ~UINT32_C(1);
    page->closings &= ~UINT32_C(1);
    for (int i = 0; i < DG_PAGE_CONNECTIONS; i++) {
        page->connections[i].used = 1;
        page->connections[i].sequence &= ~UINT32_C(i % 16 != 0);
        page->connections[i].role %= DG_PAGE_ROLES + 1;
        page->connections[i].direction %= DG_PAGE_DIRECTIONS + 1;
        page->connections[i].state %= DG_PAGE_STATES + 1;
    }
    for (int i = 0; i < DG_PAGE_PLAINTEXT_PEERS; i++) {
        page->plaintext_peers[i].used = page->refused[i].used = 1;
        page->plaintext_peers[i].role %= DG_PAGE_ROLES + 1;
        page->plaintext_peers[i].direction %= DG_PAGE_DIRECTIONS;
        page->plaintext_peers[i].rule %= DG_PAGE_RULES + 1;
        page->refused[i].role %= DG_PAGE_ROLES + 1;
        page->refused[i].direction %= DG_PAGE_DIRECTIONS;
        page->refused[i].refusal %= DG_PAGE_REFUSAL_CLASSES + 1;
    }
}

static void test_a_hostile_page_harms_nobody(void **state)
{
    struct random random = {.state = seed()};
    struct dg_page *hostile = malloc(sizeof *hostile);

    (void)state;
    assert_non_null(hostile);
    for (int i = 0; i < 3; i++) {
        make_hostile(&random, hostile);
        memset(copy, 0xff, sizeof *copy);
        assert_int_equal(dg_snapshot_copy(hostile, sizeof *hostile, copy), DG_SNAPSHOT_TAKEN);
        assert_harmless(copy);
    }
    free(hostile);
}

/* Of a good page, eight bytes at one place after the other are made random. */
static void test_every_field_may_lie(void **state)
{
    struct random random = {.state = seed()};
    struct dg_page *page = calloc(1, sizeof *page);

    (void)state;
    assert_non_null(page);
    (void)connect_peer("10.0.0.13:1");
    memcpy(page, look(), sizeof *page);
    for (size_t at = 0; at + 8 <= offsetof(struct dg_page, connections[1]);
         at += 8 * (1 + random_below(&random, 16))) {
        uint64_t word = random_next(&random);
        enum dg_snapshot_verdict verdict;
        uint64_t was;

        memcpy(&was, (char *)page + at, sizeof was);
        memcpy((char *)page + at, &word, sizeof word);
        verdict = dg_snapshot_copy(page, sizeof *page, copy);
        if (verdict == DG_SNAPSHOT_TAKEN) {
            assert_harmless(copy);
        }
        memcpy((char *)page + at, &was, sizeof was);
    }
    free(page);
}

static void test_other_layouts_are_told_from_no_page_at_all(void **state)
{
    struct dg_page *page = calloc(1, sizeof *page);

    (void)state;
    assert_non_null(page);
    memcpy(page, look(), sizeof *page);
    assert_int_equal(dg_snapshot_copy(page, sizeof *page - 1, copy), DG_SNAPSHOT_OTHER_LAYOUT);
    assert_int_equal(dg_snapshot_copy(page, sizeof page->header, copy), DG_SNAPSHOT_OTHER_LAYOUT);
    assert_int_equal(dg_snapshot_copy(page, sizeof page->header - 1, copy), DG_SNAPSHOT_NO_PAGE);
    page->header.layout = DG_PAGE_LAYOUT + 1;
    memcpy(page->header.version, "9.9.9\033[31m", 11);
    assert_int_equal(dg_snapshot_copy(page, sizeof *page, copy), DG_SNAPSHOT_OTHER_LAYOUT);
    assert_string_equal(copy->header.version, "9.9.9?[31m");
    page->header.magic[0] ^= 1;
    assert_int_equal(dg_snapshot_copy(page, sizeof *page, copy), DG_SNAPSHOT_NO_PAGE);
    free(page);
}

static void test_a_page_whose_writer_stopped_is_busy(void **state)
{
    struct dg_page *page = calloc(1, sizeof *page);

    (void)state;
    assert_non_null(page);
    memcpy(page, look(), sizeof *page);
    page->process.sequence |= 1;
    assert_int_equal(dg_snapshot_copy(page, sizeof *page, copy), DG_SNAPSHOT_BUSY);
    free(page);
}

static void test_memory_that_can_be_taken_away_is_not_mapped(void **state)
{
    const struct dg_page *good = look();
    int unsealed = memfd_create(DG_PAGE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int file = open(policy_path, O_RDONLY | O_CLOEXEC);
    int empty = memfd_create(DG_PAGE_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)state;
    assert_int_equal(ftruncate(unsealed, sizeof(struct dg_page)), 0);
    assert_int_equal(pwrite(unsealed, good, sizeof *good, 0), sizeof *good);
    assert_int_equal(dg_snapshot_read(unsealed, copy), DG_SNAPSHOT_NO_PAGE);
    assert_int_equal(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(dg_snapshot_read(unsealed, copy), DG_SNAPSHOT_TAKEN);
    assert_int_equal(fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(dg_snapshot_read(empty, copy), DG_SNAPSHOT_NO_PAGE);
    assert_int_equal(dg_snapshot_read(file, copy), DG_SNAPSHOT_NO_PAGE);
    (void)close(unsealed);
    (void)close(empty);
    (void)close(file);
}

/* --- */

static int start(void **state)
{
    static char included[] = "/nowhere/included.conf";
    static char *files[] = {policy_path, included};
    static char profile[] = "production";
    struct dg_policy policy = {.file = policy_path,
                               .profile = profile,
                               .mode = DG_MODE_REQUIRE,
                               .files = {.strings = files, .count = 2}};
    int fd = mkstemp(policy_path);

    (void)state;
    copy = calloc(1, sizeof *copy);
    if (copy == NULL || fd < 0 || write(fd, "version = 1;\n", 13) != 13) {
        return -1;
    }
    (void)close(fd);
    if (dg_status_start("beam.smp") != 0) {
        return -1;
    }
    dg_status_policy(&policy, 1, 4102444800);
    return 0;
}

static int take_down(void **state)
{
    (void)state;
    free(copy);
    return unlink(policy_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_and_policy_are_told),
        cmocka_unit_test(test_a_connection_is_there_from_its_beginning_to_its_end),
        cmocka_unit_test(test_what_moved_stays_in_the_totals),
        cmocka_unit_test(test_more_connections_than_the_table_holds_are_counted),
        cmocka_unit_test(test_no_record_is_none),
        cmocka_unit_test(test_listeners_are_told),
        cmocka_unit_test(test_plaintext_peers_are_counted_and_named),
        cmocka_unit_test(test_the_peer_not_seen_for_longest_gives_way),
        cmocka_unit_test(test_the_descriptor_is_out_of_the_way_and_sealed),
        cmocka_unit_test(test_a_lost_descriptor_is_replaced_and_nothing_else_touched),
        cmocka_unit_test(test_without_descriptors_the_page_waits_for_one),
        cmocka_unit_test(test_a_forked_child_has_a_page_of_its_own),
        cmocka_unit_test(test_no_reader_sees_half_a_record),
        cmocka_unit_test(test_a_hostile_page_harms_nobody),
        cmocka_unit_test(test_every_field_may_lie),
        cmocka_unit_test(test_other_layouts_are_told_from_no_page_at_all),
        cmocka_unit_test(test_a_page_whose_writer_stopped_is_busy),
        cmocka_unit_test(test_memory_that_can_be_taken_away_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, start, take_down);
}
