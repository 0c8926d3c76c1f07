#define _GNU_SOURCE /* SOCK_NONBLOCK, IP_BIND_ADDRESS_NO_PORT, POLLRDHUP, where there are such */

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "net.h"

#ifndef MSG_DONTWAIT
#define MSG_DONTWAIT 0 /* then what is blocking may block: poll(2) comes first all the same */
#endif
#ifndef PIPE_BUF
#define PIPE_BUF _POSIX_PIPE_BUF
#endif

enum {
	HEAD_START = 250,      /* RFC 8305 section 5: Connection Attempt Delay */
	FIRST_EPHEMERAL = 1024 /* no system gives out a lower port by itself */
};

/* The attempts of one net_dial(). */
struct race {
	const struct endpoint *candidates;
	const struct address *sources;
	size_t order[NET_CANDIDATES];
	size_t total, next;			  /* of order */
	size_t running[NET_CANDIDATES];		  /* candidates of polled[1] and on */
	struct pollfd polled[1 + NET_CANDIDATES]; /* the watched client comes first */
	size_t live;
	size_t last; /* the candidate that failed last, and why */
	int error;
};

static volatile sig_atomic_t stopped;

struct net_file
net_look(int fd)
{
	struct net_file file = { .fd = fd };
	struct stat status;

	if (fstat(fd, &status) == -1)
		return file;
	file.open = true;
	file.socket = S_ISSOCK(status.st_mode);
	file.growing = S_ISREG(status.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
	file.device = status.st_dev;
	file.inode = status.st_ino;
	return file;
}

bool
net_same_file(const struct net_file *a, const struct net_file *b)
{
	/* Some systems number neither sockets nor pipes. */
	return a->open && b->open && a->socket == b->socket && a->device == b->device &&
	    a->inode == b->inode;
}

/* False for what is no TCP socket. */
static bool
prepare(int fd)
{
	const int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
	return true;
}

void
net_prepare(struct net_file *in, struct net_file *out)
{
	in->tcp = in->socket && prepare(in->fd);
	out->tcp = net_same_file(in, out) ? in->tcp : out->socket && prepare(out->fd);
}

int64_t
net_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
net_deadline(unsigned seconds)
{
	return seconds == 0 ? NET_FOREVER : net_now() + (int64_t)seconds * 1000;
}

int
net_timeout(int64_t deadline)
{
	int64_t left;

	if (deadline == NET_FOREVER)
		return -1;
	left = deadline - net_now();
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void
net_stop(void)
{
	stopped = 1;
	alarm(1);
}

bool
net_stopped(void)
{
	return stopped != 0;
}

int
net_wait(int fd, short events, int64_t deadline)
{
	struct pollfd polled = { .fd = fd, .events = events };
	int ready;

	for (;;) {
		if (net_stopped()) {
			errno = EINTR;
			return -1;
		}
		ready = poll(&polled, 1, net_timeout(deadline));
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
		/* An inherited fd may be blocking, and shared with one who is faster. */
		got = is_socket ? recv(fd, bytes, length, MSG_DONTWAIT) : read(fd, bytes, length);
		if (got == -1 && errno == ENOTSOCK && is_socket)
			is_socket = false;
		else if (got != -1 || !is_passing(errno))
			return got;
		wait_first = true; /* most often what is read for is there already */
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
net_has_left(struct pollfd *watch)
{
	int type;
	socklen_t length = sizeof type;

	if (watch->revents == 0)
		return false;
	/* To a pipe, POLLHUP is the end of input, and it would show for ever. */
	if (getsockopt(watch->fd, SOL_SOCKET, SO_TYPE, &type, &length) == -1) {
		watch->fd = -1;
		return false;
	}
	return true;
}

static int
set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return -1;
	return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Closes without touching errno, and returns -1. */
static int
give_up(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

static int
open_socket(int family, int type)
{
#if defined SOCK_NONBLOCK && defined SOCK_CLOEXEC
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
	int fd = socket(family, type, 0);

	return fd != -1 && set_flags(fd) == -1 ? give_up(fd) : fd;
#endif
}

static int
bind_to(int fd, const struct address *address, unsigned port)
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

/* A connect to one's own free port can meet itself (simultaneous open): nobody is there. */
static bool
is_self(int fd, const struct endpoint *to)
{
	struct endpoint local;

	return to->port >= FIRST_EPHEMERAL && net_local(fd, &local) == 0 &&
	    local.port == to->port && address_equal(&local.address, &to->address);
}

static const struct address *
source_for(const struct address *sources, int family)
{
	static const struct address none = { .family = AF_UNSPEC };

	return sources == NULL ? &none : &sources[family == AF_INET6];
}

/* Starts a connection. Its fd, with *stands where it is there at once; or -1 with errno. */
static int
begin(const struct endpoint *to, const struct address *source, bool *stands)
{
	struct sockaddr_storage storage;
	socklen_t length = (socklen_t)address_to_socket(to, &storage);
	int fd = open_socket(to->address.family, SOCK_STREAM);

	if (fd == -1)
		return -1;
	prepare(fd);
	if (source->family != AF_UNSPEC) {
#ifdef IP_BIND_ADDRESS_NO_PORT
		/* Let connect() choose the port, which then need not be free towards all. */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
#endif
		if (bind_to(fd, source, 0) == -1)
			return give_up(fd);
	}
	*stands = connect(fd, (struct sockaddr *)&storage, length) == 0;
	if (!*stands && errno != EINPROGRESS && errno != EINTR)
		return give_up(fd);
	if (*stands && is_self(fd, to)) {
		errno = ECONNREFUSED;
		return give_up(fd);
	}
	return fd;
}

/* How a connection came out that poll(2) called ready: 0 or an error number. */
static int
outcome(int fd, const struct endpoint *to)
{
	int error;
	socklen_t length = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
		return errno;
	return error == 0 && is_self(fd, to) ? ECONNREFUSED : error;
}

static size_t
next_of(const struct endpoint *candidates, size_t count, size_t from, int family)
{
	while (from < count && candidates[from].address.family != family)
		from++;
	return from;
}

/* RFC 8305 section 4: the families take turns, the first candidate's begins. With a source for
 * one family only, the other is not used. */
static void
set_order(struct race *race, const struct endpoint *candidates, size_t count)
{
	static const int families[2] = { AF_INET, AF_INET6 };
	bool bound = source_for(race->sources, AF_INET)->family != AF_UNSPEC ||
	    source_for(race->sources, AF_INET6)->family != AF_UNSPEC;
	int turn, six = count > 0 && candidates[0].address.family == AF_INET6;
	size_t at[2];

	for (turn = 0; turn < 2; turn++) {
		at[turn] = next_of(candidates, count, 0, families[turn]);
		if (bound && source_for(race->sources, families[turn])->family == AF_UNSPEC)
			at[turn] = count;
	}
	for (turn = six; (at[0] < count || at[1] < count) && race->total < NET_CANDIDATES;
	     turn = !turn) {
		if (at[turn] == count)
			continue;
		race->order[race->total++] = at[turn];
		at[turn] = next_of(candidates, count, at[turn] + 1, families[turn]);
	}
}

/* Starts the next attempt. Its fd where it stands at once, else -1. */
static int
start_next(struct race *race)
{
	size_t candidate = race->order[race->next++];
	const struct endpoint *to = &race->candidates[candidate];
	bool stands;
	int fd = begin(to, source_for(race->sources, to->address.family), &stands);

	race->last = candidate;
	if (fd == -1)
		race->error = errno;
	if (fd == -1 || stands)
		return fd;
	race->running[race->live++] = candidate;
	race->polled[race->live] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	return -1;
}

/* Takes what poll(2) called ready. The fd of the first that stands, taken out of the race, else
 * -1; those that failed are closed and taken out. */
static int
settle(struct race *race)
{
	size_t i = 0;
	int error, fd;

	while (i < race->live) {
		fd = race->polled[1 + i].fd;
		if (race->polled[1 + i].revents == 0) {
			i++;
			continue;
		}
		race->last = race->running[i];
		error = outcome(fd, &race->candidates[race->last]);
		race->live--;
		race->running[i] = race->running[race->live];
		race->polled[1 + i] = race->polled[1 + race->live];
		if (error == 0)
			return fd;
		race->error = error;
		close(fd);
	}
	return -1;
}

/* Runs until one stands (its fd), or -1 with errno. */
static int
run(struct race *race, int64_t deadline)
{
	int64_t next_start = 0;
	size_t live;
	int fd, ready;

	while (!net_stopped()) {
		if (race->next < race->total && (race->live == 0 || net_now() >= next_start)) {
			live = race->live;
			fd = start_next(race);
			if (fd != -1)
				return fd;
			if (race->live > live)
				next_start = net_now() + HEAD_START;
			continue;
		}
		if (race->live == 0) {
			errno = race->error;
			return -1;
		}
		ready = poll(race->polled, (nfds_t)(1 + race->live),
		    net_timeout(
			race->next < race->total && next_start < deadline ? next_start : deadline));
		if (ready == -1 && errno != EINTR)
			return -1;
		if (ready == 0 && net_timeout(deadline) == 0) {
			race->last = race->running[race->live - 1];
			errno = ETIMEDOUT;
			return -1;
		}
		if (ready <= 0)
			continue;
		if (net_has_left(&race->polled[0])) {
			errno = ECANCELED;
			return -1;
		}
		live = race->live;
		fd = settle(race);
		if (fd != -1)
			return fd;
		if (race->live < live)
			next_start = 0; /* after a failure the next one starts at once */
	}
	errno = EINTR;
	return -1;
}

int
net_dial(const struct endpoint *candidates, size_t count, const struct address *sources,
    int64_t deadline, int watch, size_t *winner)
{
	struct race race = { .candidates = candidates, .sources = sources };
	int fd;

	race.error = ENETUNREACH; /* where no candidate may be tried */
	race.polled[0].fd = watch;
	set_order(&race, candidates, count);
	fd = run(&race, deadline);
	while (race.live > 0)
		give_up(race.polled[race.live--].fd);
	*winner = race.last;
	return fd;
}

int
net_facing(const struct address *towards, struct address *local)
{
	struct endpoint to = { *towards, 9 }, own; /* any port but 0 */
	struct sockaddr_storage storage;
	socklen_t length = (socklen_t)address_to_socket(&to, &storage);
	int fd = open_socket(towards->family, SOCK_DGRAM);

	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&storage, length) == -1 || net_local(fd, &own) == -1)
		return give_up(fd);
	close(fd);
	*local = own.address;
	return 0;
}

/* One try of net_listen(). */
static int
listen_on(const struct address *address, unsigned port)
{
	int fd = open_socket(address->family, SOCK_STREAM);

	if (fd == -1)
		return -1;
	/* A port of a small range must not rest in TIME_WAIT after each use. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind_to(fd, address, port) == -1 || listen(fd, 1) == -1)
		return give_up(fd);
	return fd;
}

int
net_listen(const struct address *address, unsigned low, unsigned high, struct endpoint *local)
{
	unsigned count = low == 0 ? 16 : high - low + 1; /* of any port: so many tries */
	struct timespec now;
	unsigned i, start;
	int fd = -1;

	/* Sessions that start together should not try the same ports in the same order. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	start = ((unsigned)getpid() * 2654435761u ^ (unsigned)now.tv_nsec) % count;
	errno = EADDRINUSE;
	for (i = 0; i < count && fd == -1 && errno == EADDRINUSE; i++)
		fd = listen_on(address, low == 0 ? 0 : low + (start + i) % count);
	if (fd != -1 && net_local(fd, local) == -1)
		return give_up(fd);
	return fd;
}

/* Why accept(2) has no connection for us, but may have the next one. */
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

int
net_accept(int listener, struct endpoint *caller)
{
	struct sockaddr_storage storage;
	socklen_t length = sizeof storage;
	int fd = accept(listener, (struct sockaddr *)&storage, &length);

	if (fd == -1) {
		if (is_callers_fault(errno))
			errno = ECONNABORTED;
		return -1;
	}
	if (set_flags(fd) == -1)
		return give_up(fd);
	if (length == 0 || address_from_socket(&storage, caller) == -1) {
		errno = ECONNABORTED; /* some systems tell so of a caller that has gone */
		return give_up(fd);
	}
	prepare(fd);
	return fd;
}

enum net_peer
net_peer(const struct net_file *file, struct endpoint *peer)
{
	/* A peer without a name may set none. */
	struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(int);
	int value = 0;

	if (!file->socket)
		return NET_LOCAL;
	/* Packets end nowhere and may be cut. */
	if (!file->tcp &&
	    (getsockopt(file->fd, SOL_SOCKET, SO_TYPE, &value, &length) == -1 ||
		value != SOCK_STREAM))
		return NET_UNKNOWN;
	length = sizeof storage;
	if (getpeername(file->fd, (struct sockaddr *)&storage, &length) == -1) {
		/* A connection that has been reset has no peer any more, but still its error. */
		length = sizeof value;
		value = 0;
		getsockopt(file->fd, SOL_SOCKET, SO_ERROR, &value, &length);
		return value != 0 ? NET_GONE : NET_UNKNOWN;
	}
	if (storage.ss_family == AF_UNIX)
		return NET_LOCAL;
	return address_from_socket(&storage, peer) == 0 ? NET_TCP : NET_UNKNOWN;
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
