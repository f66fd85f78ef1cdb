#include "tests/unit/support/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct kernel_end kernel_ends[2];
static struct random luck;

static struct kernel_end *other_end(int fd)
{
    return &kernel_ends[1 - fd];
}

void kernel_free(void)
{
    free(kernel_ends[KERNEL_CLIENT].memory);
    free(kernel_ends[KERNEL_SERVER].memory);
    memset(kernel_ends, 0, sizeof kernel_ends);
}

void kernel_reset(size_t capacity, uint64_t seed)
{
    kernel_free();
    kernel_ends[KERNEL_CLIENT].capacity = capacity;
    kernel_ends[KERNEL_SERVER].capacity = capacity;
    luck.state = seed;
}

bool kernel_readable(int fd)
{
    const struct kernel_end *end = &kernel_ends[fd];

    return end->size > 0 || end->ended || end->receive_error != 0;
}

bool kernel_writable(int fd)
{
    const struct kernel_end *to = other_end(fd);

    return to->size < to->capacity || kernel_ends[fd].send_error != 0;
}

uint8_t *kernel_waiting(int fd)
{
    return kernel_ends[fd].memory + kernel_ends[fd].start;
}

void kernel_inject(int fd, const void *bytes, size_t size)
{
    struct kernel_end *end = &kernel_ends[fd];

    if (size == 0) {
        return;
    }
    if (end->start + end->size + size > end->allocated) {
        uint8_t *memory = malloc(2 * (end->size + size));

        if (memory == NULL) {
            abort();
        }
        if (end->size > 0) {
            memcpy(memory, kernel_waiting(fd), end->size);
        }
        free(end->memory);
        end->memory = memory;
        end->start = 0;
        end->allocated = 2 * (end->size + size);
    }
    memcpy(kernel_waiting(fd) + end->size, bytes, size);
    end->size += size;
}

size_t kernel_take(int fd, void *bytes, size_t size)
{
    struct kernel_end *end = &kernel_ends[fd];

    if (size > end->size) {
        size = end->size;
    }
    if (size > 0) {
        memcpy(bytes, kernel_waiting(fd), size);
        end->start += size;
        end->size -= size;
    }
    return size;
}

static bool interrupted(const struct kernel_end *end)
{
    return end->interrupted > 0 && random_below(&luck, 100) < end->interrupted;
}

static ssize_t fail_call(int error)
{
    errno = error;
    return -1;
}

static ssize_t kernel_receive(int fd, void *bytes, size_t size, bool peek)
{
    struct kernel_end *end = &kernel_ends[fd];

    end->receives++;
    if (end->frozen) {
        return fail_call(EAGAIN);
    }
    if (interrupted(end)) {
        return fail_call(EINTR);
    }
    if (end->size == 0 && end->receive_error != 0) {
        return fail_call(end->receive_error);
    }
    if (end->size == 0) {
        return end->ended ? 0 : fail_call(EAGAIN);
    }
    if (end->receive_most > 0 && size > end->receive_most) {
        size = end->receive_most;
    }
    if (!peek) {
        return (ssize_t)kernel_take(fd, bytes, size);
    }
    size = size < end->size ? size : end->size;
    memcpy(bytes, kernel_waiting(fd), size);
    return (ssize_t)size;
}

static ssize_t kernel_send(int fd, const void *bytes, size_t size)
{
    struct kernel_end *end = &kernel_ends[fd];
    struct kernel_end *to = other_end(fd);

    end->sends++;
    if (interrupted(end)) {
        return fail_call(EINTR);
    }
    if (end->send_error != 0) {
        end->refused_sends++;
        return fail_call(end->send_error);
    }
    if (end->frozen || to->size >= to->capacity) {
        end->refused_sends++;
        return fail_call(EAGAIN);
    }
    if (size > to->capacity - to->size) {
        size = to->capacity - to->size;
    }
    if (end->send_most > 0 && size > end->send_most) {
        size = end->send_most;
    }
    kernel_inject(1 - fd, bytes, size);
    end->sent += size;
    return (ssize_t)size;
}

static int kernel_shutdown(int fd, int how)
{
    kernel_ends[fd].shutdowns++;
    if (how != SHUT_WR) {
        kernel_ends[fd].ended = true;
    }
    if (how != SHUT_RD) {
        other_end(fd)->ended = true;
        kernel_ends[fd].send_error = EPIPE;
    }
    return 0;
}

const struct dg_transport kernel_transport = {
    .receive = kernel_receive, .send = kernel_send, .shutdown = kernel_shutdown};
