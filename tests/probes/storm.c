/* storm PORT SECONDS, storm PORT forks COUNT, storm PORT leave HOW: see storm.h. */
#include "tests/probes/storm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_MESSAGE = 64, WELCOME = 43, ID = 8, BLOCK = 8192, CLIENTS = 8, SERVERS = 12 };

static const uint8_t name_message[NAME_MESSAGE + 1] =
    "\0\x3eN\0\0\0\x0d\x07\xdf\x7f\xbd\0\0\0\1\0\x2fmarker-that-nobody-may-read@host.example.org!!"
    "!";
static const uint8_t welcome[WELCOME + 1] =
    "\0\x16N\0\0\0\x0d\x07\xdf\x7f\xbd\1\2\3\4\0\0\0\1\0\3a@b"
    "\0\x11"
    "a0123456789abcdef";

static uint16_t guarded_port, plain_port, mute_port;
static int listeners[3];
static pthread_t threads[2 * SERVERS + 2 * CLIENTS];
static int thread_count;
static _Atomic uint64_t last_id;

atomic_bool storm_is_over, storm_leaves;
atomic_uint storm_guarded, storm_plain, storm_others, storm_taken;

void storm_want(const char *what, ssize_t saw, ssize_t wanted)
{
    const char *error = strerrorname_np(errno);

    while (saw != wanted && atomic_load(&storm_leaves)) {
        (void)pause();
    }
    if (saw != wanted) {
        fprintf(stderr, "%s: saw %zd (%s), wanted %zd\n", what, saw,
                error != NULL ? error : "no error", wanted);
        _exit(1);
    }
}

uint64_t storm_new_id(void)
{
    return atomic_fetch_add(&last_id, 1) + 1;
}

static uint8_t byte_of(uint64_t id, size_t place)
{
    return (uint8_t)(((id * 0x9E3779B97F4A7C15U) >> 32) + place * 31 + (place >> 8));
}

static void fill(uint8_t *bytes, size_t size, uint64_t id, size_t place)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = byte_of(id, place + i);
    }
}

static void check(const char *what, const uint8_t *bytes, size_t size, uint64_t id, size_t place)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_of(id, place + i)) {
            fprintf(stderr, "%s of %llu: ", what, (unsigned long long)id);
            storm_want("place of the first byte that is not its own", (ssize_t)(place + i), -1);
        }
    }
}

/* --- connections --- */

static bool send_all(int fd, const void *bytes, size_t size)
{
    return write(fd, bytes, size) == (ssize_t)size;
}

