/* What a level-triggered poller is told: never nothing where bytes wait, never again and again
 * where none do. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/probes/peer.h"

enum { MESSAGES = 100, MESSAGE = 40, ALL = MESSAGES * MESSAGE };

static void fill(uint8_t bytes[ALL])
{
    for (size_t i = 0; i < MESSAGES; i++) {
        bytes[i * MESSAGE] = 0;
        bytes[i * MESSAGE + 1] = MESSAGE - 2;
        (void)snprintf((char *)bytes + i * MESSAGE + 2, MESSAGE - 2, "%05zu " MARKER, i);
    }
}

/* A hundred messages in one record, then silence. */
void framed_server(int listener)
{
    uint8_t bytes[ALL] = {0};
    int fd = let_in(listener);

    fill(bytes);
    send_all(fd, bytes, ALL);
    receive_all(fd, bytes, 1);
    (void)close(fd);
}

/* Seven bytes first, then as much as the frames demand; each time only if told that there is more.
 */
void framed_client(int port)
{
    uint8_t wanted[ALL] = {0};
    uint8_t bytes[ALL];
    size_t step = strcmp(variant, "bytes") == 0 ? 1 : 7;
    size_t got = 0;
    int fd = join(port);

    fill(wanted);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    while (got < ALL) {
        ssize_t size;

        if (!wait_for_bytes(fd)) {
            want("bytes that came before silence", (ssize_t)got, ALL);
        }
        size = read(fd, bytes + got, step < ALL - got ? step : ALL - got);
        if (size < 0 && errno == EAGAIN) {
            continue;
        }
        want("read", size > 0, 1);
        got += (size_t)size;
        if (step != 1) {
            step = MESSAGE - got % MESSAGE;
        }
    }
    want_bytes("messages", bytes, wanted, ALL);
    send_all(fd, "d", 1);
    (void)fcntl(fd, F_SETFL, 0);
    want_end(fd);
}

/* --- a peer that stops --- */

/* Reads whenever told so, until nothing has been told for a while: how often was that in vain? */
static int reads_in_vain(int fd)
{
    enum { SILENCE = 400, ENOUGH = 1000 };
    struct pollfd event = {.fd = fd, .events = POLLIN};
    char bytes[70000];
    int vain = 0;

    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    while (vain < ENOUGH && poll(&event, 1, SILENCE) == 1) {
        ssize_t size = read(fd, bytes, sizeof bytes);

        if (size < 0 && errno == EAGAIN) {
            vain++;
        } else if (size <= 0) {
            break;
        }
    }
    return vain;
}

/* Each arrival may wake it once; what a relay passes on in a few pieces is a few arrivals. */
static void want_no_busy_loop(int fd)
{
    int vain = reads_in_vain(fd);

    printf("reads in vain: %d\n", vain);
    want("reads in vain are few", vain < 20, 1);
}

void stalled_server(int listener)
{
    int fd = accept(listener, NULL, NULL);

    want_no_busy_loop(fd);
    (void)close(fd);
}

/* Writes enough for the relay to stop in the midst of it. */
void stalled_client(int port)
{
    static uint8_t bytes[16000] = {15998 >> 8,
                                   15998 & 255}; /* a message, as far as anybody knows */
    int fd = begin(port);

    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)!write(fd, bytes, sizeof bytes);
    want_no_busy_loop(fd);
    (void)close(fd);
}

/* --- before the handshake is through --- */

static double processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

enum { EARLY_MESSAGES = 6, EARLY_MESSAGE = 50000 };

/* A blocking program sends more than can be kept while the peer does not answer: it sleeps. */
void early_client(int port)
{
    static uint8_t bytes[EARLY_MESSAGES * EARLY_MESSAGE];
    double before;
    int fd = begin(port);

    for (size_t i = 0; i < EARLY_MESSAGES; i++) {
        bytes[i * EARLY_MESSAGE] = (EARLY_MESSAGE - 2) >> 8;
        bytes[i * EARLY_MESSAGE + 1] = (EARLY_MESSAGE - 2) & 255;
    }
    before = processor_seconds();
    send_all(fd, bytes, sizeof bytes);
    printf("processor seconds: %.3f\n", processor_seconds() - before);
    want("it slept", processor_seconds() - before < 0.2, 1);
    want_end(fd);
}

void early_server(int listener)
{
    static uint8_t bytes[EARLY_MESSAGES * EARLY_MESSAGE];
    uint8_t name[NAME_MESSAGE];
    int fd = accept(listener, NULL, NULL);

    (void)usleep(500000); /* the peer waits for the first answer of the handshake */
    receive_all(fd, name, NAME_MESSAGE);
    receive_all(fd, bytes, sizeof bytes);
    (void)close(fd);
}
