/* Descriptors and sockets, and waiting for them with a deadline. */

#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct address;
struct endpoint;

#define NET_FOREVER INT64_MAX

/* Socket options of a relayed connection: SO_OOBINLINE (urgent data stay in the stream, RFC 6093)
 * and, if it is TCP, TCP_NODELAY and SO_KEEPALIVE. True if it is TCP. */
bool net_tune(int fd);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t net_now(void);

/* The deadline that many seconds from now; 0 seconds: NET_FOREVER. */
int64_t net_deadline(unsigned seconds);

/* What poll(2) takes until the deadline: milliseconds, at least 0, or -1 for NET_FOREVER. */
int net_timeout(int64_t deadline);

/* Waits until fd has one of events, else -1: ETIMEDOUT, or EINTR if net_stop() was called. */
int net_wait(int fd, short events, int64_t deadline);

/* One read, waited for. Bytes read, 0 at end of input, -1 with errno as net_wait() and read(2). */
ssize_t net_read(int fd, void *bytes, size_t length, int64_t deadline);

/* Writes all of it, on sockets without SIGPIPE. 0, or -1 with errno as net_wait() and write(2). */
int net_write(int fd, const void *bytes, size_t length, int64_t deadline);

/* A signal handler: every wait here ends with EINTR from now on; alarm(2) repeats the signal so
 * that none falls between a check and a poll. */
void net_stop(int number);
bool net_stopped(void);

/* From the deadline on (NET_FOREVER: not at all), calls that would block end with EINTR, until
 * net_wait_freely(). For write(2) and the like on what others share, whose flags are not ours. */
void net_interrupt(int64_t deadline);
void net_wait_freely(void);

/* A non-blocking close-on-exec socket, or -1 with errno; and what makes one of an fd: 0 or -1. */
int net_socket(int family, int type);
int net_set_flags(int fd);

/* Gives it this local address. 0 or -1 with errno. */
int net_bind(int fd, const struct address *address, unsigned port);

/* Closes without touching errno, and returns -1. */
int net_give_up(int fd);

/* The local address that the kernel would use towards this one: a datagram socket is asked,
 * nothing is sent. 0 or -1 with errno. */
int net_facing(const struct address *towards, struct address *local);

/* The local address of a socket. 0 or -1 with errno. */
int net_local(int fd, struct endpoint *local);

/* The poll(2) event that tells of a peer's end of input before what stands in front of it is read;
 * 0 on a system without one. */
short net_early_end(void);

#endif
