/*
 * Whether the kernel takes what is to be sent later, at any time, in one piece: what it did not
 * take as the program closes would be lost.
 *
 * It has two limits (tcp_stream_memory_free, include/net/tcp.h): the send buffer's memory, and the
 * bytes that are not on their way yet, by TCP_NOTSENT_LOWAT or, where the socket has none,
 * net.ipv4.tcp_notsent_lowat. poll(2) promises less than a record, and asks for a third of the
 * buffer.
 */
#ifndef DISTGUARD_SOCKET_ROOM_H
#define DISTGUARD_SOCKET_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/* Reads the host's limit, which takes files: not for a scheduler. Until that is done, and where
 * /proc/sys is not shown (ProcSubset=pid), there is no room on sockets that have no limit of their
 * own. */
void dg_room_look(void);

/* Whether there is room for so many bytes, with what the kernel needs beside them. */
bool dg_room_for(int fd, uint32_t size);

#endif
