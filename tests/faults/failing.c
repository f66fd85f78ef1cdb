/*
 * A library to preload behind libdistguard.so: what distguard asks of the kernel and of malloc goes
 * through here, and fails as often, or as late, as a file says that is shared with the test
 * (FAILING names it; Distguard::Lab::Failing lays it out and writes it). Programs run as they are
 * while the file says nothing.
 *
 * Socket calls fail for whoever makes them, on TCP and netlink sockets alone. Files, memory and
 * options fail where distguard or the libraries it brings ask: the VM ends itself without memory,
 * which is nothing to learn from.
 *
 * The calls are made by syscall(2), so that nothing has to be looked up and nobody comes between;
 * those of one function to another stay within (-Bsymbolic).
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum class {
    ACCEPT,
    CONNECT,
    RECEIVE,
    SEND,
    OPTION, /* setsockopt, getsockopt */
    NAME,   /* getsockname, getpeername */
    SOCKET, /* socket, bind, listen */
    OPEN,   /* open, openat, memfd_create */
    MAP,    /* mmap */
    POLL,
    MEMORY, /* malloc, calloc, realloc */
    PARSER, /* the same, of libconfig */
    CLASSES,
};

enum { ERRORS = 4, SHORT = -1 /* in place of an errno: a part of what was asked for */ };

/* What the test writes. */
struct rule {
    uint32_t luck;          /* of 65536 calls so many fail */
    uint32_t nth;           /* or this one alone, from 1 */
    uint32_t lasting;       /* and all behind it */
    int32_t errors[ERRORS]; /* 0: none any more */
};

/* And what it reads. */
struct count {
    _Atomic uint32_t seen;
    _Atomic uint32_t failed;
};

struct control {
    _Atomic uint32_t on;
    uint32_t seed;
    struct rule rules[CLASSES];
    struct count counts[CLASSES];
};

static struct control nothing;
static struct control *_Atomic control;

static void *map(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    long result = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    void *memory;

    memcpy(&memory, &result, sizeof memory);
    return memory;
}

/* What may run before this library's constructor: so on demand. */
static struct control *find_control(void)
{
    struct control *found = atomic_load(&control);
    const char *path;
    void *memory;
    int fd;

    if (found != NULL) {
        return found;
    }
    path = getenv("FAILING");
    fd = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    found = &nothing;
    if (fd >= 0) {
        memory = map(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        found = memory == MAP_FAILED ? &nothing : memory;
        (void)syscall(SYS_close, fd);
    }
    atomic_store(&control, found);
    return found;
}

static uint32_t mix(uint32_t number)
{
    number = (number ^ (number >> 16)) * UINT32_C(0x7feb352d);
    number = (number ^ (number >> 15)) * UINT32_C(0x846ca68b);
    return number ^ (number >> 16);
}

/* Whether this call of its class is to fail: then 0 is not what is returned. */
static int failure(enum class class)
{
    struct control *now = find_control();
    const struct rule *rule = &now->rules[class];
    uint32_t number, luck, count = 0;

    if (atomic_load_explicit(&now->on, memory_order_relaxed) == 0 ||
        (rule->luck == 0 && rule->nth == 0)) {
        return 0;
    }
    number = atomic_fetch_add(&now->counts[class].seen, 1) + 1;
    luck = mix(now->seed ^ mix(number * CLASSES + class));
    if (rule->nth != 0 ? number != rule->nth && (rule->lasting == 0 || number < rule->nth)
                       : luck % 65536 >= rule->luck) {
        return 0;
    }
    while (count < ERRORS && rule->errors[count] != 0) {
        count++;
    }
    atomic_fetch_add(&now->counts[class].failed, 1);
    return count == 0 ? ENOMEM : rule->errors[(luck >> 16) % count];
}

/* For calls of which there is no part. */
static bool fails(enum class class)
{
    int error = failure(class);

    errno = error > 0 ? error : errno;
    return error > 0;
}

/* --- whose call it is --- */

static bool is_on(void)
{
    return atomic_load_explicit(&find_control()->on, memory_order_relaxed) != 0;
}

struct range {
    const char *name;
    uintptr_t first, last;
};

static struct range ranges[] = {{.name = "libdistguard-core.so"},
                                {.name = "libcrypto.so"},
                                {.name = "libssl.so"},
                                {.name = "libconfig.so"}};

enum { RANGES = sizeof ranges / sizeof ranges[0] };

static int find_ranges(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < RANGES; i++) {
        if (ranges[i].last != 0 || strstr(info->dlpi_name, ranges[i].name) == NULL) {
            continue;
        }
        for (int part = 0; part < info->dlpi_phnum; part++) {
            const ElfW(Phdr) *header = &info->dlpi_phdr[part];

            if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0) {
                ranges[i].first = info->dlpi_addr + header->p_vaddr;
                ranges[i].last = ranges[i].first + header->p_memsz;
            }
        }
    }
    return 0;
}

