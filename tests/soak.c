/*
 * soak: runs sessions of every kind against a gateway, many at once, and says how many of which
 * kind there were and how many failed. Each worker is the client and the destination of its
 * sessions. tests/README.md has the options, tests/soak the gateway that it expects.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECT = 1, BIND = 2, GRANTED = 90, PATIENCE = 30000, CHUNK = 65536, LARGE = 262144 };

static const char here[] = "127.0.0.1", nowhere[] = "0.0.0.0", by_name[] = "0.0.0.1";

struct session {
	int client, server; /* -1: none */
	int listener;	    /* of the worker, as are the two ports */
	unsigned port, closed_port;
	unsigned bound; /* port of the last reply */
	uint64_t seed;
	const char *source; /* address of the client */
	char step[160];	    /* what failed */
};

static struct {
	unsigned port;
	unsigned long sessions, workers, seed;
} options = { .sessions = 100, .workers = 8, .seed = 1 };

/* Keeps the first reason of a failure; always false. */
static bool
failed(struct session *s, const char *format, ...)
{
	va_list arguments;

	if (s->step[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(s->step, sizeof s->step, format, arguments);
		va_end(arguments);
	}
	return false;
}

/* ---- sockets ---- */

static struct sockaddr_in
address(const char *text, unsigned port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	inet_pton(AF_INET, text, &result.sin_addr);
	return result;
}

static int
new_socket(const char *source, unsigned port)
{
	const struct timeval limit = { .tv_sec = PATIENCE / 1000 };
	struct sockaddr_in local = address(source, port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
		return -1;
	/* A port chosen at bind(2) would be kept from all other destinations. */
	if ((port != 0 || strcmp(source, here) != 0) &&
	    bind(fd, (struct sockaddr *)&local, sizeof local) < 0)
		return -1;
	return fd;
}

static unsigned
port_of(int fd)
{
	struct sockaddr_in local = { .sin_port = 0 };
	socklen_t length = sizeof local;

	getsockname(fd, (struct sockaddr *)&local, &length);
	return ntohs(local.sin_port);
}

static int
listening(unsigned port, bool deaf)
{
	struct sockaddr_in local = address(here, port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, (struct sockaddr *)&local, sizeof local) < 0 ||
	    (!deaf && listen(fd, 128) < 0)) {
		perror("soak: listener");
		exit(1);
	}
	return fd;
}

static bool
dial(struct session *s, int *fd, const char *source, unsigned port)
{
	struct sockaddr_in to = address(here, port);

	*fd = new_socket(source, 0);
	if (*fd < 0 || connect(*fd, (struct sockaddr *)&to, sizeof to) < 0)
		return failed(s, "connecting to port %u: %s", port, strerror(errno));
	return true;
}

static bool
accept_server(struct session *s)
{
	struct pollfd entry = { .fd = s->listener, .events = POLLIN };
	const struct timeval limit = { .tv_sec = PATIENCE / 1000 };

	if (poll(&entry, 1, PATIENCE) <= 0)
		return failed(s, "the destination saw no connection");
	s->server = accept(s->listener, NULL, NULL);
	if (s->server < 0)
		return failed(s, "accept: %s", strerror(errno));
	setsockopt(s->server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(s->server, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	return true;
}

static void
end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool
reset(struct session *s, int *fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
		return failed(s, "no linger: %s", strerror(errno));
	end(fd);
	return true;
}

static bool
finish(struct session *s, int fd)
{
	return shutdown(fd, SHUT_WR) == 0 || failed(s, "shutdown: %s", strerror(errno));
}

/* ---- bytes ---- */

static bool
put(struct session *s, int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
		if (sent < 0)
			return failed(s, "cannot send: %s", strerror(errno));
		at += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool
get(struct session *s, int fd, void *into, size_t length)
{
	ssize_t got = recv(fd, into, length, MSG_WAITALL);

	if (got != (ssize_t)length)
		return failed(s, "%zd of %zu bytes came: %s", got, length,
		    got < 0 ? strerror(errno) : "end of input");
	return true;
}

static uint64_t
mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15u;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

/* The bytes from that offset on, a multiple of eight, of the stream of a seed. */
static void
generate(unsigned char *into, size_t length, uint64_t seed, uint64_t offset)
{
	for (size_t i = 0; i < length; i += 8) {
		uint64_t eight = mix(seed + (offset + i) / 8);
		memcpy(into + i, &eight, length - i < 8 ? length - i : 8);
	}
}

/* Up to a chunk from one end to the other. */
static bool
carry(struct session *s, int from, int to, size_t length, uint64_t seed)
{
	static unsigned char sent[CHUNK], came[CHUNK];

	generate(sent, length, seed, 0);
	if (!put(s, from, sent, length) || !get(s, to, came, length))
		return false;
	return memcmp(sent, came, length) == 0 || failed(s, "wrong bytes in %zu", length);
}

struct stream {
	int from, to;
	uint64_t seed;
	size_t sent, came, total;
};

static bool
send_some(struct session *s, struct stream *stream)
{
	static unsigned char bytes[CHUNK + 8];
	size_t skip = stream->sent % 8, length = stream->total - stream->sent;

	if (length > CHUNK)
		length = CHUNK;
	generate(bytes, skip + length, stream->seed, stream->sent - skip);
	ssize_t sent = send(stream->from, bytes + skip, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		return failed(s, "sending stands at %zu: %s", stream->sent, strerror(errno));
	stream->sent += sent > 0 ? (size_t)sent : 0;
	return true;
}

static bool
check_some(struct session *s, struct stream *stream)
{
	static unsigned char expected[CHUNK + 8], came[CHUNK];
	size_t skip = stream->came % 8;

	ssize_t got = recv(stream->to, came, sizeof came, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0 || stream->came + (size_t)got > stream->total)
		return failed(s, "receiving stands at %zu of %zu: %zd, %s", stream->came,
		    stream->total, got, got < 0 ? strerror(errno) : "not what was sent");
	generate(expected, skip + (size_t)got, stream->seed, stream->came - skip);
	if (memcmp(came, expected + skip, (size_t)got) != 0)
		return failed(s, "wrong bytes behind %zu", stream->came);
	stream->came += (size_t)got;
	return true;
}

/* Both directions at once. */
static bool
exchange(struct session *s, size_t up, size_t down)
{
	struct stream streams[] = { { s->client, s->server, s->seed, 0, 0, up },
		{ s->server, s->client, ~s->seed, 0, 0, down } };

	while (streams[0].came < up || streams[1].came < down) {
		struct pollfd entries[4];
		for (int i = 0; i < 2; i++) {
			struct stream *stream = &streams[i];
			entries[2 * i] =
			    (struct pollfd){ .fd = stream->sent < stream->total ? stream->from : -1,
				    .events = POLLOUT };
			entries[2 * i + 1] =
			    (struct pollfd){ .fd = stream->came < stream->total ? stream->to : -1,
				    .events = POLLIN };
		}
		if (poll(entries, 4, PATIENCE) <= 0)
			return failed(s, "stuck at %zu of %zu up, %zu of %zu down", streams[0].came,
			    up, streams[1].came, down);
		for (int i = 0; i < 2; i++) {
			if (entries[2 * i].revents != 0 && !send_some(s, &streams[i]))
				return false;
			if (entries[2 * i + 1].revents != 0 && !check_some(s, &streams[i]))
				return false;
		}
	}
	return true;
}

static bool
expect_end(struct session *s, int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	return got == 0 || failed(s, "no end of input: %s", got < 0 ? strerror(errno) : "a byte");
}

static bool
expect_reset(struct session *s, int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	if (got < 0 && errno == ECONNRESET)
		return true;
	return failed(s, "no reset: %s", got < 0 ? strerror(errno) : got > 0 ? "a byte" : "an end");
}

/* ---- SOCKS ---- */

struct request {
	unsigned char bytes[2048];
	size_t length;
};

static struct request
request(int command, unsigned port, const char *dstip, const char *userid, const char *name)
{
	struct request r = { .bytes = { 4, (unsigned char)command, (unsigned char)(port >> 8),
				 (unsigned char)port } };

	inet_pton(AF_INET, dstip, r.bytes + 4);
	r.length = 8;
	memcpy(r.bytes + r.length, userid, strlen(userid) + 1);
	r.length += strlen(userid) + 1;
	if (name) {
		memcpy(r.bytes + r.length, name, strlen(name) + 1);
		r.length += strlen(name) + 1;
	}
	return r;
}

static bool
ask(struct session *s, struct request r)
{
	return dial(s, &s->client, s->source, options.port) && put(s, s->client, r.bytes, r.length);
}

static bool
expect_reply(struct session *s, int code)
{
	unsigned char reply[8];

	if (!get(s, s->client, reply, sizeof reply))
		return false;
	s->bound = (unsigned)reply[2] << 8 | reply[3];
	if (reply[0] != 0 || reply[1] != code)
		return failed(s, "reply %d instead of %d", reply[1], code);
	return true;
}

static bool
refused(struct session *s, struct request r, int code)
{
	return ask(s, r) && expect_reply(s, code) && expect_end(s, s->client);
}

static bool
connected_by(struct session *s, struct request r)
{
	return ask(s, r) && expect_reply(s, GRANTED) && accept_server(s);
}

static bool
connected(struct session *s)
{
	return connected_by(s, request(CONNECT, s->port, here, "alice", NULL));
}

static size_t
some(struct session *s, size_t most)
{
	return 1 + (size_t)(mix(s->seed) % most);
}

/* Some bytes each way, then the client ends first. */
static bool
client_ends(struct session *s)
{
	return carry(s, s->client, s->server, some(s, 700), s->seed) &&
	    carry(s, s->server, s->client, some(s, 3000), ~s->seed) && finish(s, s->client) &&
	    expect_end(s, s->server) && finish(s, s->server) && expect_end(s, s->client);
}

/* ---- kinds of session ---- */

static bool
connect_small(struct session *s)
{
	return connected(s) && client_ends(s);
}

static bool
connect_large(struct session *s)
{
	return connected(s) && exchange(s, some(s, LARGE), LARGE) && finish(s, s->server) &&
	    expect_end(s, s->client) && finish(s, s->client) && expect_end(s, s->server);
}

static bool
connect_up(struct session *s)
{
	return connected(s) && exchange(s, LARGE, 0) && finish(s, s->client) &&
	    expect_end(s, s->server) && finish(s, s->server) && expect_end(s, s->client);
}

/* The request ends the client's sending: all comes down behind its end of input. */
static bool
client_half_closes(struct session *s)
{
	return connected(s) && finish(s, s->client) && expect_end(s, s->server) &&
	    exchange(s, 0, some(s, LARGE)) && finish(s, s->server) && expect_end(s, s->client);
}

static bool
server_half_closes(struct session *s)
{
	return connected(s) && carry(s, s->server, s->client, some(s, 4000), s->seed) &&
	    finish(s, s->server) && expect_end(s, s->client) && exchange(s, some(s, LARGE), 0) &&
	    finish(s, s->client) && expect_end(s, s->server);
}

static bool
client_resets(struct session *s)
{
	return connected(s) && carry(s, s->client, s->server, some(s, 700), s->seed) &&
	    reset(s, &s->client) && expect_reset(s, s->server);
}

static bool
server_resets(struct session *s)
{
	return connected(s) && carry(s, s->client, s->server, some(s, 700), s->seed) &&
	    reset(s, &s->server) && expect_reset(s, s->client);
}

/* What was sent before a reset arrives before it. */
static bool
server_resets_behind_data(struct session *s)
{
	unsigned char sent[2000], came[sizeof sent];

	generate(sent, sizeof sent, s->seed, 0);
	if (!connected(s) || !put(s, s->server, sent, sizeof sent) || !reset(s, &s->server) ||
	    !get(s, s->client, came, sizeof came) || !expect_reset(s, s->client))
		return false;
	return memcmp(sent, came, sizeof sent) == 0 || failed(s, "wrong bytes before a reset");
}

static bool
early_bytes(struct session *s)
{
	struct request r = request(CONNECT, s->port, here, "alice", NULL);
	unsigned char came[1500], *early = r.bytes + r.length;
	size_t length = some(s, sizeof came);

	generate(early, length, s->seed, 0);
	r.length += length;
	if (!connected_by(s, r) || !get(s, s->server, came, length))
		return false;
	if (memcmp(came, early, length) != 0)
		return failed(s, "wrong early bytes");
	return client_ends(s);
}

static bool
trickled(struct session *s)
{
	struct request r = request(CONNECT, s->port, by_name, "alice", "here.test");

	if (!dial(s, &s->client, here, options.port))
		return false;
	for (size_t i = 0; i < r.length; i++)
		if (!put(s, s->client, r.bytes + i, 1))
			return false;
	return expect_reply(s, GRANTED) && accept_server(s) && client_ends(s);
}

static bool
name_in_hosts(struct session *s)
{
	return connected_by(s, request(CONNECT, s->port, by_name, "alice", "here.test")) &&
	    client_ends(s);
}

static bool
name_in_dns(struct session *s)
{
	return connected_by(s, request(CONNECT, s->port, by_name, "", "far.test")) &&
	    client_ends(s);
}

/* One of its two addresses is denied. */
static bool
name_with_denied(struct session *s)
{
	return connected_by(s, request(CONNECT, s->port, by_name, "", "two.test")) &&
	    client_ends(s);
}

static bool
name_denied(struct session *s)
{
	return refused(s, request(CONNECT, s->port, by_name, "", "inside.test"), 91);
}

static bool
name_unknown(struct session *s)
{
	return refused(s, request(CONNECT, s->port, by_name, "", "nowhere.test"), 91);
}

static bool
name_bad(struct session *s)
{
	return refused(s, request(CONNECT, s->port, by_name, "", ""), 91);
}

static bool
denied(struct session *s)
{
	return refused(s, request(CONNECT, s->port, "127.0.0.66", "alice", NULL), 91);
}

static bool
connect_refused(struct session *s)
{
	return refused(s, request(CONNECT, s->closed_port, here, "alice", NULL), 91);
}

static bool
bad_address(struct session *s)
{
	return refused(s, request(CONNECT, s->port, nowhere, "alice", NULL), 91);
}

static bool
bad_port(struct session *s)
{
	return refused(s, request(CONNECT, 0, here, "alice", NULL), 91);
}

static bool
bad_command(struct session *s)
{
	return refused(s, request(3, s->port, here, "alice", NULL), 91);
}

static bool
bad_version(struct session *s)
{
	struct request r = request(CONNECT, s->port, here, "alice", NULL);

	r.bytes[0] = 'G';
	return refused(s, r, 91);
}

static bool
socks5(struct session *s)
{
	struct request r = { .bytes = { 5, 1, 0 }, .length = 3 };
	unsigned char came[2];

	if (!ask(s, r) || !get(s, s->client, came, sizeof came) || !expect_end(s, s->client))
		return false;
	return (came[0] == 5 && came[1] == 255) || failed(s, "not 05 FF");
}

static bool
too_long(struct session *s)
{
	char userid[301] = "";

	memset(userid, 'a', sizeof userid - 1);
	return refused(s, request(CONNECT, s->port, here, userid, NULL), 91);
}

static bool
short_request(struct session *s)
{
	struct request r = request(CONNECT, s->port, here, "alice", NULL);

	r.length = 1 + (size_t)(s->seed % (r.length - 1));
	return ask(s, r) && finish(s, s->client) && expect_reply(s, 91) && expect_end(s, s->client);
}

static bool
identified(struct session *s)
{
	return connected_by(s, request(CONNECT, s->port, here, "known", NULL)) && client_ends(s);
}

static bool
ident_mismatch(struct session *s)
{
	return refused(s, request(CONNECT, s->port, here, "feigned", NULL), 93);
}

/* Nobody answers on port 113 of this source. */
static bool
ident_none(struct session *s)
{
	s->source = "127.0.0.3";
	return refused(s, request(CONNECT, s->port, here, "known", NULL), 92);
}

static bool
bind_for(struct session *s, const char *dstip, const char *caller)
{
	return ask(s, request(BIND, s->port, dstip, "alice", NULL)) && expect_reply(s, GRANTED) &&
	    dial(s, &s->server, caller, s->bound);
}

static bool
bound(struct session *s)
{
	return bind_for(s, here, here) && expect_reply(s, GRANTED) && client_ends(s);
}

static bool
bound_large(struct session *s)
{
	return bind_for(s, here, here) && expect_reply(s, GRANTED) &&
	    exchange(s, some(s, LARGE), some(s, LARGE)) && finish(s, s->server) &&
	    expect_end(s, s->client) && finish(s, s->client) && expect_end(s, s->server);
}

static bool
bound_for_any(struct session *s)
{
	return bind_for(s, nowhere, "127.0.0.9") && expect_reply(s, GRANTED) && client_ends(s);
}

static bool
bound_early(struct session *s)
{
	unsigned char sent[900], came[sizeof sent];

	generate(sent, sizeof sent, s->seed, 0);
	if (!ask(s, request(BIND, s->port, here, "alice", NULL)) || !expect_reply(s, GRANTED) ||
	    !put(s, s->client, sent, sizeof sent) || !dial(s, &s->server, here, s->bound) ||
	    !expect_reply(s, GRANTED) || !get(s, s->server, came, sizeof came))
		return false;
	if (memcmp(sent, came, sizeof sent) != 0)
		return failed(s, "wrong early bytes");
	return client_ends(s);
}

static bool
wrong_caller(struct session *s)
{
	return bind_for(s, here, "127.0.0.9") && expect_reply(s, 91) && expect_end(s, s->client);
}

/* Its listener goes at once; that none is left is seen at the end of all. */
static bool
binder_leaves(struct session *s)
{
	return ask(s, request(BIND, s->port, here, "alice", NULL)) && expect_reply(s, GRANTED);
}

static const struct kind {
	const char *name;
	bool (*run)(struct session *);
} kinds[] = {
	{ "connect-small", connect_small },
	{ "connect-large", connect_large },
	{ "connect-up", connect_up },
	{ "client-half-closes", client_half_closes },
	{ "server-half-closes", server_half_closes },
	{ "client-resets", client_resets },
	{ "server-resets", server_resets },
	{ "server-resets-behind-data", server_resets_behind_data },
	{ "early-bytes", early_bytes },
	{ "trickled", trickled },
	{ "name-in-hosts", name_in_hosts },
	{ "name-in-dns", name_in_dns },
	{ "name-with-denied", name_with_denied },
	{ "name-denied", name_denied },
	{ "name-unknown", name_unknown },
	{ "name-bad", name_bad },
	{ "denied", denied },
	{ "connect-refused", connect_refused },
	{ "bad-address", bad_address },
	{ "bad-port", bad_port },
	{ "bad-command", bad_command },
	{ "bad-version", bad_version },
	{ "socks5", socks5 },
	{ "too-long", too_long },
	{ "short-request", short_request },
	{ "identified", identified },
	{ "ident-mismatch", ident_mismatch },
	{ "ident-none", ident_none },
	{ "bound", bound },
	{ "bound-large", bound_large },
	{ "bound-for-any", bound_for_any },
	{ "bound-early", bound_early },
	{ "wrong-caller", wrong_caller },
	{ "binder-leaves", binder_leaves },
};

enum { KINDS = sizeof kinds / sizeof *kinds };

/* Shared by all workers, who each have a row. */
struct tally {
	unsigned long run[KINDS], failures[KINDS];
};

static void
work(unsigned long worker, struct tally *tally)
{
	int listener = listening(0, false), closed = listening(0, true);
	struct session s;

	for (unsigned long n = worker; n < options.sessions; n += options.workers) {
		/* by chance, so that each kind meets all others */
		size_t kind = (size_t)(mix(mix(options.seed) + n) % KINDS);
		s = (struct session){ .client = -1,
			.server = -1,
			.listener = listener,
			.port = port_of(listener),
			.closed_port = port_of(closed),
			.seed = mix(options.seed << 32 ^ n),
			.source = here };
		tally->run[kind]++;
		if (!kinds[kind].run(&s)) {
			tally->failures[kind]++;
			fprintf(stderr, "soak: session %lu, %s: %s\n", n, kinds[kind].name, s.step);
			/* what still comes belongs to no later session */
			close(listener);
			listener = listening(0, false);
		}
		end(&s.client);
		end(&s.server);
	}
}

/* Says "known" of everybody who comes from 127.0.0.1. */
static void
answer_ident(int listener)
{
	for (;;) {
		char text[128];
		ssize_t length;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		length = recv(fd, text, sizeof text - 40, 0);
		if (length > 2) {
			strcpy(text + length - 2, " : USERID : UNIX : known\r\n");
			send(fd, text, strlen(text), MSG_NOSIGNAL);
		}
		close(fd);
	}
}

static pid_t
start_identd(void)
{
	int listener = listening(113, false);
	pid_t pid = fork();

	if (pid == 0)
		answer_ident(listener);
	close(listener);
	return pid;
}

static unsigned long
report(const struct tally *tallies)
{
	unsigned long run, failures, all = 0, all_failures = 0;

	for (size_t kind = 0; kind < KINDS; kind++) {
		run = failures = 0;
		for (unsigned long worker = 0; worker < options.workers; worker++) {
			run += tallies[worker].run[kind];
			failures += tallies[worker].failures[kind];
		}
		printf("%7lu %4lu %s\n", run, failures, kinds[kind].name);
		all += run;
		all_failures += failures;
	}
	printf("%7lu %4lu in all\n", all, all_failures);
	/* a worker that died has left sessions out */
	return all_failures + (options.sessions - all);
}

static void
parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "j:n:s:")) != -1)
		switch (option) {
		case 'j':
			options.workers = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			options.sessions = strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.seed = strtoul(optarg, NULL, 10);
			break;
		default:
			argc = 0;
		}
	if (argc - optind != 1 || options.workers == 0) {
		fputs("usage: soak [-j workers] [-n sessions] [-s seed] port\n", stderr);
		exit(2);
	}
	options.port = (unsigned)strtoul(argv[optind], NULL, 10);
}

int
main(int argc, char **argv)
{
	parse_options(argc, argv);
	struct tally *tallies = mmap(NULL, options.workers * sizeof *tallies,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED) {
		perror("soak");
		return 1;
	}
	pid_t identd = start_identd();
	for (unsigned long worker = 0; worker < options.workers; worker++)
		if (fork() == 0) {
			work(worker, &tallies[worker]);
			_exit(0);
		}
	for (unsigned long worker = 0; worker < options.workers; worker++)
		wait(NULL);
	kill(identd, SIGKILL);
	wait(NULL);
	return report(tallies) > 0;
}
