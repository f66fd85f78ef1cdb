/* The distribution handshake, message by message, as both sides read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "shim/core/wire/dist_handshake.h"
#include "tests/unit/support/random.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Bytes of a string literal, which may hold NULs, without the last. */
#define BYTES(text) text, sizeof(text) - 1

/* As OTP sends them; flags of OTP 25, with DFLAG_NAME_ME where that is said. */
#define FLAGS "\x00\x00\x00\x0D\x07\xDF\x7F\xBD"
#define FLAGS_NAME_ME "\x00\x00\x00\x0F\x07\xDF\x7F\xBD"
#define OLD_FLAGS "\x07\xDF\x7F\xBD"
#define CREATION "\x12\x34\x56\x78"
#define CHALLENGE "\x9A\xBC\xDE\xF0"
#define DIGEST "0123456789abcdef"
#define NAME_NEW "N" FLAGS CREATION "\0\3a@b"
#define NAME_DYNAMIC "N" FLAGS_NAME_ME CREATION "\0\4host"
#define NAME_OLD "n\0\5" OLD_FLAGS "a@b"
#define CHALLENGE_NEW "N" FLAGS CHALLENGE CREATION "\0\3b@c"
#define CHALLENGE_NAME_ME "N" FLAGS_NAME_ME CHALLENGE CREATION "\0\3b@c"
#define CHALLENGE_OLD "n\0\5" OLD_FLAGS CHALLENGE "b@c"
#define COMPLEMENT "c\0\0\0\x0D" CREATION
#define REPLY "r" CHALLENGE DIGEST
#define ACK "a" DIGEST

struct message {
    const char *bytes;
    size_t size;
    const char *claim; /* NULL: it claims nothing */
    bool dynamic;
    bool ours; /* else the peer's */
};

#define OURS(text)                                                                                 \
    {                                                                                              \
        .ours = true, .bytes = text, .size = sizeof(text) - 1                                      \
    }
#define THEIRS(text)                                                                               \
    {                                                                                              \
        .bytes = text, .size = sizeof(text) - 1                                                    \
    }
#define CLAIMS(text, name)                                                                         \
    {                                                                                              \
        .bytes = text, .size = sizeof(text) - 1, .claim = name                                     \
    }
#define CLAIMS_HOST(text, name)                                                                    \
    {                                                                                              \
        .bytes = text, .size = sizeof(text) - 1, .claim = name, .dynamic = true                    \
    }

/* From memory of just that size, so that the sanitizer sees every byte too far. */
static enum dg_dist_verdict from_peer(struct dg_dist_handshake *handshake, const void *bytes,
                                      size_t size, char *name, bool *dynamic)
{
    struct dg_dist_claim claim = {0};
    uint8_t *copy = malloc(size > 0 ? size : 1);
    enum dg_dist_verdict verdict;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    verdict = dg_dist_from_peer(handshake, size > 0 ? copy : copy + 1, size, &claim);
    if (verdict == DG_DIST_CLAIM) {
        assert_true(claim.name > copy && claim.size > 0 && claim.name + claim.size <= copy + size);
        memcpy(name, claim.name, claim.size);
        name[claim.size] = '\0';
        *dynamic = claim.dynamic;
    }
    free(copy);
    return verdict;
}

static enum dg_dist_verdict verdict_on(struct dg_dist_handshake *handshake, const void *bytes,
                                       size_t size)
{
    char name[DG_DIST_MESSAGE_MAX + 1];
    bool dynamic;

    return from_peer(handshake, bytes, size, name, &dynamic);
}

static void assert_message(const char *what, size_t number, struct dg_dist_handshake *handshake,
                           const struct message *message)
{
    char name[DG_DIST_MESSAGE_MAX + 1] = "";
    bool dynamic = false;
    enum dg_dist_verdict wanted = message->claim != NULL ? DG_DIST_CLAIM : DG_DIST_PASS;
    enum dg_dist_verdict verdict;

    if (message->ours) {
        dg_dist_from_us(handshake, (uint8_t)message->bytes[0]);
        return;
    }
    verdict = from_peer(handshake, message->bytes, message->size, name, &dynamic);
    if (verdict != wanted || dynamic != message->dynamic ||
        strcmp(name, message->claim != NULL ? message->claim : "") != 0) {
        fail_msg("%s, message %zu: verdict %d, name '%s', dynamic %d; wanted %d, '%s', %d", what,
                 number, verdict, name, dynamic, wanted, message->claim, message->dynamic);
    }
}

