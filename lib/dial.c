#define _GNU_SOURCE /* IP_BIND_ADDRESS_NO_PORT, if there is one */

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/dial.h"
#include "lib/net.h"

enum {
	RETRY = 20,	       /* milliseconds between attempts while a backlog is full */
	HEAD_START = 250,      /* milliseconds; RFC 8305 section 5: Connection Attempt Delay */
	FIRST_EPHEMERAL = 1024 /* no system assigns a lower port by itself */
};

/* The state of one dial_race(). */
struct race {
	const struct dial_plan *plan;
	size_t order[DIAL_MOST];
	size_t total, next;		     /* of order */
	size_t running[DIAL_MOST];	     /* candidates of polled[1] and on */
	struct pollfd polled[1 + DIAL_MOST]; /* the watched client comes first */
	size_t live;
	int64_t now, next_start;
	size_t last; /* candidate of the attempt that was started or decided last */
	int error;   /* why the last failure failed */
};

/* Starts a connection. Returns its fd, or -1 with errno. */
static int
begin(const struct endpoint *to, const struct address *source)
{
	struct sockaddr_storage storage;
	socklen_t length = (socklen_t)address_to_socket(to, &storage);
	int fd = net_socket(to->address.family, SOCK_STREAM);

	if (fd == -1)
		return -1;
	net_tune(fd);
	if (source->family != AF_UNSPEC) {
#ifdef IP_BIND_ADDRESS_NO_PORT
		/* connect(2) then picks a port that need only be free for this destination. */
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
#endif
		if (net_bind(fd, source, 0) == -1)
			return net_give_up(fd);
	}
	/* poll(2) reports what succeeds at once as it does the rest. */
	if (connect(fd, (struct sockaddr *)&storage, length) == -1 && errno != EINPROGRESS &&
	    errno != EINTR)
		return net_give_up(fd);
	return fd;
}

/* The result of a connection that poll(2) reported: 0 or an error number. */
static int
outcome(int fd, const struct address *to, unsigned port)
{
	struct endpoint local;
	int error;
	socklen_t length = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
		return errno;
	if (error != 0 || port < FIRST_EPHEMERAL)
		return error;
	/* connect(2) to a free port of this host can reach itself (simultaneous open): nobody is
	 * there. */
	return net_local(fd, &local) == 0 && local.port == port && address_equal(&local.address, to)
	    ? ECONNREFUSED
	    : 0;
}

/* RFC 8305 section 4: the families take turns, that of the first candidate first. A family without
 * a source is not used if the other has one. */
static void
set_order(struct race *race)
{
	const struct address *candidates = race->plan->candidates;
	const struct address *sources = race->plan->sources;
	size_t count = race->plan->count;
	static const int families[2] = { AF_INET, AF_INET6 };
	int turn, six = count > 0 && candidates[0].family == AF_INET6;
	size_t at[2] = { 0, 0 };

	for (turn = 0; turn < 2; turn++)
		if (sources[turn].family == AF_UNSPEC && sources[!turn].family != AF_UNSPEC)
			at[turn] = count;
	for (turn = six; (at[0] < count || at[1] < count) && race->total < DIAL_MOST;
	     turn = !turn) {
		while (at[turn] < count && candidates[at[turn]].family != families[turn])
			at[turn]++;
		if (at[turn] < count)
			race->order[race->total++] = at[turn]++;
	}
}

static void
start_next(struct race *race)
{
	size_t candidate = race->order[race->next++];
	const struct endpoint to = { race->plan->candidates[candidate], race->plan->port };
	int fd = begin(&to, &race->plan->sources[to.address.family == AF_INET6]);

	race->last = candidate;
	if (fd == -1) {
		race->error = errno;
		return;
	}
	race->running[race->live++] = candidate;
	race->polled[race->live] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	race->next_start = race->now + HEAD_START;
}

/* Takes the attempts that poll(2) reported out of the race and closes those that failed. Returns
 * the fd of the first that succeeded, or -1. */
static int
settle(struct race *race)
{
	const struct dial_plan *plan = race->plan;
	size_t i = 0;
	int error, fd;

	while (i < race->live) {
		fd = race->polled[1 + i].fd;
		if (race->polled[1 + i].revents == 0) {
			i++;
			continue;
		}
		race->last = race->running[i];
		error = outcome(fd, &plan->candidates[race->last], plan->port);
		race->live--;
		race->running[i] = race->running[race->live];
		race->polled[1 + i] = race->polled[1 + race->live];
		if (error == 0)
			return fd;
		race->error = error;
		race->next_start = 0; /* a failure starts the next attempt at once */
		close(fd);
	}
	return -1;
}

/* Waits until an attempt is decided or the next one is due. Returns 0, or -1 with errno. */
static int
wait_for_news(struct race *race)
{
	int64_t deadline = race->plan->deadline;
	bool more = race->next < race->total && race->next_start < deadline;
	int ready = poll(race->polled, (nfds_t)(1 + race->live),
	    net_timeout_at(race->now, more ? race->next_start : deadline));

	if (ready == -1)
		return errno == EINTR ? 0 : -1;
	if (ready == 0 && net_timeout(deadline) == 0) {
		race->last = race->running[race->live - 1];
		errno = ETIMEDOUT;
		return -1;
	}
	if (race->polled[0].revents != 0) {
		errno = ECANCELED;
		return -1;
	}
	return 0;
}

/* Returns the fd of the attempt that succeeds first, or -1 with errno. */
static int
run(struct race *race)
{
	int fd;

	while (!net_stopped()) {
		if (race->next < race->total &&
		    (race->live == 0 || race->now >= race->next_start)) {
			start_next(race);
			continue;
		}
		if (race->live == 0) {
			errno = race->error;
			return -1;
		}
		if (wait_for_news(race) == -1)
			return -1;
		fd = settle(race);
		if (fd != -1)
			return fd;
		race->now = net_now();
	}
	errno = EINTR;
	return -1;
}

int
dial_race(const struct dial_plan *plan, size_t *winner)
{
	struct race race = { .plan = plan, .now = plan->now };
	int fd;

	race.error = ENETUNREACH; /* in case no candidate can be tried */
	race.polled[0].fd = plan->watch;
	set_order(&race);
	fd = run(&race);
	while (race.live > 0)
		net_give_up(race.polled[race.live--].fd);
	*winner = race.last;
	return fd;
}

int
dial_unix(const char *path, int64_t deadline)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = net_socket(AF_UNIX, SOCK_STREAM);

	if (fd == -1)
		return -1;
	net_tune(fd);
	strcpy(address.sun_path, path);
	while (connect(fd, (struct sockaddr *)&address, sizeof address) == -1) {
		/* Linux: the backlog is full, and poll(2) does not tell when it has room again. */
		if (errno != EAGAIN)
			return net_give_up(fd);
		if (net_stopped() || net_timeout(deadline) == 0) {
			errno = ETIMEDOUT;
			return net_give_up(fd);
		}
		poll(NULL, 0, RETRY);
	}
	return fd;
}
