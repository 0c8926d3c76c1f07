/* Descriptors and sockets, and waiting for them with a deadline. */

#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct address;
struct endpoint;

struct pollfd;

#define NET_FOREVER INT64_MAX

/* Sets the socket options of a relayed connection: SO_OOBINLINE (urgent data stay in the stream,
 * RFC 6093) and, on TCP, TCP_NODELAY and SO_KEEPALIVE. Returns true if fd is TCP. */
bool net_tune(int fd);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t net_now(void);

/* The deadline seconds from now, as net_now() counts; NET_FOREVER for 0 seconds. */
int64_t net_deadline(unsigned seconds);

/* The timeout for poll(2) until the deadline: milliseconds, at least 0, or -1 for NET_FOREVER. */
int net_timeout(int64_t deadline);

/* The same for a caller who has looked at the clock already. */
int64_t net_later(int64_t now, unsigned seconds);
int net_timeout_at(int64_t now, int64_t deadline);

/* Waits until poll(2) reports one of the descriptors. Returns 0, or -1 with errno: ETIMEDOUT at
 * the deadline, EINTR if net_stop() was called, or poll(2)'s. */
int net_poll(struct pollfd *polled, size_t count, int64_t deadline);

/* The same for one descriptor and its events. */
int net_wait(int fd, short events, int64_t deadline);

/* Waits for and does one read. Returns the bytes read, 0 at end of input, or -1 with errno as
 * net_wait() and read(2). */
ssize_t net_read(int fd, void *bytes, size_t length, int64_t deadline);

/* Writes all the bytes, without SIGPIPE on sockets. Returns 0, or -1 with errno as net_wait() and
 * write(2). */
int net_write(int fd, const void *bytes, size_t length, int64_t deadline);

/* True if this error of a read, write, shutdown(2) or wait means that the peer is gone. Of what is
 * no socket, only EPIPE does. */
bool net_is_lost(int error, bool socket);

/* A signal handler: from now on every wait here ends with EINTR, and net_stopped() is true.
 * alarm(2) repeats the signal, in case it came between a check and poll(2). */
void net_stop(int number);
bool net_stopped(void);

/* From the deadline (NET_FOREVER: never) until net_wait_freely(), calls that block end with EINTR.
 * For write(2) and the like on files shared with others, whose flags we must not change. */
void net_interrupt(int64_t deadline);
void net_wait_freely(void);

/* Returns a non-blocking close-on-exec socket, which the caller owns, or -1 with errno. */
int net_socket(int family, int type);

/* Makes fd non-blocking and close-on-exec. Returns 0, or -1 with errno. */
int net_set_flags(int fd);

/* Binds fd to a local address and port; port 0: any. Returns 0, or -1 with errno. */
int net_bind(int fd, const struct address *address, unsigned port);

/* Closes fd, keeps errno and returns -1. */
int net_give_up(int fd);

/* Finds the local address that the kernel would use to reach towards; sends nothing. Returns 0, or
 * -1 with errno. */
int net_facing(const struct address *towards, struct address *local);

/* Finds the local address and port of a socket. Returns 0, or -1: getsockname(2)'s errno, or
 * another family than IPv4 and IPv6. */
int net_local(int fd, struct endpoint *local);

/* The poll(2) event that reports a peer's end of input before the data in front of it are read; 0
 * if the system has none. */
short net_early_end(void);

#endif
