#include "shim/core/socket/room.h"

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shim/core/core.h"
#include "shim/core/socket/proc.h"

#define HOSTS_LIMIT "/proc/sys/net/ipv4/tcp_notsent_lowat"

/* Bytes; UINT32_MAX: none, as the kernel has it by default; 0: not known. */
static _Atomic uint32_t hosts_limit;

void dg_room_look(void)
{
    char text[DG_PROC_TEXT];

    dg_proc_read(&dg_core.real, HOSTS_LIMIT, text);
    atomic_store(&hosts_limit, (uint32_t)strtoul(text, NULL, 10)); /* 0 of none */
}

/* Whether the send buffer has so much memory left. */
static bool has_memory(int fd, uint32_t size)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t vars = sizeof memory;
    uint64_t used;

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &vars) != 0) {
        return false;
    }
    used = memory[SK_MEMINFO_WMEM_QUEUED] > memory[SK_MEMINFO_WMEM_ALLOC]
               ? memory[SK_MEMINFO_WMEM_QUEUED]
               : memory[SK_MEMINFO_WMEM_ALLOC];
    return used + size <= memory[SK_MEMINFO_SNDBUF];
}

static uint32_t limit_of_unsent(int fd)
{
    uint32_t own = 0;
    socklen_t size = sizeof own;

    if (getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &own, &size) == 0 && own != 0) {
        return own;
    }
    return atomic_load_explicit(&hosts_limit, memory_order_relaxed);
}

/* Whether so many bytes may stand unsent beside those that do. */
static bool may_stand_unsent(int fd, uint32_t size)
{
    uint32_t limit = limit_of_unsent(fd);
    int unsent = 0;

    if (limit == UINT32_MAX) {
        return true;
    }
    return limit > size && ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent >= 0 &&
           (uint32_t)unsent <= limit - size;
}

bool dg_room_for(int fd, uint32_t size)
{
    uint32_t with_overhead = 2 * size;

    return has_memory(fd, with_overhead) && may_stand_unsent(fd, with_overhead);
}