/* All of them pass, and the handshake is over with the last, not before. */
static void assert_handshake(const char *what, bool we_accept, const struct message *messages,
                             size_t count)
{
    struct dg_dist_handshake handshake = {.we_accept = we_accept};

    for (size_t i = 0; i < count; i++) {
        if (handshake.over) {
            fail_msg("%s: over before message %zu of %zu", what, i, count);
        }
        assert_message(what, i, &handshake, &messages[i]);
    }
    if (!handshake.over) {
        fail_msg("%s: not over after %zu messages", what, count);
    }
}

#define ASSERT_HANDSHAKE(what, we_accept, ...)                                                     \
    assert_handshake(what, we_accept, (const struct message[]){__VA_ARGS__},                       \
                     COUNT(((const struct message[]){__VA_ARGS__})))

static void test_whoever_connects_is_known_by_its_name_message(void **state)
{
    (void)state;
    ASSERT_HANDSHAKE("new", true, CLAIMS(NAME_NEW, "a@b"), OURS("sok"), OURS(CHALLENGE_NEW),
                     THEIRS(REPLY), OURS(ACK));
    ASSERT_HANDSHAKE("old", true, CLAIMS(NAME_OLD, "a@b"), OURS("sok"), OURS(CHALLENGE_NEW),
                     THEIRS(COMPLEMENT), THEIRS(REPLY), OURS(ACK));
    ASSERT_HANDSHAKE("simultaneous", true, CLAIMS(NAME_NEW, "a@b"), OURS("sok_simultaneous"),
                     OURS(CHALLENGE_NEW), THEIRS(REPLY), OURS(ACK));
    ASSERT_HANDSHAKE("still connected", true, CLAIMS(NAME_NEW, "a@b"), OURS("salive"),
                     THEIRS("strue"), OURS(CHALLENGE_NEW), THEIRS(REPLY), OURS(ACK));
    ASSERT_HANDSHAKE("bytes after the name", true, CLAIMS(NAME_NEW "tail", "a@b"), OURS("sok"),
                     OURS(CHALLENGE_NEW), THEIRS(REPLY), OURS(ACK));
}

static void test_whom_we_connect_to_is_known_by_its_challenge(void **state)
{
    (void)state;
    ASSERT_HANDSHAKE("new", false, OURS(NAME_NEW), THEIRS("sok"), CLAIMS(CHALLENGE_NEW, "b@c"),
                     OURS(REPLY), THEIRS(ACK));
    ASSERT_HANDSHAKE("old", false, OURS(NAME_OLD), THEIRS("sok"), CLAIMS(CHALLENGE_OLD, "b@c"),
                     OURS(REPLY), THEIRS(ACK));
    ASSERT_HANDSHAKE("old name, new challenge", false, OURS(NAME_OLD), THEIRS("sok"),
                     CLAIMS(CHALLENGE_NEW, "b@c"), OURS(COMPLEMENT), OURS(REPLY), THEIRS(ACK));
    ASSERT_HANDSHAKE("still connected", false, OURS(NAME_NEW), THEIRS("salive"), OURS("strue"),
                     CLAIMS(CHALLENGE_NEW, "b@c"), OURS(REPLY), THEIRS(ACK));
    ASSERT_HANDSHAKE("unknown messages", false, OURS(NAME_NEW), THEIRS("sok"), THEIRS("?"),
                     CLAIMS(CHALLENGE_NEW, "b@c"), THEIRS("!new in OTP 99"), OURS(REPLY),
                     THEIRS(ACK));
}

static void test_who_has_its_name_chosen_claims_its_host(void **state)
{
    (void)state;
    ASSERT_HANDSHAKE("theirs", true, CLAIMS_HOST(NAME_DYNAMIC, "host"),
                     OURS("snamed:\0\3x@b" CREATION), OURS(CHALLENGE_NEW), THEIRS(REPLY),
                     OURS(ACK));
    /* The name that we are given looks like a name message's, but is a status. */
    ASSERT_HANDSHAKE("ours", false, OURS(NAME_DYNAMIC), THEIRS("snamed:\0\3x@b" CREATION),
                     CLAIMS(CHALLENGE_NEW, "b@c"), OURS(REPLY), THEIRS(ACK));
    /* Who challenges has a name, whatever its flags. */
    ASSERT_HANDSHAKE("flag in a challenge", false, OURS(NAME_NEW), THEIRS("sok"),
                     CLAIMS(CHALLENGE_NAME_ME, "b@c"), OURS(REPLY), THEIRS(ACK));
}

static void test_nothing_is_heard_of_a_node_before_its_name(void **state)
{
    static const char tags[] = "\0\1aAcrsxz?\x16\x7f\xff";

    (void)state;
    for (size_t i = 0; i < sizeof tags - 1; i++) {
        struct dg_dist_handshake handshake = {.we_accept = true};

        if (verdict_on(&handshake, &tags[i], 1) != DG_DIST_BROKEN) {
            fail_msg("tag %#x is taken for a name", (unsigned char)tags[i]);
        }
    }
}