static bool is_in_ranges(uintptr_t address)
{
    for (int i = 0; i < RANGES; i++) {
        if (address >= ranges[i].first && address < ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool all_are_known(void)
{
    for (int i = 0; i < RANGES; i++) {
        if (ranges[i].last == 0) {
            return false;
        }
    }
    return true;
}

/* The libraries may come later than the first call; where all are known nobody is asked again. */
static bool is_ours(const void *caller)
{
    if (!is_on()) {
        return false;
    }
    if (!is_in_ranges((uintptr_t)caller) && !all_are_known()) {
        (void)dl_iterate_phdr(find_ranges, NULL);
    }
    return is_in_ranges((uintptr_t)caller);
}

/* Whether an allocation fails. libconfig looks at none of its own, and what comes of it is not ours
 * to mend: they are a class apart. */
static bool no_memory(const void *caller)
{
    const struct range *parser = &ranges[RANGES - 1];

    return is_ours(caller) &&
           fails((uintptr_t)caller >= parser->first && (uintptr_t)caller < parser->last ? PARSER
                                                                                        : MEMORY);
}

#define OURS is_ours(__builtin_return_address(0))

static bool is_internet(int domain)
{
    return domain == AF_INET || domain == AF_INET6 || domain == AF_NETLINK;
}

static bool is_network(int fd)
{
    int saved = errno;
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;

    if (!is_on()) {
        return false;
    }
    (void)syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    errno = saved;
    return is_internet(domain);
}

/* --- connections --- */

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return is_network(fd) && fails(ACCEPT) ? -1
                                           : (int)syscall(SYS_accept4, fd, address, size, flags);
}

int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    return accept4(fd, address, size, 0);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return is_network(fd) && fails(CONNECT) ? -1 : (int)syscall(SYS_connect, fd, address, size);
}

int socket(int domain, int type, int protocol)
{
    return is_internet(domain) && fails(SOCKET) ? -1
                                                : (int)syscall(SYS_socket, domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return is_network(fd) && fails(SOCKET) ? -1 : (int)syscall(SYS_bind, fd, address, size);
}

int listen(int fd, int backlog)
{
    return is_network(fd) && fails(SOCKET) ? -1 : (int)syscall(SYS_listen, fd, backlog);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    return is_network(fd) && fails(OPTION)
               ? -1
               : (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    return is_network(fd) && fails(OPTION)
               ? -1
               : (int)syscall(SYS_getsockopt, fd, level, name, value, size);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    return is_network(fd) && fails(NAME) ? -1 : (int)syscall(SYS_getsockname, fd, address, size);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
    return is_network(fd) && fails(NAME) ? -1 : (int)syscall(SYS_getpeername, fd, address, size);
}

/* --- bytes --- */

/* How many of so many bytes a call may take, or -1 with errno. */
static ssize_t allowed(enum class class, int fd, size_t size)
{
    int error = is_network(fd) ? failure(class) : 0;

    if (error > 0) {
        errno = error;
        return -1;
    }
    return error == SHORT && size > 1 ? (ssize_t)(1 + size / 3) : (ssize_t)size;
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags,
                 struct sockaddr *restrict address, socklen_t *restrict address_size)
{
    ssize_t most = allowed(RECEIVE, fd, size);

    return most < 0 ? -1 : syscall(SYS_recvfrom, fd, bytes, most, flags, address, address_size);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    return recvfrom(fd, bytes, size, flags, NULL, NULL);
}

ssize_t read(int fd, void *bytes, size_t size)
{
    ssize_t most = allowed(RECEIVE, fd, size);

    return most < 0 ? -1 : syscall(SYS_read, fd, bytes, most);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return allowed(RECEIVE, fd, 1) < 0 ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address,
               socklen_t address_size)
{
    ssize_t most = allowed(SEND, fd, size);

    return most < 0 ? -1 : syscall(SYS_sendto, fd, bytes, most, flags, address, address_size);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return sendto(fd, bytes, size, flags, NULL, 0);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    ssize_t most = allowed(SEND, fd, size);

    return most < 0 ? -1 : syscall(SYS_write, fd, bytes, most);
}

/* A part of a vector is its first piece that is not empty. */
ssize_t writev(int fd, const struct iovec *vector, int count)
{
    ssize_t most = allowed(SEND, fd, 3);
    int first = 0;

    if (most < 0) {
        return -1;
    }
    while (first < count && vector[first].iov_len == 0) {
        first++;
    }
    return most < 3 && first < count
               ? syscall(SYS_write, fd, vector[first].iov_base, vector[first].iov_len)
               : syscall(SYS_writev, fd, vector, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return allowed(SEND, fd, 1) < 0 ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}

int poll(struct pollfd *polled, nfds_t count, int timeout)
{
    return OURS && fails(POLL) ? -1 : (int)syscall(SYS_poll, polled, count, timeout);
}

/* --- files and memory --- */

static int open_file(const char *path, int flags, va_list arguments)
{
    int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, int) : 0;

    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPENS(name)                                                                                \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list arguments;                                                                         \
        int fd = -1;                                                                               \
                                                                                                   \
        va_start(arguments, flags);                                                                \
        if (!OURS || !fails(OPEN)) {                                                               \
            fd = open_file(path, flags, arguments);                                                \
        }                                                                                          \
        va_end(arguments);                                                                         \
        return fd;                                                                                 \
    }
OPENS(open)
OPENS(open64)

int memfd_create(const char *name, unsigned flags)
{
    return OURS && fails(OPEN) ? -1 : (int)syscall(SYS_memfd_create, name, flags);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return OURS && fails(MAP) ? MAP_FAILED : map(address, size, protection, flags, fd, offset);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return no_memory(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}
