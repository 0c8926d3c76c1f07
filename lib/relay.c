#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/net.h"
#include "lib/relay.h"
#include "lib/sandbox.h"
#include "lib/standard.h"

enum {
	GROWTH = 16,	      /* times, while reads fill the buffer and all of it is taken */
	LARGEST = 4194304,    /* held a direction */
	PAUSE = 1000,	      /* milliseconds without a large read until the buffer is given back */
	LONGEST_RECHECK = 256 /* milliseconds between two looks at a send queue */
};

enum { IN, OUT };

/* One end of the relay. */
struct side {
	int fd[2]; /* IN, OUT; OUT -1 once closed */
	bool socket[2];
	bool one;      /* IN and OUT are the same socket */
	bool tcp;      /* what it reads from us can be reset */
	bool armed[2]; /* linger is zero; if it is one socket, only OUT is used */
	bool reset;    /* the kernel reports an error once, and then a clean end */
	bool hung[2];  /* POLLHUP was seen; poll(2) would repeat it for ever */
};

struct flow {
	struct side *from, *to;
	unsigned char *first;  /* the buffer of a quiet session */
	unsigned char *buffer; /* that one, or mapped */
	size_t first_size, size, start, end;
	size_t rest; /* bytes still to be taken from a side that has reset */
	unsigned long long count;
	int64_t used; /* when the large buffer was last needed */
	bool filled;  /* the last read filled the buffer */
	bool ended;   /* nothing more comes in */
	bool clean;   /* because of an end of input */
	bool done;    /* and it was passed on */
};

struct relay {
	struct side local, remote;
	struct flow up, down;
	int64_t now, progress;
	int queued, recheck; /* while a send queue has to run empty */
	bool failed;
};

