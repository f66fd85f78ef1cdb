/* A peer that is not ours: plain OpenSSL at one end of the simulated kernel, free to misbehave. */
#ifndef DISTGUARD_TESTS_PEER_H
#define DISTGUARD_TESTS_PEER_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct peer {
    SSL_CTX *context;
    SSL *ssl;
    int fd; /* the end it holds */
    unsigned tickets;
    unsigned key_updates; /* received, as are the tickets */
    char text[262144];    /* received so far */
    size_t size;
    bool slow; /* gives nothing of itself: peer_give() does */
    int alert; /* the last one received, or -1 */
};

/* A client at KERNEL_CLIENT or a server at KERNEL_SERVER. `name` is the certificate's in the folder
 * `authority`; NULL: it shows none. Trusts everybody. */
struct peer *peer_new(int fd, const char *authority, const char *name);
/* The same with a certificate chain and key of any files. */
struct peer *peer_of_files(int fd, const char *certificate, const char *key);
void peer_free(struct peer *peer);

/* Takes what waits for it and answers. */
void peer_step(struct peer *peer);
void peer_send(struct peer *peer, const void *bytes, size_t size);
/* Hands at most this much of its ciphertext to the kernel; returns how much. */
size_t peer_give(struct peer *peer, size_t most);

#endif