static void test_nobody_acknowledges_before_its_challenge(void **state)
{
    struct dg_dist_handshake handshake = {.we_accept = false};

    (void)state;
    assert_int_equal(verdict_on(&handshake, BYTES("sok")), DG_DIST_PASS);
    assert_int_equal(verdict_on(&handshake, BYTES(ACK)), DG_DIST_BROKEN);
    assert_false(handshake.over);
}

static void test_nobody_has_two_names(void **state)
{
    static const struct {
        bool we_accept;
        const char *first;
        size_t first_size;
        const char *second;
        size_t second_size;
    } pairs[] = {
        {true, BYTES(NAME_NEW), BYTES(NAME_NEW)},
        {true, BYTES(NAME_NEW), BYTES(NAME_OLD)},
        {true, BYTES(NAME_OLD), BYTES(NAME_NEW)},
        {true, BYTES(NAME_DYNAMIC), BYTES(NAME_NEW)},
        {true, BYTES(NAME_NEW), BYTES("N")},
        {false, BYTES(CHALLENGE_NEW), BYTES(CHALLENGE_NEW)},
        {false, BYTES(CHALLENGE_OLD), BYTES(CHALLENGE_NEW)},
        {false, BYTES(CHALLENGE_NEW), BYTES("n")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct dg_dist_handshake handshake = {.we_accept = pairs[i].we_accept};

        assert_int_equal(verdict_on(&handshake, pairs[i].first, pairs[i].first_size),
                         DG_DIST_CLAIM);
        if (verdict_on(&handshake, pairs[i].second, pairs[i].second_size) != DG_DIST_BROKEN) {
            fail_msg("pair %zu: the second name passes", i);
        }
    }
}

static void test_a_tick_has_no_place_before_the_ack(void **state)
{
    (void)state;
    for (int we_accept = 0; we_accept < 2; we_accept++) {
        for (int named = 0; named < 2; named++) {
            struct dg_dist_handshake handshake = {.we_accept = we_accept, .peer_is_named = named};

            assert_int_equal(verdict_on(&handshake, "", 0), DG_DIST_BROKEN);
        }
    }
}

static void test_a_name_must_be_there_and_whole(void **state)
{
    static const struct message broken[] = {
        THEIRS("N" FLAGS CREATION "\0\0"),
        THEIRS("N" FLAGS CREATION "\0\0a@b"),
        THEIRS("N" FLAGS CREATION "\0\4a@b"),
        THEIRS("N" FLAGS CREATION "\1\0a@b"),
        THEIRS("N" FLAGS CREATION "\xff\xff"
               "a@b"),
        THEIRS("n\0\5" OLD_FLAGS),
    };
    static const struct message broken_challenge[] = {
        THEIRS("N" FLAGS CHALLENGE CREATION "\0\0b@c"),
        THEIRS("N" FLAGS CHALLENGE CREATION "\0\4b@c"),
        THEIRS("N" FLAGS CHALLENGE CREATION "\xff\xff"
               "b@c"),
        THEIRS("n\0\5" OLD_FLAGS CHALLENGE),
        THEIRS(NAME_NEW), /* four bytes short of a challenge */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct dg_dist_handshake handshake = {.we_accept = true};

        if (verdict_on(&handshake, broken[i].bytes, broken[i].size) != DG_DIST_BROKEN) {
            fail_msg("name message %zu passes", i);
        }
    }
    for (size_t i = 0; i < COUNT(broken_challenge); i++) {
        struct dg_dist_handshake handshake = {.we_accept = false};

        if (verdict_on(&handshake, broken_challenge[i].bytes, broken_challenge[i].size) !=
            DG_DIST_BROKEN) {
            fail_msg("challenge %zu passes", i);
        }
    }
}

/* `head`: what stands before the name. `counted`: its length is told, so that a part is no name. */
static void assert_cut(bool we_accept, const char *bytes, size_t size, size_t head, bool counted)
{
    for (size_t part = 0; part <= size; part++) {
        struct dg_dist_handshake handshake = {.we_accept = we_accept};
        bool named = counted ? part == size : part > head;
        enum dg_dist_verdict verdict = verdict_on(&handshake, bytes, part);

        if (verdict != (named ? DG_DIST_CLAIM : DG_DIST_BROKEN)) {
            fail_msg("%zu of %zu bytes of a message '%c': verdict %d", part, size, bytes[0],
                     verdict);
        }
    }
}

static void test_a_message_cut_anywhere_is_read_to_its_end_and_no_further(void **state)
{
    (void)state;
    assert_cut(true, BYTES(NAME_NEW), 15, true);
    assert_cut(true, BYTES(NAME_DYNAMIC), 15, true);
    assert_cut(true, BYTES(NAME_OLD), 7, false);
    assert_cut(false, BYTES(CHALLENGE_NEW), 19, true);
    assert_cut(false, BYTES(CHALLENGE_OLD), 11, false);
}

static void test_the_longest_name_is_read(void **state)
{
    enum { LONGEST = DG_DIST_MESSAGE_MAX - 15 };
    static char message[DG_DIST_MESSAGE_MAX] = "N" FLAGS CREATION;
    struct dg_dist_handshake handshake = {.we_accept = true};
    char name[DG_DIST_MESSAGE_MAX + 1];
    bool dynamic;

    (void)state;
    memset(message + 15, 'x', LONGEST);
    message[13] = (char)(LONGEST >> 8);
    message[14] = (char)(LONGEST & 0xff);
    assert_int_equal(from_peer(&handshake, message, sizeof message, name, &dynamic), DG_DIST_CLAIM);
    assert_int_equal(strlen(name), LONGEST);
}

/* Else a peer that sends ahead of our ack could take the connection back into the handshake. */
static void test_what_is_over_stays_so(void **state)
{
    struct dg_dist_handshake handshake = {.we_accept = true};

    (void)state;
    assert_int_equal(verdict_on(&handshake, BYTES(NAME_NEW)), DG_DIST_CLAIM);
    dg_dist_from_us(&handshake, 'a');
    assert_true(handshake.over);
    (void)verdict_on(&handshake, BYTES(REPLY));
    assert_true(handshake.over);
    dg_dist_from_us(&handshake, 's');
    assert_true(handshake.over);
}

static void test_only_who_accepts_ends_the_handshake_by_its_ack(void **state)
{
    struct dg_dist_handshake accepting = {.we_accept = true};
    struct dg_dist_handshake connecting = {.we_accept = false};

    (void)state;
    assert_int_equal(verdict_on(&accepting, BYTES(NAME_NEW)), DG_DIST_CLAIM);
    assert_int_equal(verdict_on(&accepting, BYTES(ACK)), DG_DIST_PASS);
    assert_false(accepting.over);
    dg_dist_from_us(&connecting, 'a');
    assert_false(connecting.over);
}

/* Else nobody would ask the peer for its name any more. */
static void test_an_ack_to_nobody_ends_nothing(void **state)
{
    struct dg_dist_handshake handshake = {.we_accept = true};

    (void)state;
    dg_dist_from_us(&handshake, 'a');
    assert_false(handshake.over);
    assert_int_equal(verdict_on(&handshake, BYTES(REPLY)), DG_DIST_BROKEN);
}

/* Whatever comes: no byte beyond the message is read, and a claim lies within (from_peer). */
static void test_random_bytes(void **state)
{
    static const char tags[] = "NNnnsrac\0";
    struct random random = {.state = 1};

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct dg_dist_handshake handshake = {.we_accept = random_below(&random, 2) == 0,
                                              .peer_is_named = random_below(&random, 4) == 0};
        uint8_t message[64];
        size_t size = random_below(&random, sizeof message + 1);

        for (size_t at = 0; at < size; at++) {
            /* Small numbers, too, so that some lengths fit. */
            message[at] =
                (uint8_t)(random_next(&random) & (random_below(&random, 2) == 0 ? 0xff : 0x1f));
        }
        message[0] = (uint8_t)tags[random_below(&random, sizeof tags)];
        message[13] = message[17] = 0;
        (void)verdict_on(&handshake, message, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whoever_connects_is_known_by_its_name_message),
        cmocka_unit_test(test_whom_we_connect_to_is_known_by_its_challenge),
        cmocka_unit_test(test_who_has_its_name_chosen_claims_its_host),
        cmocka_unit_test(test_nothing_is_heard_of_a_node_before_its_name),
        cmocka_unit_test(test_nobody_acknowledges_before_its_challenge),
        cmocka_unit_test(test_nobody_has_two_names),
        cmocka_unit_test(test_a_tick_has_no_place_before_the_ack),
        cmocka_unit_test(test_a_name_must_be_there_and_whole),
        cmocka_unit_test(test_a_message_cut_anywhere_is_read_to_its_end_and_no_further),
        cmocka_unit_test(test_the_longest_name_is_read),
        cmocka_unit_test(test_what_is_over_stays_so),
        cmocka_unit_test(test_only_who_accepts_ends_the_handshake_by_its_ack),
        cmocka_unit_test(test_an_ack_to_nobody_ends_nothing),
        cmocka_unit_test(test_random_bytes),
    };

    return cmocka_run_group_tests_name("wire/dist_handshake", tests, NULL, NULL);
}