static bool receive_all(int fd, void *bytes, size_t size)
{
    size_t got = 0;

    while (got < size) {
        ssize_t count = read(fd, (char *)bytes + got, size - got);

        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
    }
    return true;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger none = {.l_onoff = 1}; /* no TIME_WAIT: there are only so many ports */
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    storm_want("socket", fd >= 0, 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int storm_join(void)
{
    uint8_t bytes[WELCOME];
    int fd = connect_to(guarded_port);

    if (fd >= 0 &&
        (!send_all(fd, name_message, NAME_MESSAGE) || !receive_all(fd, bytes, WELCOME))) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool storm_try(int fd, uint64_t id, size_t place, size_t size)
{
    uint8_t bytes[BLOCK];

    fill(bytes, size, id, place);
    if ((place == 0 && !send_all(fd, &id, ID)) || !send_all(fd, bytes, size) ||
        !receive_all(fd, bytes, size)) {
        return false;
    }
    check("what a client hears", bytes, size, id, place);
    return true;
}

void storm_ask(int fd, uint64_t id, size_t place, size_t size)
{
    storm_want("a connection lives", storm_try(fd, id, place, size), true);
}

/* One connection until its end: says again what it hears. */
static void serve(int fd)
{
    uint8_t bytes[BLOCK];
    uint64_t id = 0;
    size_t place = 0;
    ssize_t size;

    if (receive_all(fd, &id, ID)) {
        while ((size = read(fd, bytes, sizeof bytes)) > 0) {
            check("what a server hears", bytes, (size_t)size, id, place);
            place += (size_t)size;
            if (!send_all(fd, bytes, (size_t)size)) {
                break;
            }
        }
    }
    (void)close(fd);
}

static bool welcomes(int fd)
{
    uint8_t bytes[NAME_MESSAGE];

    return receive_all(fd, bytes, NAME_MESSAGE) && memcmp(bytes, name_message, NAME_MESSAGE) == 0 &&
           send_all(fd, welcome, WELCOME);
}

static void *serve_guarded(void *unused)
{
    int fd;

    while ((fd = accept(listeners[0], NULL, NULL)) >= 0) {
        if (welcomes(fd)) {
            serve(fd);
        } else {
            (void)close(fd);
        }
    }
    return unused;
}

static void *serve_plain(void *unused)
{
    int fd;

    while ((fd = accept4(listeners[1], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        serve(fd);
    }
    return unused;
}

/* --- what clients do --- */

static size_t some(unsigned *seed)
{
    return (size_t)rand_r(seed) % (rand_r(seed) % 4 == 0 ? BLOCK : 200) + 1;
}

/* Sometimes it is used by a copy, of which the original is closed. */
static int move(int fd, unsigned *seed)
{
    int copy;

    if (rand_r(seed) % 4 != 0) {
        return fd;
    }
    copy = rand_r(seed) % 2 == 0 ? dup(fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    storm_want("a copy", copy >= 0, 1);
    storm_want("close of the original", close(fd), 0);
    return copy;
}

static void use_connection(int fd, unsigned *seed, atomic_uint *count)
{
    uint64_t id = storm_new_id();
    size_t place = 0;

    if (fd < 0) {
        storm_want("a connection comes to be", atomic_load(&storm_is_over), true);
        return;
    }
    fd = move(fd, seed);
    for (int turns = rand_r(seed) % 8 + 1; turns > 0; turns--) {
        size_t size = some(seed);

        storm_ask(fd, id, place, size);
        place += size;
    }
    storm_want("close", close(fd), 0);
    (void)atomic_fetch_add(count, 1);
}

static void use_pair(int from, int to, unsigned *seed)
{
    uint8_t bytes[BLOCK];
    uint64_t id = storm_new_id();
    size_t size = some(seed) % 4096 + 1;

    fill(bytes, size, id, 0);
    to = move(to, seed);
    storm_want("write to a pipe", write(to, bytes, size), (ssize_t)size);
    memset(bytes, 0, size);
    storm_want("read from a pipe", receive_all(from, bytes, size), true);
    check("what a pipe had", bytes, size, id, 0);
    storm_want("close", close(from), 0);
    storm_want("close", close(to), 0);
    (void)atomic_fetch_add(&storm_others, 1);
}

static void use_file(unsigned *seed)
{
    uint8_t bytes[BLOCK];
    uint64_t id = storm_new_id();
    size_t size = some(seed);
    int fd = memfd_create("storm", MFD_CLOEXEC);

    storm_want("memfd_create", fd >= 0, 1);
    fill(bytes, size, id, 0);
    storm_want("write to a file", write(fd, bytes, size), (ssize_t)size);
    fd = move(fd, seed);
    memset(bytes, 0, size);
    storm_want("pread", pread(fd, bytes, size, 0), (ssize_t)size);
    check("what a file had", bytes, size, id, 0);
    storm_want("close", close(fd), 0);
    (void)atomic_fetch_add(&storm_others, 1);
}

static void *run_client(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    int pair[2];

    while (!atomic_load(&storm_is_over)) {
        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            use_connection(storm_join(), &seed, &storm_guarded);
            break;
        case 3:
        case 4:
            use_connection(connect_to(plain_port), &seed, &storm_plain);
            break;
        case 5:
            storm_want("pipe", pipe(pair), 0);
            use_pair(pair[0], pair[1], &seed);
            break;
        case 6:
            storm_want("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
            use_pair(pair[0], pair[1], &seed);
            break;
        default:
            use_file(&seed);
            break;
        }
    }
    return NULL;
}

/* --- a number is closed by one thread while another is in a call on it --- */

enum way { IN_POLL, IN_RECV, IN_PEEK, IN_HANDSHAKE };

struct victim {
    int fd;
    enum way way;
    atomic_int task;
    ssize_t result; /* what it received */
};

/* Nobody says anything to it. */
static void *wait_for_nothing(void *argument)
{
    struct victim *victim = argument;
    struct pollfd readable = {.fd = victim->fd, .events = POLLIN};
    char byte;

    atomic_store(&victim->task, (int)syscall(SYS_gettid));
    switch (victim->way) {
    case IN_POLL:
        (void)poll(&readable, 1, -1);
        break;
    case IN_RECV:
    case IN_PEEK:
        victim->result = recv(victim->fd, &byte, 1, victim->way == IN_PEEK ? MSG_PEEK : 0);
        break;
    case IN_HANDSHAKE:
    default:
        (void)!write(victim->fd, name_message, NAME_MESSAGE);
        break;
    }
    return NULL;
}

/* Whether a thread is inside a call of the kernel's that waits for a descriptor; or has come back
 * already. */
static bool waits(int task)
{
    char path[64];
    char line[128] = "";
    int fd;
    long call;

    (void)snprintf(path, sizeof path, "/proc/self/task/%d/syscall", task);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, line, sizeof line - 1) <= 0) {
        line[0] = '\0';
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    call = strtol(line, NULL, 10);
#ifdef SYS_poll
    if (line[0] != '\0' && call == SYS_poll) {
        return true;
    }
#endif
    return line[0] == '\0' || call == SYS_recvfrom || call == SYS_ppoll;
}

/* Joined; or of those that are none of ours; or about to begin a handshake that nobody answers. */
static struct victim open_victim(unsigned *seed)
{
    enum way way = (enum way)(rand_r(seed) % 4);
    bool guarded = rand_r(seed) % 2 == 0;

    return (struct victim){.fd = way == IN_HANDSHAKE ? connect_to(mute_port)
                                 : guarded           ? storm_join()
                                                     : connect_to(plain_port),
                           .way = way};
}

static void *run_taker(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;

    while (!atomic_load(&storm_is_over)) {
        struct victim victim = open_victim(&seed);
        pthread_t thread;

        if (victim.fd < 0) {
            continue;
        }
        storm_want("pthread_create", pthread_create(&thread, NULL, wait_for_nothing, &victim), 0);
        while (atomic_load(&victim.task) == 0 || !waits(atomic_load(&victim.task))) {
            (void)usleep(100);
        }
        (void)shutdown(victim.fd, SHUT_RDWR);
        /* The kernel's poll looks for the number again when it wakes. */
        if (victim.way == IN_POLL) {
            (void)pthread_join(thread, NULL);
        }
        storm_want("close", close(victim.fd), 0);
        if (victim.way != IN_POLL) {
            (void)pthread_join(thread, NULL);
        }
        storm_want("what a call on a closed number received", victim.result > 0, 0);
        (void)atomic_fetch_add(&storm_taken, 1);
    }
    return NULL;
}

/* --- the whole --- */

static int listen_at(uint16_t port, uint16_t *found)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    storm_want("bind", bind(fd, (struct sockaddr *)&address, size), 0);
    storm_want("listen", listen(fd, 512), 0);
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    *found = ntohs(address.sin_port);
    return fd;
}

static void start(void *(*run)(void *), int count)
{
    for (int i = 0; i < count; i++) {
        uintptr_t seed = (uintptr_t)thread_count * 7919 + (uintptr_t)getpid();

        /* NOLINTNEXTLINE(performance-no-int-to-ptr): it is a number all the way */
        void *argument = (void *)seed;

        storm_want("pthread_create", pthread_create(&threads[thread_count++], NULL, run, argument),
                   0);
    }
}

void storm_begin(uint16_t port)
{
    listeners[0] = listen_at(port, &guarded_port);
    listeners[1] = listen_at(0, &plain_port);
    listeners[2] = listen_at(0, &mute_port);
    start(serve_guarded, SERVERS);
    start(serve_plain, SERVERS);
    start(run_client, CLIENTS);
    start(run_taker, 2);
}

void storm_end(void)
{
    atomic_store(&storm_is_over, true);
    for (int i = 2 * SERVERS; i < thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        (void)shutdown(listeners[i], SHUT_RDWR);
    }
    for (int i = 0; i < 2 * SERVERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        storm_want("close of a listener", close(listeners[i]), 0);
    }
}

void storm_wait(unsigned connections)
{
    while (atomic_load(&storm_guarded) < connections) {
        (void)usleep(1000);
    }
}

static int count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 4096; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

int main(int count, char **arguments)
{
    int before = count_open();
    char byte;

    (void)signal(SIGPIPE, SIG_IGN);
    if (count < 3) {
        return 2;
    }
    if (strcmp(arguments[2], "leave") == 0) {
        storm_prepare_to_leave(arguments[3]);
        storm_begin((uint16_t)strtol(arguments[1], NULL, 10));
        storm_wait(3);
        (void)usleep((useconds_t)(getpid() * 7919 % 20000));
        atomic_store(&storm_leaves, true);
        storm_leave(arguments[3]);
    }
    storm_begin((uint16_t)strtol(arguments[1], NULL, 10));
    if (strcmp(arguments[2], "forks") == 0) {
        storm_fork((unsigned)strtol(arguments[3], NULL, 10));
    } else {
        (void)sleep((unsigned)strtol(arguments[2], NULL, 10));
    }
    storm_end();
    printf("guarded %u plain %u others %u taken %u open %d\n", storm_guarded, storm_plain,
           storm_others, storm_taken, count_open() - before);
    (void)fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1; /* somebody looks at the status meanwhile */
}
