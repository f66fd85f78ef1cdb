/*
 * What the machine can do at best: limit plain|sealed MILLISECONDS
 *
 * Two processes and a loopback connection, and nothing else: one sends messages of 1 MiB, as they
 * are or as records of AES-256-GCM, as large as TLS 1.3 has them; the other receives, and opens
 * them. Prints bytes of payload, microseconds until all had arrived, and the microseconds of CPU of
 * both.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER = 5,
    PLAINTEXT = 16384,
    TYPE = 1, /* of the content, encrypted with it */
    TAG = 16,
    RECORD = HEADER + PLAINTEXT + TYPE + TAG,
    RECORDS = 64, /* of one message */
    NONCE = 12,
    KEY = 32,
};

static uint8_t message[RECORDS * PLAINTEXT + TYPE];
static uint8_t wire[RECORDS * RECORD];

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static uint64_t microseconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000U + (uint64_t)time.tv_nsec / 1000U;
}

static uint64_t used_by(int who)
{
    struct rusage usage;

    require(getrusage(who, &usage) == 0, "getrusage");
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000U +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static EVP_CIPHER_CTX *new_cipher(bool sealing)
{
    static const uint8_t key[KEY];
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();

    require(cipher != NULL, "EVP_CIPHER_CTX_new");
    require(EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, NULL, sealing) == 1,
            "EVP_CipherInit_ex");
    return cipher;
}

static void begin_record(EVP_CIPHER_CTX *cipher, uint64_t number, const uint8_t *header)
{
    uint8_t nonce[NONCE] = {0};
    int size;

    memcpy(nonce, &number, sizeof(number));
    require(EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
                EVP_CipherUpdate(cipher, NULL, &size, header, HEADER) == 1,
            "the record's beginning");
}

static void seal(EVP_CIPHER_CTX *cipher, uint64_t number, const uint8_t *plaintext, uint8_t *record)
{
    uint8_t *ciphertext = record + HEADER;
    int size;

    memcpy(record, "\x17\x03\x03\x40\x11", HEADER);
    begin_record(cipher, number, record);
    require(EVP_CipherUpdate(cipher, ciphertext, &size, plaintext, PLAINTEXT + TYPE) == 1 &&
                EVP_CipherFinal_ex(cipher, ciphertext + size, &size) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG,
                                    ciphertext + PLAINTEXT + TYPE) == 1,
            "sealing");
}

static void open_record(EVP_CIPHER_CTX *cipher, uint64_t number, uint8_t *record,
                        uint8_t *plaintext)
{
    uint8_t *ciphertext = record + HEADER;
    int size;

    begin_record(cipher, number, record);
    require(EVP_CipherUpdate(cipher, plaintext, &size, ciphertext, PLAINTEXT + TYPE) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG,
                                    ciphertext + PLAINTEXT + TYPE) == 1 &&
                EVP_CipherFinal_ex(cipher, plaintext + size, &size) == 1,
            "opening");
}

static void send_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, 0);

        require(sent > 0, "send");
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* Sends until the time is over, one at least; how many messages that were. */
static uint64_t send_messages(int fd, bool sealed, uint64_t deadline)
{
    EVP_CIPHER_CTX *cipher = new_cipher(true);
    uint64_t sent = 0;

    do {
        for (size_t i = 0; sealed && i < RECORDS; i++) {
            seal(cipher, sent * RECORDS + i, message + i * PLAINTEXT, wire + i * RECORD);
        }
        send_all(fd, sealed ? wire : message, sealed ? sizeof(wire) : sizeof(message) - TYPE);
        sent++;
    } while (microseconds() < deadline);
    EVP_CIPHER_CTX_free(cipher);
    return sent;
}

/* Receives until the end; how many messages that were. */
static uint64_t receive_messages(int fd, bool sealed)
{
    EVP_CIPHER_CTX *cipher = new_cipher(false);
    size_t size = sealed ? sizeof(wire) : sizeof(message) - TYPE;
    uint64_t received = 0;

    while (recv(fd, sealed ? wire : message, size, MSG_WAITALL) == (ssize_t)size) {
        for (size_t i = 0; sealed && i < RECORDS; i++) {
            open_record(cipher, received * RECORDS + i, wire + i * RECORD, message + i * PLAINTEXT);
        }
        received++;
    }
    EVP_CIPHER_CTX_free(cipher);
    return received;
}

static void connect_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    require(listener >= 0 && ends[0] >= 0, "socket");
    require(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
                getsockname(listener, (struct sockaddr *)&address, &size) == 0,
            "listen");
    require(connect(ends[0], (struct sockaddr *)&address, size) == 0, "connect");
    ends[1] = accept(listener, NULL, NULL);
    require(ends[1] >= 0, "accept");
    close(listener);
}

/* The other process: says at the end how many messages it had. */
static _Noreturn void be_receiver(int ends[2], bool sealed)
{
    uint64_t received;

    close(ends[0]);
    received = receive_messages(ends[1], sealed);
    send_all(ends[1], (const uint8_t *)&received, sizeof(received));
    _exit(EXIT_SUCCESS);
}

int main(int count, char **arguments)
{
    bool sealed = count == 3 && strcmp(arguments[1], "sealed") == 0;
    uint64_t begin;
    uint64_t sent;
    uint64_t received;
    uint64_t end;
    int ends[2];

    if (count != 3 || (!sealed && strcmp(arguments[1], "plain") != 0)) {
        fputs("usage: limit plain|sealed MILLISECONDS\n", stderr);
        return 2;
    }
    connect_pair(ends);
    begin = microseconds();
    if (fork() == 0) {
        be_receiver(ends, sealed);
    }
    close(ends[1]);
    sent = send_messages(ends[0], sealed, begin + strtoull(arguments[2], NULL, 10) * 1000U);
    shutdown(ends[0], SHUT_WR);
    require(recv(ends[0], &received, sizeof(received), MSG_WAITALL) == sizeof(received) &&
                received == sent,
            "the receiver has not got everything");
    end = microseconds();
    wait(NULL);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sent * RECORDS * PLAINTEXT, end - begin,
           used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN));
    return EXIT_SUCCESS;
}
