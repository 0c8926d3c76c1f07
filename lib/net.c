#define _GNU_SOURCE /* SOCK_NONBLOCK, POLLRDHUP */

#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "lib/address.h"
#include "lib/net.h"

#ifndef MSG_DONTWAIT
#define MSG_DONTWAIT 0 /* then poll(2) comes first, and a blocking fd may block */
#endif
#ifndef PIPE_BUF
#define PIPE_BUF _POSIX_PIPE_BUF
#endif

static volatile sig_atomic_t stopped, interrupting;
static struct itimerval launchers; /* the timer that was set before ours */

bool
net_tune(int fd)
{
	const int on = 1;

	/* On any socket: since Linux 5.15, Unix sockets have urgent data too. */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	return true;
}

int64_t
net_now(void)
{
	struct timespec now;

#if defined __linux__ && defined __LP64__
	/* Past the vDSO: a session looks at the clock so seldom that its calls cost less than pages
	 * that are touched for the first time. */
	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
#else
	clock_gettime(CLOCK_MONOTONIC, &now);
#endif
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
net_deadline(unsigned seconds)
{
	return net_later(seconds == 0 ? 0 : net_now(), seconds);
}

int64_t
net_later(int64_t now, unsigned seconds)
{
	return seconds == 0 ? NET_FOREVER : now + (int64_t)seconds * 1000;
}

int
net_timeout(int64_t deadline)
{
	return net_timeout_at(deadline == NET_FOREVER ? 0 : net_now(), deadline);
}

int
net_timeout_at(int64_t now, int64_t deadline)
{
	int64_t left = deadline - now;

	if (deadline == NET_FOREVER)
		return -1;
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void
net_stop(int number)
{
	if (number == SIGALRM && interrupting)
		return;
	stopped = 1;
	if (!interrupting)
		alarm(1);
}

void
net_interrupt(int64_t deadline)
{
	int timeout = net_timeout(deadline), left = timeout > 0 ? timeout : 1; /* 0 sets no timer */
	/* Repeats, since it may fire before the call that it is to interrupt. */
	struct itimerval timer = { { 0, 10000 }, { left / 1000, left % 1000 * 1000 } };

	if (deadline == NET_FOREVER)
		return;
	interrupting = 1;
	setitimer(ITIMER_REAL, &timer, &launchers);
}

void
net_wait_freely(void)
{
	if (!interrupting)
		return;
	setitimer(ITIMER_REAL, &launchers, NULL);
	interrupting = 0;
	if (stopped)
		alarm(1);
}

bool
net_stopped(void)
{
	return stopped != 0;
}

int
net_poll(struct pollfd *polled, size_t count, int64_t deadline)
{
	int ready;

	for (;;) {
		if (net_stopped()) {
			errno = EINTR;
			return -1;
		}
		ready = poll(polled, (nfds_t)count, net_timeout(deadline));
		if (ready > 0)
			return 0;
		if (ready == -1 && errno != EINTR)
			return -1;
		if (ready == 0 && net_timeout(deadline) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}

int
net_wait(int fd, short events, int64_t deadline)
{
	return net_poll(&(struct pollfd){ .fd = fd, .events = events }, 1, deadline);
}

static bool
is_passing(int error)
{
	return error == EINTR || error == EAGAIN || error == EWOULDBLOCK;
}

ssize_t
net_read(int fd, void *bytes, size_t length, int64_t deadline)
{
	bool wait_first = MSG_DONTWAIT == 0, is_socket = true;
	ssize_t got;

	for (;;) {
		if (wait_first && net_wait(fd, POLLIN, deadline) == -1)
			return -1;
		/* An inherited fd may be blocking, and another process may have read first. */
		got = is_socket ? recv(fd, bytes, length, MSG_DONTWAIT) : read(fd, bytes, length);
		if (got == -1 && errno == ENOTSOCK && is_socket)
			is_socket = false;
		else if (got != -1 || !is_passing(errno))
			return got;
		wait_first = true; /* only now: usually the data are already there */
	}
}

int
net_write(int fd, const void *bytes, size_t length, int64_t deadline)
{
	const unsigned char *next = bytes;
	bool wait_first = MSG_DONTWAIT == 0, is_socket = true;
	ssize_t put;

	while (length > 0) {
		if (wait_first && net_wait(fd, POLLOUT, deadline) == -1)
			return -1;
		if (is_socket)
			put = send(fd, next, length, MSG_NOSIGNAL | MSG_DONTWAIT);
		else /* a writable pipe takes that much without blocking */
			put = write(fd, next, length < PIPE_BUF ? length : PIPE_BUF);
		if (put >= 0) {
			next += put;
			length -= (size_t)put;
		} else if (errno == ENOTSOCK && is_socket) {
			is_socket = false;
			wait_first = true;
		} else if (is_passing(errno)) {
			wait_first = true;
		} else {
			return -1;
		}
	}
	return 0;
}

bool
net_is_lost(int error, bool socket)
{
	switch (error) {
	case EPIPE:
		return true;
	case EAGAIN: /* of poll(2) or shutdown(2) */
	case EBADF:
	case EFAULT:
	case EINTR:
	case EINVAL:
	case ENOBUFS:
	case ENOMEM:
	case ENOTSOCK:
		return false;
	default: /* whatever ICMP reports ends a connection: EACCES, EHOSTUNREACH, EPROTO ... */
		return socket;
	}
}

int
net_set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return -1;
	return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int
net_give_up(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

int
net_socket(int family, int type)
{
#if defined SOCK_NONBLOCK && defined SOCK_CLOEXEC
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
	int fd = socket(family, type, 0);

	return fd != -1 && net_set_flags(fd) == -1 ? net_give_up(fd) : fd;
#endif
}

int
net_bind(int fd, const struct address *address, unsigned port)
{
	struct endpoint endpoint = { *address, port };
	struct sockaddr_storage storage;
	socklen_t length = (socklen_t)address_to_socket(&endpoint, &storage);

	return bind(fd, (struct sockaddr *)&storage, length);
}

int
net_local(int fd, struct endpoint *local)
{
	struct sockaddr_storage storage;
	socklen_t length = sizeof storage;

	if (getsockname(fd, (struct sockaddr *)&storage, &length) == -1)
		return -1;
	return address_from_socket(&storage, local);
}

int
net_facing(const struct address *towards, struct address *local)
{
	struct endpoint to = { *towards, 9 }, own; /* any port but 0 will do */
	struct sockaddr_storage storage;
	socklen_t length = (socklen_t)address_to_socket(&to, &storage);
	int fd = net_socket(towards->family, SOCK_DGRAM);

	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&storage, length) == -1 || net_local(fd, &own) == -1)
		return net_give_up(fd);
	close(fd);
	*local = own.address;
	return 0;
}

short
net_early_end(void)
{
#ifdef POLLRDHUP
	return POLLRDHUP;
#else
	return 0;
#endif
}
