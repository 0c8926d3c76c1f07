#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/bind.h"
#include "lib/net.h"

/* True if another port may work: this one is in use, or forbidden to us (EPERM: systemd's
 * SocketBindDeny). */
static bool
is_ports_fault(int error)
{
	return error == EADDRINUSE || error == EACCES || error == EPERM;
}

static int
listen_on(const struct address *address, unsigned port)
{
	int fd = net_socket(address->family, SOCK_STREAM);

	if (fd == -1)
		return -1;
	/* A small range would soon be used up if each port stayed in TIME_WAIT. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (net_bind(fd, address, port) == -1 || listen(fd, 1) == -1)
		return net_give_up(fd);
	return fd;
}

int
bind_listen(const struct address *address, unsigned low, unsigned high, struct endpoint *local)
{
	unsigned count = low == 0 ? 16 : high - low + 1; /* tries for any port */
	struct timespec now;
	unsigned i, start;
	int fd = -1;

	/* Sessions that start together should not try the same ports in the same order. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	start = ((unsigned)getpid() * 2654435761u ^ (unsigned)now.tv_nsec) % count;
	errno = EADDRINUSE;
	for (i = 0; i < count && fd == -1 && is_ports_fault(errno); i++)
		fd = listen_on(address, low == 0 ? 0 : low + (start + i) % count);
	if (fd != -1 && net_local(fd, local) == -1)
		return net_give_up(fd);
	return fd;
}

/* True if accept(2) failed because of this caller: the next one may succeed. */
static bool
is_callers_fault(int error)
{
	static const int errors[] = { EAGAIN, EWOULDBLOCK, EINTR, ECONNABORTED, EPROTO, ENETDOWN,
		ENOPROTOOPT, EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP };
	size_t i;

	for (i = 0; i < sizeof errors / sizeof *errors; i++)
		if (error == errors[i])
			return true;
	return false;
}

static int
accept_from(int listener, struct endpoint *caller)
{
	struct sockaddr_storage storage;
	socklen_t length = sizeof storage;
	int fd = accept(listener, (struct sockaddr *)&storage, &length);

	if (fd == -1) {
		if (is_callers_fault(errno))
			errno = ECONNABORTED;
		return -1;
	}
	if (net_set_flags(fd) == -1)
		return net_give_up(fd);
	if (length == 0 || address_from_socket(&storage, caller) == -1) {
		errno = ECONNABORTED; /* how some systems report a caller that has gone */
		return net_give_up(fd);
	}
	net_tune(fd);
	return fd;
}

/* Reads what the client sends while we wait. Returns false if it has left: it cannot half-close
 * before the second reply. */
static bool
client_stays(struct bind_client *client, short events, int64_t deadline)
{
	ssize_t count;

	if ((events & POLLIN) == 0 || client->length == client->size)
		return false;
	count = net_read(
	    client->in, client->bytes + client->length, client->size - client->length, deadline);
	if (count <= 0)
		return false;
	client->length += (size_t)count;
	return true;
}

enum reason
bind_await(
    int listener, struct bind_client *client, int64_t deadline, int *fd, struct endpoint *caller)
{
	/* The third fd may be a pipe that nobody reads any more. */
	struct pollfd waiting[3] = { { .fd = listener, .events = POLLIN }, { .fd = client->in },
		{ .fd = client->out } };

	for (;;) {
		waiting[1].events =
		    (short)(net_early_end() | (client->length < client->size ? POLLIN : 0));
		if (net_poll(waiting, 3, deadline) == -1 && errno != ETIMEDOUT)
			return REASON_SYSTEM;
		if (net_now() >= deadline)
			return REASON_BIND_TIMEOUT;
		if (waiting[2].revents != 0 ||
		    (waiting[1].revents != 0 &&
			!client_stays(client, waiting[1].revents, deadline)))
			return REASON_CLIENT_LEFT;
		if (waiting[0].revents == 0)
			continue;
		*fd = accept_from(listener, caller);
		if (*fd != -1)
			return REASON_NONE;
		/* Then the caller would stay in the queue, and poll(2) return at once. */
		if (errno != ECONNABORTED)
			return REASON_SYSTEM;
	}
}