static void
set_linger(int fd, bool on)
{
	const struct linger linger = { .l_onoff = on, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

void
relay_arm(const struct standard_file *standard, int remote)
{
	const struct standard_file *in = &standard[IN], *out = &standard[OUT];

	if (in->tcp && !standard_same(in, out))
		set_linger(in->fd, true);
	if (out->tcp)
		set_linger(out->fd, true);
	set_linger(remote, true);
}

/* Bytes that the peer has not acknowledged; 0 if the platform cannot tell. */
static int
send_queue(int fd)
{
	int bytes = 0;

#if defined FIONWRITE
	if (ioctl(fd, FIONWRITE, &bytes) < 0)
		bytes = 0;
#elif defined TIOCOUTQ && !defined __OpenBSD__ /* Linux: SIOCOUTQ; there pledge(2) kills */
	if (ioctl(fd, TIOCOUTQ, &bytes) < 0)
		bytes = 0;
#else
	(void)fd;
#endif
	return bytes;
}

/* Large buffers are mapped: malloc() may keep them when they are freed. */
static void
give_back(struct flow *flow)
{
	if (flow->buffer != flow->first)
		(void)munmap(flow->buffer, flow->size);
	flow->buffer = flow->first;
	flow->size = flow->first_size;
}

/* Replaces the buffer, which is empty, by one of that size; keeps it if there is no memory. */
static bool
resize(struct flow *flow, size_t size)
{
	void *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buffer == MAP_FAILED)
		return false;
#ifdef MADV_HUGEPAGE
	if (size == LARGEST)
		(void)madvise(buffer, size, MADV_HUGEPAGE); /* two faults, not a thousand */
#endif
	give_back(flow);
	flow->buffer = buffer;
	flow->size = size;
	return true;
}

static bool
pending(const struct flow *flow)
{
	return flow->start < flow->end;
}

static bool
wants_more(const struct flow *flow)
{
	return !flow->ended && !pending(flow);
}

static bool
means_later(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static void
read_failed(struct relay *relay, struct flow *flow)
{
	if (means_later(errno)) {
		/* Only an IN beside the OUT that was reset can still wait for more. */
		if (flow->from->reset && errno != EINTR)
			flow->ended = true;
	} else if (net_is_lost(errno, flow->from->socket[IN])) {
		flow->ended = flow->from->reset;
		flow->from->reset = true;
	} else
		relay->failed = true;
}

/* One read into the empty buffer. */
static void
take(struct relay *relay, struct flow *flow)
{
	struct side *from = flow->from;
	ssize_t got;

	if (flow->filled && flow->size < LARGEST)
		(void)resize(flow, flow->size < LARGEST / GROWTH ? flow->size * GROWTH : LARGEST);
	if (from->socket[IN])
		got = recv(from->fd[IN], flow->buffer, flow->size, MSG_DONTWAIT);
	else {
		standard_renew(from->fd[IN]);
		got = read(from->fd[IN], flow->buffer, flow->size);
	}
	if (got < 0) {
		read_failed(relay, flow);
		return;
	}
	flow->end = (size_t)got;
	flow->filled = flow->end == flow->size;
	if (got == 0) {
		flow->ended = true;
		flow->clean = !from->reset;
	} else if (from->reset && !from->one) {
		flow->ended = flow->end >= flow->rest;
		flow->rest -= flow->ended ? flow->rest : flow->end;
	}
	if (flow->end > flow->first_size)
		flow->used = relay->now;
	if (!flow->to->reset)
		relay->progress = relay->now;
}

/* One write. Data for a side that has reset is discarded: its sender may read, and so learn of the
 * reset, only after it has sent everything. */
static void
give(struct relay *relay, struct flow *flow)
{
	struct side *to = flow->to;
	const unsigned char *bytes = flow->buffer + flow->start;
	size_t length = flow->end - flow->start;
	ssize_t sent = 0;

	if (!to->reset) {
		if (to->socket[OUT])
			sent = send(to->fd[OUT], bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		else {
			standard_renew(to->fd[OUT]);
			sent = write(to->fd[OUT], bytes, length);
		}
		if (sent > 0) {
			relay->progress = relay->now;
			flow->count += (unsigned long long)sent;
			flow->start += (size_t)sent;
		} else if (sent < 0 && !means_later(errno)) {
			if (net_is_lost(errno, to->socket[OUT]))
				to->reset = true;
			else
				relay->failed = true;
		}
	}
	if (pending(flow) && !to->reset)
		flow->filled = false;
	else
		flow->start = flow->end = 0;
}

/* Closes a descriptor. Pipes and files on fd 0 and 1 may be shared, so their flags are restored. */
static void
close_one(struct side *side, int which)
{
	if (side->fd[which] < 0)
		return;
	if (!side->socket[which])
		standard_restore(side->fd[which]);
	(void)close(side->fd[which]);
	side->fd[which] = -1;
}

/* Passes the end of input on, after all data before it. */
static void
pass_end(struct relay *relay, struct flow *flow)
{
	struct side *to = flow->to;

	if (!flow->clean || flow->done || pending(flow) || to->reset)
		return;
	if (shutdown(to->fd[OUT], SHUT_WR) < 0) {
		if (errno == ENOTSOCK)
			close_one(to, OUT);
		else if (net_is_lost(errno, true)) {
			to->reset = true;
			return;
		} else
			relay->failed = true;
	}
	flow->done = true;
}

static void
serve(struct relay *relay, struct flow *flow, short in, short out)
{
	bool news = wants_more(flow) && (flow->from->reset || in & (POLLIN | POLLHUP | POLLERR));

	if (news)
		take(relay, flow);
	/* No poll(2) before this write: it would nearly always succeed. */
	if (pending(flow) && (news || flow->to->reset || out & (POLLOUT | POLLHUP | POLLERR)))
		give(relay, flow);
	pass_end(relay, flow);
}

/* Both directions of a side have ended: from is the flow out of it, to the one into it. */
static bool
finished(const struct flow *from, const struct flow *to)
{
	return from->ended && to->done;
}

/* What to poll a side's IN or OUT for: events, none if only an error matters, or -1: nothing. from
 * is the flow out of the side, to the one into it. */
static int
wanted(const struct side *side, int which, const struct flow *from, const struct flow *to)
{
	bool in = which == IN, out = which == OUT || side->one;
	int events = (in && wants_more(from) ? POLLIN : 0) | (out && pending(to) ? POLLOUT : 0);

	if (side->one && which == OUT)
		return -1; /* IN means both */
	if (events != 0)
		return events;
	/* No error can come any more, and POLLHUP would come at once. */
	if ((!in || from->ended) && (!out || to->done))
		return -1;
	return side->reset || side->hung[which] ? -1 : 0;
}

static void
watch(const struct side *side, const struct flow *from, const struct flow *to,
    struct pollfd entries[2])
{
	for (int which = IN; which <= OUT; which++) {
		int events = wanted(side, which, from, to);

		entries[which].fd = events == -1 ? -1 : side->fd[which];
		entries[which].events = events == -1 ? 0 : (short)events;
		entries[which].revents = 0;
	}
}

/* Notes errors that no read or write would show. POLLHUP of a Unix socket or pipe is an end of
 * input, which read(2) finds after the data; so it is for a TCP connection if both ends have shut
 * down, and otherwise it is a reset. */
static void
note_errors(
    struct relay *relay, struct side *side, const struct flow *to, const struct pollfd entries[2])
{
	for (int which = IN; which <= OUT; which++) {
		short seen = entries[which].revents;

		if (seen & POLLNVAL)
			relay->failed = true;
		if (seen & POLLERR)
			side->reset = true;
		if (seen & POLLHUP) {
			if (side->tcp && side->one && !to->done)
				side->reset = true;
			side->hung[which] = true;
		}
	}
}

/* True if all that a side sent before its reset (flow `last`) has been delivered and acknowledged;
 * our own reset would overtake the rest. back: the flow the other way. */
static bool
delivered(struct relay *relay, const struct flow *last, const struct flow *back)
{
	int queued;

	if (!last->ended || pending(last))
		return false;
	if (!last->to->tcp || finished(back, last))
		return true;
	queued = send_queue(last->to->fd[OUT]);
	if (queued < relay->queued)
		relay->progress = relay->now;
	relay->queued = queued;
	if (relay->recheck < LONGEST_RECHECK)
		relay->recheck = relay->recheck == 0 ? 1 : relay->recheck * 2;
	return queued == 0;
}

/* Whether the relay is over, and how. */
static bool
over(struct relay *relay, enum reason *end)
{
	bool local = relay->local.reset, remote = relay->remote.reset;

	*end = relay->failed ? REASON_ERROR : local || remote ? REASON_RESET : REASON_EOF;
	if (relay->failed || (local && remote))
		return true;
	if (local)
		return delivered(relay, &relay->up, &relay->down);
	if (remote)
		return delivered(relay, &relay->down, &relay->up);
	return relay->up.done && relay->down.done;
}

/* Frees large buffers after a pause. Returns when to look again. */
static int64_t
tidy(struct relay *relay, struct flow *flow)
{
	int64_t due = flow->used + PAUSE;

	if (flow->buffer == flow->first || pending(flow))
		return NET_FOREVER;
	if (relay->now < due)
		return due;
	give_back(flow);
	flow->filled = false;
	return NET_FOREVER;
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Waits until something can be done or the deadline, and does it: each direction once. */
static void
turn(struct relay *relay, int64_t deadline)
{
	struct pollfd entries[4];
	struct pollfd *local = entries, *remote = entries + 2;
	int ready;

	watch(&relay->local, &relay->up, &relay->down, local);
	watch(&relay->remote, &relay->down, &relay->up, remote);
	deadline = earlier(deadline, earlier(tidy(relay, &relay->up), tidy(relay, &relay->down)));
	if (relay->recheck > 0)
		deadline = earlier(deadline, relay->now + relay->recheck);
	/* After a reset nothing more can come. */
	if (relay->local.reset && wants_more(&relay->up))
		deadline = relay->now;
	ready = poll(entries, 4, net_timeout_at(relay->now, deadline));
	relay->now = net_now();
	if (ready < 0) {
		relay->failed = errno != EINTR;
		return;
	}
	note_errors(relay, &relay->local, &relay->down, local);
	note_errors(relay, &relay->remote, &relay->up, remote);
	serve(relay, &relay->up, local[IN].revents, remote[IN].revents);
	serve(relay, &relay->down, remote[IN].revents, local[relay->local.one ? IN : OUT].revents);
}

static enum reason
run(struct relay *relay, unsigned idle)
{
	enum reason end;

	while (!over(relay, &end)) {
		int64_t deadline = idle == 0 ? NET_FOREVER : relay->progress + (int64_t)idle * 1000;
		if (net_stopped())
			return REASON_SIGNAL;
		if (relay->now >= deadline)
			return relay->local.reset || relay->remote.reset ? REASON_RESET
									 : REASON_IDLE;
		turn(relay, deadline);
	}
	return end;
}

static void
open_side(struct side *side, const struct standard_file *in, const struct standard_file *out)
{
	*side = (struct side){ .fd = { in->fd, out->fd } };
	side->socket[IN] = in->socket;
	side->socket[OUT] = out->socket;
	side->one = in->socket && standard_same(in, out);
	side->tcp = out->tcp;
	side->armed[IN] = in->tcp && !side->one;
	side->armed[OUT] = out->tcp;
}

static void
close_side(struct side *side, bool orderly)
{
	for (int which = IN; which <= OUT; which++)
		if (orderly && side->armed[which])
			set_linger(side->fd[which], false);
	if (side->fd[OUT] == side->fd[IN])
		side->fd[OUT] = -1;
	close_one(side, IN);
	close_one(side, OUT);
}

static void
open_flow(struct flow *flow, struct side *from, struct side *to, unsigned char *room, size_t size)
{
	*flow = (struct flow){ .from = from, .to = to, .rest = LARGEST };
	flow->first = flow->buffer = room;
	flow->first_size = flow->size = size;
}

/* True if a side is closed without a reset: after a clean end, and if both its directions had ended
 * before the other side was reset, since its send queue may not be empty yet. */
static bool
orderly(enum reason end, bool open)
{
	return end == REASON_EOF || (end == REASON_RESET && !open);
}

/* The relay itself; counts what it delivers. */
static enum reason
carry(const struct relay_job *job, struct log_totals *totals, bool *untold)
{
	const struct standard_file *in = &job->standard[IN], *out = &job->standard[OUT];
	const struct standard_file far = {
		.fd = job->remote, .open = true, .socket = true, .tcp = job->remote_tcp
	};
	unsigned char first[RELAY_ROOM];
	struct relay relay = { .now = job->now, .progress = job->now };
	bool local_open, remote_open;
	enum reason end;

	standard_unblock(in, out);
	open_side(&relay.local, in, out);
	open_side(&relay.remote, &far, &far);
	open_flow(&relay.up, &relay.local, &relay.remote, job->room, job->size);
	open_flow(&relay.down, &relay.remote, &relay.local, first, sizeof first);
	relay.up.end = job->early;
	if (job->early > 0)
		give(&relay, &relay.up);
	end = run(&relay, job->idle);
	totals->up = relay.up.count;
	totals->down = relay.down.count;
	totals->ms = relay.now - job->start;
	local_open = !finished(&relay.up, &relay.down);
	remote_open = !finished(&relay.down, &relay.up);
	*untold = (local_open && !relay.local.reset && !relay.local.tcp) ||
	    (remote_open && !relay.remote.reset && !relay.remote.tcp);
	close_side(&relay.local, orderly(end, local_open));
	close_side(&relay.remote, orderly(end, remote_open));
	give_back(&relay.up);
	give_back(&relay.down);
	return end;
}

enum reason
relay_run(const struct relay_job *job, bool *untold)
{
	struct log_totals totals;
	enum reason end;

	log_ready(job->record);
	job->record->no_sandbox = !sandbox_enter(job->standard);
	log_open(job->record);
	end = carry(job, &totals, untold);
	log_close(job->record, &totals, end);
	return end;
}
