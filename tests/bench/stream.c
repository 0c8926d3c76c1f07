#define NAME "load"
#include "tests/net.h"
#include "stream.h"

/* The period is prime, so that a block lost, doubled or swapped by a relay, whose buffers are
 * powers of two, shifts the pattern; any offset finds a whole chunk in one piece, so comparing is
 * one memcmp() and sending needs no copy. */
enum { PERIOD = 65521, CHUNK = 1 << 18, DOWN_OFFSET = 30011 };

static unsigned char pattern[PERIOD + CHUNK];
static unsigned char arrived[CHUNK];

void
stream_die(const char *message)
{
	fprintf(stderr, "load: %s\n", message);
	exit(1);
}

void
stream_init(void)
{
	uint32_t state = 2463534242U;
	size_t i;

	for (i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		pattern[i] = (unsigned char)(state >> 24);
	}
	for (; i < sizeof pattern; i++)
		pattern[i] = pattern[i - PERIOD];
}

static const unsigned char *
pattern_at(enum stream_direction direction, uint64_t offset)
{
	return pattern + (offset + (direction == STREAM_DOWN ? DOWN_OFFSET : 0)) % PERIOD;
}

static size_t
chunk_of(uint64_t left)
{
	return left < CHUNK ? (size_t)left : (size_t)CHUNK;
}

void
stream_put(int fd, const void *bytes, size_t length)
{
	const unsigned char *from = bytes;

	while (length) {
		ssize_t n = send(fd, from, length, MSG_NOSIGNAL);
		net_must(n >= 0, "send");
		from += n;
		length -= (size_t)n;
	}
}

int
stream_get(int fd, void *bytes, size_t length)
{
	unsigned char *to = bytes;
	size_t have = 0;

	while (have < length) {
		ssize_t n = recv(fd, to + have, length - have, 0);
		net_must(n >= 0, "receive");
		if (n == 0 && have == 0)
			return -1;
		if (n == 0)
			stream_die("the stream ended in the middle of a message");
		have += (size_t)n;
	}
	return 0;
}

/* One attempt each; 0 means that nothing moved, which only flags with MSG_DONTWAIT allow. */
static size_t
send_some(int fd, enum stream_direction direction, uint64_t offset, uint64_t left, int flags)
{
	ssize_t n = send(fd, pattern_at(direction, offset), chunk_of(left), flags | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	net_must(n >= 0, "send");
	return (size_t)n;
}

static size_t
verify_some(int fd, enum stream_direction direction, uint64_t offset, uint64_t left, int flags)
{
	ssize_t n = recv(fd, arrived, chunk_of(left), flags);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	net_must(n >= 0, "receive");
	if (n == 0)
		stream_die("the stream ended early");
	if (memcmp(arrived, pattern_at(direction, offset), (size_t)n) != 0)
		stream_die("wrong bytes arrived");
	return (size_t)n;
}

void
stream_send(int fd, enum stream_direction direction, uint64_t length)
{
	uint64_t sent = 0;

	while (sent < length)
		sent += send_some(fd, direction, sent, length - sent, 0);
}

void
stream_verify(int fd, enum stream_direction direction, uint64_t length)
{
	uint64_t got = 0;

	while (got < length)
		got += verify_some(fd, direction, got, length - got, 0);
}

void
stream_duplex(int fd, enum stream_direction out, uint64_t length)
{
	enum stream_direction in = out == STREAM_UP ? STREAM_DOWN : STREAM_UP;
	uint64_t sent = 0, got = 0;

	while (sent < length || got < length) {
		struct pollfd p = { fd, 0, 0 };
		size_t moved = 0, n;

		if (sent < length) {
			n = send_some(fd, out, sent, length - sent, MSG_DONTWAIT);
			sent += n;
			moved += n;
		}
		if (got < length) {
			n = verify_some(fd, in, got, length - got, MSG_DONTWAIT);
			got += n;
			moved += n;
		}
		if (moved)
			continue;
		p.events = (short)((sent < length ? POLLOUT : 0) | (got < length ? POLLIN : 0));
		net_must(poll(&p, 1, -1) >= 0, "poll");
	}
}
