/*
 * peer: plays a script on connections: send this, expect that, and says which word went wrong.
 * tests/README.md has the words; the table at the end of this file names the function of each.
 */
#define NAME "peer"
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "tests/net.h"

enum { ENDPOINTS = 10, CHUNK = 262144, PATTERN = 65536 };

struct endpoint {
	int listener, in, out;	 /* -1: none */
	unsigned port;		 /* listening, captured or our own end's */
	struct net_address from; /* of bind, for the next connect */
	size_t chunk;		 /* pace */
	long pace;
	uint64_t filled;
};

struct pattern {
	unsigned char bytes[PATTERN], kind[PATTERN];
	size_t length;
};

/* kinds of a pattern's byte; 1 to 9: the first byte of a port to keep */
enum { EXACT = 0, ANY = 100 };

struct stream {
	struct endpoint *endpoint;
	bool sending;
	uint64_t done, total, seed;
	long pause; /* milliseconds, once, half way */
	int64_t not_before;
};

static struct endpoint endpoints[ENDPOINTS];
static struct {
	char **words, **program; /* program: NULL without a -- clause */
	const char *standard_error;
	bool on_standard_error, verbose;
	long limit; /* milliseconds a word */
} options = { .limit = 10000 };

static struct {
	pid_t pid; /* 0: none runs */
	bool seen; /* expect-exit has judged it */
} child;

/* the word that runs */
static int word_number;
static const char *word_text = "";
static struct endpoint *here;
static char **argument;
static int64_t deadline;

/* ---- failing, time, numbers ---- */

static void
fail(const char *format, ...)
{
	char text[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fprintf(stderr, "peer: word %d, %.60s: %s\n", word_number, word_text, text);
	if (child.pid > 0) {
		kill(child.pid, SIGKILL);
		waitpid(child.pid, NULL, 0);
	}
	exit(1);
}

static void
pause_for(long duration)
{
	struct timespec left = { duration / 1000, duration % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end == 'K' || *end == 'M')
		value *= *end++ == 'K' ? 1024 : 1048576;
	if (end == text || *end != '\0')
		fail("not a number: %s", text);
	return value;
}

static struct endpoint *
endpoint_numbered(const char *text)
{
	if (text[0] < '1' || text[0] > '9' || text[1] != '\0')
		fail("not an endpoint: %s", text);
	return &endpoints[text[0] - '0'];
}

/* Waits for the events until the word's deadline, or until `until` if that is sooner; false when
 * that has passed. */
static bool
ready_until(int fd, short events, int64_t until)
{
	struct pollfd entry = { .fd = fd, .events = events };

	if (fd < 0)
		fail("the endpoint is not connected or listening, or closed by now");
	for (;;) {
		int64_t left = (until < deadline ? until : deadline) - net_milliseconds();
		int found = poll(&entry, 1, left > 0 ? (int)left : 0);
		if (found > 0)
			return true;
		if (found == 0 && left <= 0)
			return false;
		if (found < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
	}
}

static bool
ready(int fd, short events)
{
	return ready_until(fd, events, INT64_MAX);
}

/* ---- bytes: generated, escaped, patterns ---- */

/* The bytes from that offset on of the random stream of a seed. */
static void
generate(unsigned char *into, size_t length, uint64_t seed, uint64_t offset)
{
	while (length > 0) {
		uint64_t eight = net_random((seed << 40) + offset / 8);
		size_t first = offset % 8, take = length < 8 - first ? length : 8 - first;
		memcpy(into, (unsigned char *)&eight + first, take);
		into += take;
		offset += take;
		length -= take;
	}
}

/* As text in quotes, at most 80 bytes of it. One buffer a call of two alternating, so that one
 * message may show two. */
static const char *
show(const unsigned char *bytes, size_t length)
{
	static char buffers[2][400];
	static int turn;
	char *text = buffers[turn ^= 1], *at = text;

	*at++ = '"';
	for (size_t i = 0; i < length && i < 80; i++)
		if (bytes[i] > 31 && bytes[i] < 127 && bytes[i] != '"' && bytes[i] != '\\')
			*at++ = (char)bytes[i];
		else
			at += sprintf(at, "\\x%02x", bytes[i]);
	sprintf(at, length > 80 ? "\"... (%zu bytes)" : "\"", length);
	return text;
}

static unsigned
port_of_socket(int fd, int (*end)(int, struct sockaddr *, socklen_t *))
{
	struct net_address address = net_end(fd, end);

	if (address.length == 0)
		fail("no such end: %s", strerror(errno));
	return net_port(&address);
}

static void
add_byte(struct pattern *pattern, unsigned value, unsigned kind)
{
	if (pattern->length == PATTERN)
		fail("more than %d bytes", PATTERN);
	pattern->kind[pattern->length] = (unsigned char)kind;
	pattern->bytes[pattern->length++] = (unsigned char)value;
}

static void
add_port(struct pattern *pattern, char letter, unsigned port)
{
	char digits[12];

	if (letter == 'p' || letter == 'P') {
		add_byte(pattern, port >> 8, EXACT);
		add_byte(pattern, port & 255, EXACT);
		return;
	}
	sprintf(digits, "%u", port);
	for (char *digit = digits; *digit; digit++)
		add_byte(pattern, (unsigned char)*digit, EXACT);
}

/* The escape after the backslash that `text` points at; returns what follows it. */
static const char *
add_escape(struct pattern *pattern, const char *text)
{
	static const char names[] = "nrt0\\\"", values[] = "\n\r\t\0\\\"";
	char letter = *++text, digits[3] = "";

	if (letter != '\0' && strchr(names, letter)) {
		add_byte(pattern, (unsigned char)values[strchr(names, letter) - names], EXACT);
		return text + 1;
	}
	if (letter == 'a') {
		for (int i = 0; i < 4; i++)
			add_byte(pattern, (unsigned char)"\x7f\0\0\1"[i], EXACT);
		return text + 1;
	}
	if (letter == '?') {
		add_byte(pattern, 0, ANY);
		return text + 1;
	}
	if (letter == 'x') {
		if (strspn(text + 1, "0123456789abcdefABCDEF") < 2)
			fail("\\x needs two digits: %s", text);
		memcpy(digits, text + 1, 2);
		add_byte(pattern, (unsigned)strtoul(digits, NULL, 16), EXACT);
		return text + 3;
	}
	if (letter == '\0' || !strchr("pdPDc", letter))
		fail("unknown escape: \\%s", text);
	struct endpoint *endpoint = endpoint_numbered((char[]){ text[1], '\0' });
	if (letter == 'c') {
		add_byte(pattern, 0, (unsigned)(text[1] - '0'));
		add_byte(pattern, 0, ANY);
	} else if (letter == 'p' || letter == 'd')
		add_port(pattern, letter, endpoint->port);
	else
		add_port(pattern, letter, port_of_socket(endpoint->in, getpeername));
	return text + 2;
}

static const struct pattern *
pattern(const char *text, bool to_send)
{
	static struct pattern result;

	result.length = 0;
	while (*text)
		if (*text == '\\')
			text = add_escape(&result, text);
		else
			add_byte(&result, (unsigned char)*text++, EXACT);
	for (size_t i = 0; to_send && i < result.length; i++)
		if (result.kind[i] != EXACT)
			fail("\\? and \\c are for expect only");
	return &result;
}

/* Whether the bytes are what the pattern has at that place; keeps the ports it asks for. */
static bool
matches(const struct pattern *expected, const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned kind = expected->kind[i];
		if (kind == EXACT && bytes[i] != expected->bytes[i])
			return false;
		if (kind > EXACT && kind < ENDPOINTS && i + 1 < length)
			endpoints[kind].port = (unsigned)bytes[i] << 8 | bytes[i + 1];
	}
	return true;
}

/* The text with @N replaced by the port of endpoint N, if it has one. */
static const char *
with_ports(const char *text, char *into, size_t size)
{
	size_t length = 0;

	while (*text && length + 6 < size)
		if (text[0] == '@' && text[1] >= '1' && text[1] <= '9' &&
		    endpoints[text[1] - '0'].port != 0) {
			length +=
			    (size_t)sprintf(into + length, "%u", endpoints[text[1] - '0'].port);
			text += 2;
		} else
			into[length++] = *text++;
	if (*text)
		fail("too long: %s", text);
	into[length] = '\0';
	return into;
}

/* ---- sockets ---- */

static int
ours(int fd)
{
	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		fail("no descriptor: %s", strerror(errno));
	return fd;
}

static struct net_address
parse_address(const char *text)
{
	struct net_address address = { .length = 0 };
	char copy[256], *host = copy, *port;

	with_ports(text, copy, sizeof copy);
	if (strncmp(copy, "unix:", 5) == 0) {
		address = net_local(copy + 5);
	} else if ((port = strrchr(copy, ':')) != NULL) {
		*port = '\0';
		if (*host == '[' && port[-1] == ']') {
			host++;
			port[-1] = '\0';
		}
		address = net_numeric(host, port + 1);
	}
	if (address.length == 0)
		fail("not an address: %s", text);
	return address;
}

static int
new_socket(int family)
{
	int on = 1, off = 0, fd = ours(socket(family, SOCK_STREAM, 0));

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	return fd;
}

static int
listening_socket(const char *text, int backlog)
{
	struct net_address address = parse_address(text);
	int fd = new_socket(address.of.any.sa_family);

	if (bind(fd, &address.of.any, address.length) < 0 || listen(fd, backlog) < 0)
		fail("cannot listen on %s: %s", text, strerror(errno));
	return fd;
}

/* Connects the endpoint; returns 0 or the error. */
static int
dial(struct endpoint *endpoint, struct net_address address)
{
	int error = 0, fd = new_socket(address.of.any.sa_family);
	socklen_t size = sizeof error;

	if (endpoint->from.length > 0 &&
	    bind(fd, &endpoint->from.of.any, endpoint->from.length) < 0)
		fail("bind: %s", strerror(errno));
	if (connect(fd, &address.of.any, address.length) < 0 && errno != EINPROGRESS)
		error = errno;
	else if (!ready(fd, POLLOUT))
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error != 0 && error != ECONNRESET) { /* a connection stood; reads find its end */
		close(fd);
		return error;
	}
	endpoint->in = endpoint->out = fd;
	endpoint->port = port_of_socket(fd, getsockname);
	return 0;
}

static int
accepted(int listener)
{
	int on = 1;

	if (!ready(listener, POLLIN))
		fail("nobody called");
	int fd = ours(accept(listener, NULL, NULL));
	/* refused on a Unix socket, which knows no such delay */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void
close_connection(struct endpoint *endpoint)
{
	/* What we read first: a program must not take the end of its input for all that has ended.
	 */
	if (endpoint->in >= 0)
		close(endpoint->in);
	if (endpoint->out >= 0 && endpoint->out != endpoint->in)
		close(endpoint->out);
	endpoint->in = endpoint->out = -1;
}

/* ---- moving bytes ---- */

/* What read() said when there was something to read; -2 when the deadline passed. */
static ssize_t
receive(struct endpoint *endpoint, void *into, size_t size, int64_t until)
{
	for (;;) {
		if (!ready_until(endpoint->in, POLLIN, until))
			return -2;
		ssize_t got = read(endpoint->in, into, size);
		if (got >= 0 || (errno != EAGAIN && errno != EINTR))
			return got;
	}
}

static const char *
outcome(ssize_t got, const unsigned char *bytes)
{
	if (got > 0)
		return show(bytes, (size_t)got);
	if (got == -2)
		return "nothing in time";
	if (got == 0)
		return "end of input";
	return errno == ECONNRESET ? "a reset" : strerror(errno);
}

static void
send_all(struct endpoint *endpoint, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		if (!ready(endpoint->out, POLLOUT))
			fail("%zu bytes not taken in time", length);
		ssize_t sent = write(endpoint->out, at, length);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			fail("cannot send: %s", strerror(errno));
		if (sent > 0) {
			at += sent;
			length -= (size_t)sent;
		}
	}
}

static void
send_some(struct stream *stream, unsigned char *buffer, size_t size)
{
	generate(buffer, size, stream->seed, stream->done);
	ssize_t sent = write(stream->endpoint->out, buffer, size);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		fail("cannot send after %ju of %ju bytes: %s", (uintmax_t)stream->done,
		    (uintmax_t)stream->total, strerror(errno));
	if (sent > 0)
		stream->done += (uint64_t)sent;
}

static void
verify_some(struct stream *stream, unsigned char *buffer, size_t size)
{
	static unsigned char expected[CHUNK];
	size_t same = 0;

	ssize_t got = read(stream->endpoint->in, buffer, size);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		fail("expected %ju random bytes, got %s after %ju", (uintmax_t)stream->total,
		    outcome(got, buffer), (uintmax_t)stream->done);
	generate(expected, (size_t)got, stream->seed, stream->done);
	if (memcmp(buffer, expected, (size_t)got) != 0) {
		while (buffer[same] == expected[same])
			same++;
		size_t remaining = (size_t)got - same;
		fail("wrong byte at %ju of %ju: %s instead of %s", (uintmax_t)(stream->done + same),
		    (uintmax_t)stream->total, show(buffer + same, remaining < 8 ? remaining : 8),
		    show(expected + same, remaining < 8 ? remaining : 8));
	}
	stream->done += (uint64_t)got;
	if (stream->pause > 0 && stream->done >= stream->total / 2) {
		stream->not_before = net_milliseconds() + stream->pause;
		stream->pause = 0;
	} else if (stream->endpoint->chunk > 0)
		stream->not_before = net_milliseconds() + stream->endpoint->pace;
}

static void
step(struct stream *stream)
{
	static unsigned char buffer[CHUNK];
	size_t size = sizeof buffer;

	if (!stream->sending && stream->endpoint->chunk > 0 && stream->endpoint->chunk < size)
		size = stream->endpoint->chunk;
	if (stream->total - stream->done < size)
		size = (size_t)(stream->total - stream->done);
	if (stream->sending)
		send_some(stream, buffer, size);
	else
		verify_some(stream, buffer, size);
}

static struct stream
sending(struct endpoint *endpoint, const char *count, const char *seed)
{
	return (struct stream){
		.endpoint = endpoint, .sending = true, .total = number(count), .seed = number(seed)
	};
}

static struct stream
checking(struct endpoint *endpoint, const char *count, const char *seed, const char *pause)
{
	return (struct stream){ .endpoint = endpoint,
		.total = number(count),
		.seed = number(seed),
		.pause = (long)number(pause) };
}

/* Runs up to four streams side by side until all are through. */
static void
transfer(struct stream *streams, size_t count)
{
	struct pollfd entries[4];

	for (;;) {
		int64_t now = net_milliseconds(), wake = deadline;
		struct stream *behind = NULL;
		for (size_t i = 0; i < count; i++) {
			struct stream *stream = &streams[i];
			int fd = stream->sending ? stream->endpoint->out : stream->endpoint->in;
			entries[i] = (struct pollfd){ .fd = -1,
				.events = stream->sending ? POLLOUT : POLLIN };
			if (stream->done == stream->total)
				continue;
			behind = stream;
			if (fd < 0)
				fail("the endpoint is not connected, or closed by now");
			if (stream->not_before <= now)
				entries[i].fd = fd;
			else if (stream->not_before < wake)
				wake = stream->not_before;
		}
		if (!behind)
			return;
		if (now >= deadline)
			fail("%s stands at %ju of %ju bytes",
			    behind->sending ? "sending" : "receiving", (uintmax_t)behind->done,
			    (uintmax_t)behind->total);
		poll(entries, count, wake > now ? (int)(wake - now) : 0);
		for (size_t i = 0; i < count; i++)
			if (entries[i].fd >= 0 && entries[i].revents != 0)
				step(&streams[i]);
	}
}

/* Reads to the end of input, at the endpoint's pace; returns how much there was, written to file if
 * there is one. */
static uintmax_t
read_all(struct endpoint *endpoint, FILE *file)
{
	static unsigned char buffer[CHUNK];
	size_t size = endpoint->chunk > 0 && endpoint->chunk < CHUNK ? endpoint->chunk : CHUNK;
	uintmax_t total = 0;
	ssize_t got;

	while ((got = receive(endpoint, buffer, size, INT64_MAX)) > 0) {
		total += (uintmax_t)got;
		if (file && fwrite(buffer, 1, (size_t)got, file) != (size_t)got)
			fail("cannot write: %s", strerror(errno));
		if (endpoint->chunk > 0)
			pause_for(endpoint->pace);
	}
	if (got < 0)
		fail("expected end of input, got %s after %ju bytes", outcome(got, buffer), total);
	return total;
}

/* ---- words: connections ---- */

static void
word_listen(void)
{
	here->listener = listening_socket(argument[0], 128);
	here->port = port_of_socket(here->listener, getsockname);
	if (strncmp(argument[0], "unix:", 5) == 0)
		puts(argument[0] + 5);
	else
		printf("%u\n", here->port);
}

/* A backlog of none holds one caller; once it is there the kernel drops all other SYNs. */
static void
word_listen_deaf(void)
{
	struct endpoint first = { 0 };

	here->listener = listening_socket(argument[0], 0);
	here->port = port_of_socket(here->listener, getsockname);
	if (dial(&first, net_end(here->listener, getsockname)) != 0)
		fail("the first caller got no connection");
	printf("%u\n", here->port);
}

static void
word_accept(void)
{
	close_connection(here);
	here->in = here->out = accepted(here->listener);
}

static void
word_close_listener(void)
{
	close(here->listener);
	here->listener = -1;
}

static void
word_expect_no_caller(void)
{
	if (ready_until(here->listener, POLLIN, net_milliseconds() + (int64_t)number(argument[0])))
		fail("somebody called");
}

static void
word_bind(void)
{
	here->from = parse_address(argument[0]);
}

static void
word_connect(void)
{
	int error = dial(here, parse_address(argument[0]));

	if (error != 0)
		fail("%s", strerror(error));
}

static void
word_expect_refused(void)
{
	struct endpoint trial = *here;
	int error = dial(&trial, parse_address(argument[0]));

	if (error != ECONNREFUSED)
		fail("expected a refusal, got %s", error ? strerror(error) : "a connection");
}

static void
word_use_fds(void)
{
	/* copies, so that closing the two ends of the endpoint closes them whatever the numbers */
	int in = (int)number(argument[0]), out = (int)number(argument[1]);

	here->in = ours(dup(in));
	here->out = ours(dup(out));
	close(in);
	if (out != in)
		close(out);
	here->port = 0;
}

/* ---- words: the program ---- */

/* A socket that no launcher hands over, with nobody at its other end; -1 if that is no kind of it.
 */
static int
odd_socket(const char *kind)
{
	const struct net_address any = net_loopback(0), discard = net_loopback(9);
	int fd;

	if (strcmp(kind, "listening") == 0)
		return net_listener(&any, 1);
	if (strcmp(kind, "unconnected") == 0)
		return net_bound(&any, SOCK_STREAM);
	if (strcmp(kind, "datagram") != 0)
		return -1;
	fd = net_bound(&any, SOCK_DGRAM);
	return connect(fd, &discard.of.any, discard.length) == 0 ? fd : -1;
}

/* Makes a channel of the kind: ours and the program's end. For a pipe, `to_program` tells its
 * direction. */
static int
channel(struct endpoint *endpoint, const char *kind, bool to_program, int *theirs)
{
	struct endpoint end = *endpoint;
	char text[256];
	int pair[2];

	if (strcmp(kind, "pipe") == 0 || strcmp(kind, "unix") == 0) {
		if ((kind[0] == 'p' ? pipe(pair) : socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) < 0)
			fail("%s: %s", kind, strerror(errno));
		*theirs = pair[!to_program];
		fcntl(*theirs, F_SETFD, FD_CLOEXEC);
		return ours(pair[to_program]);
	}
	*theirs = odd_socket(kind);
	if (*theirs >= 0)
		return -1;
	if (strncmp(kind, "tcp", 3) != 0 || (kind[3] != '\0' && kind[3] != '='))
		fail("not a kind of channel: %s", kind);
	snprintf(text, sizeof text, "%s:0", kind[3] ? kind + 4 : "127.0.0.1");
	int listener = listening_socket(text, 1);
	if (dial(&end, net_end(listener, getsockname)) != 0)
		fail("cannot connect to %s", text);
	*theirs = accepted(listener);
	fcntl(*theirs, F_SETFL, fcntl(*theirs, F_GETFL) & ~O_NONBLOCK);
	close(listener);
	endpoint->port = end.port;
	return end.in;
}

/* A standard error that is full, and whose other end is open here, where nobody reads it. */
static int
deaf(const char *kind)
{
	static const char bytes[1024];
	int ends[2];

	if (strcmp(kind, "pipe") == 0 || strcmp(kind, "unix") == 0) {
		net_must(
		    (kind[0] == 'p' ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) == 0,
		    kind);
	} else {
		ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
		net_must(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0, kind);
		ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
	}
	net_must(fcntl(ends[1], F_SETFL, O_RDWR | O_NONBLOCK) == 0, kind);
	/* what a terminal has taken makes room again while it goes to the other end */
	while (poll(&(struct pollfd){ .fd = ends[1], .events = POLLOUT }, 1, 100) > 0)
		net_must(write(ends[1], bytes, sizeof bytes) >= 0 || errno == EAGAIN, kind);
	net_must(fcntl(ends[1], F_SETFL, O_RDWR) == 0, kind);
	return ends[1];
}

static const int by_default[] = { SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM };

static void
become_program(int in, int out, int error)
{

	for (char **text = options.program; *text; text++) {
		char *with = malloc(strlen(*text) + 64);
		if (!with)
			_exit(126);
		with_ports(*text, with, strlen(*text) + 64);
		*text = with;
	}
	if (options.standard_error && error == -1)
		error = open(options.standard_error, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (options.on_standard_error)
		error = out;
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (error >= 0 && dup2(error, 2) < 0))
		_exit(126);
	/* A shell has its background jobs ignore some, which would be inherited. */
	for (size_t i = 0; i < sizeof by_default / sizeof *by_default; i++)
		signal(by_default[i], SIG_DFL);
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	execvp(options.program[0], options.program);
	fprintf(stderr, "peer: %s: %s\n", options.program[0], strerror(errno));
	_exit(127);
}

static void
word_exec(void)
{
	int theirs_in, theirs_out, error = -1;
	bool same = strcmp(argument[1], "same") == 0;

	if (!options.program || child.pid != 0 || child.seen)
		fail(options.program ? "the program has been started before"
				     : "there is no program after a --");
	here->out = channel(here, argument[0], true, &theirs_in);
	theirs_out = theirs_in;
	here->in = same ? here->out : channel(here, argument[1], false, &theirs_out);
	if (options.standard_error && strncmp(options.standard_error, "deaf:", 5) == 0)
		error = deaf(options.standard_error + 5);
	fflush(stdout);
	child.pid = fork();
	if (child.pid < 0)
		fail("fork: %s", strerror(errno));
	if (child.pid == 0)
		become_program(theirs_in, theirs_out, error);
	close(theirs_in);
	if (!same)
		close(theirs_out);
}

/* Waits for the program, which must end with that status (128 + n: signal n). */
static void
await_exit(int expected)
{
	pid_t ended;
	int status;

	if (child.pid <= 0)
		fail("no program runs");
	while ((ended = waitpid(child.pid, &status, WNOHANG)) == 0) {
		if (net_milliseconds() >= deadline)
			fail("the program still runs, expected its exit with %d", expected);
		pause_for(2);
	}
	child.pid = 0;
	child.seen = true;
	status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (ended < 0 || status != expected)
		fail("the program ended with %d, expected %d", status, expected);
}

static void
word_expect_exit(void)
{
	await_exit((int)number(argument[0]));
}

static void
word_kill(void)
{
	static const char names[][5] = { "TERM", "KILL", "INT", "HUP", "STOP", "CONT", "QUIT",
		"USR1", "USR2" };
	static const int numbers[] = { SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGSTOP, SIGCONT, SIGQUIT,
		SIGUSR1, SIGUSR2 };
	int signal_number = -1;

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (strcmp(argument[0], names[i]) == 0)
			signal_number = numbers[i];
	if (signal_number < 0)
		signal_number = (int)number(argument[0]);
	if (child.pid <= 0 || kill(child.pid, signal_number) < 0)
		fail("no program to signal");
}

/* ---- words: sending ---- */

static void
word_send(void)
{
	const struct pattern *bytes = pattern(argument[0], true);

	send_all(here, bytes->bytes, bytes->length);
}

static void
word_trickle(void)
{
	const struct pattern *bytes = pattern(argument[1], true);

	for (size_t i = 0; i < bytes->length; i++) {
		send_all(here, bytes->bytes + i, 1);
		pause_for((long)number(argument[0]));
	}
}

static void
word_sendfile(void)
{
	static unsigned char buffer[CHUNK];
	FILE *file = fopen(argument[0], "r");
	size_t got;

	if (!file)
		fail("%s", strerror(errno));
	while ((got = fread(buffer, 1, sizeof buffer, file)) > 0)
		send_all(here, buffer, got);
	if (ferror(file))
		fail("%s", strerror(errno));
	fclose(file);
}

static void
word_urgent(void)
{
	const struct pattern *bytes = pattern(argument[0], true);

	if (send(here->out, bytes->bytes, bytes->length, MSG_OOB) != (ssize_t)bytes->length)
		fail("%s", strerror(errno));
}

static void
word_fill(void)
{
	struct stream stream = sending(here, "0", argument[0]);

	stream.total = UINT64_MAX;

	while (ready_until(here->out, POLLOUT, net_milliseconds() + (int64_t)number(argument[1])))
		step(&stream);
	if (net_milliseconds() >= deadline)
		fail("never full, %ju bytes", (uintmax_t)stream.done);
	here->filled = stream.done;
	printf("%ju\n", (uintmax_t)stream.done);
}

static void
word_shutdown(void)
{
	if (shutdown(here->out, SHUT_WR) == 0)
		return;
	if (errno != ENOTSOCK || here->out == here->in)
		fail("%s", strerror(errno));
	close(here->out);
	here->out = -1;
}

static void
word_close(void)
{
	close_connection(here);
}

static void
word_reset(void)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (setsockopt(here->out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
		fail("%s", strerror(errno));
	close_connection(here);
}

/* ---- words: receiving ---- */

static void
word_expect(void)
{
	static unsigned char bytes[PATTERN];
	const struct pattern *expected = pattern(argument[0], false);
	size_t had = 0;

	while (had < expected->length) {
		ssize_t got = receive(here, bytes + had, expected->length - had, INT64_MAX);
		if (got <= 0)
			fail("expected %zu bytes, got %s after %s", expected->length,
			    outcome(got, bytes), show(bytes, had));
		had += (size_t)got;
		if (!matches(expected, bytes, had))
			fail("expected %s, got %s", show(expected->bytes, expected->length),
			    show(bytes, had));
	}
}

static void
word_expect_end(void)
{
	unsigned char bytes[64];
	ssize_t got = receive(here, bytes, sizeof bytes, INT64_MAX);
	bool end = got == 0 && strstr(argument[0], "end");
	bool reset = got == -1 && errno == ECONNRESET && strstr(argument[0], "reset");

	if (!end && !reset)
		fail("expected %s, got %s", argument[0], outcome(got, bytes));
}

static void
word_expect_silence(void)
{
	unsigned char bytes[64];
	ssize_t got =
	    receive(here, bytes, sizeof bytes, net_milliseconds() + (int64_t)number(argument[0]));

	if (got != -2)
		fail("expected silence, got %s", outcome(got, bytes));
}

static void
word_skip(void)
{
	static unsigned char buffer[CHUNK];
	uint64_t left = number(argument[0]);

	while (left > 0) {
		ssize_t got = receive(here, buffer, left < CHUNK ? (size_t)left : CHUNK, INT64_MAX);
		if (got <= 0)
			fail("expected %ju more bytes, got %s", (uintmax_t)left,
			    outcome(got, buffer));
		left -= (uint64_t)got;
	}
}

static void
word_read_to(void)
{
	FILE *file = fopen(argument[0], "w");

	if (!file)
		fail("%s", strerror(errno));
	read_all(here, file);
	if (fclose(file) != 0)
		fail("%s", strerror(errno));
}

static void
word_discard(void)
{
	printf("%ju\n", read_all(here, NULL));
}

static void
word_pace(void)
{
	here->chunk = (size_t)number(argument[0]);
	here->pace = (long)number(argument[1]);
}

/* ---- words: random bytes, one way and both ---- */

static void
word_send_random(void)
{
	transfer((struct stream[]){ sending(here, argument[0], argument[1]) }, 1);
}

static void
word_expect_random(void)
{
	transfer((struct stream[]){ checking(here, argument[0], argument[1], "0") }, 1);
}

static void
word_expect_filled(void)
{
	struct stream stream = checking(here, "0", argument[1], "0");

	stream.total = endpoint_numbered(argument[0])->filled;
	if (stream.total == 0)
		fail("endpoint %s has filled nothing", argument[0]);
	transfer(&stream, 1);
}

static void
word_pump(void)
{
	struct endpoint *from = endpoint_numbered(argument[0]),
			*to = endpoint_numbered(argument[1]);
	struct stream streams[2] = { sending(from, argument[2], argument[3]),
		checking(to, argument[2], argument[3], "0") };

	transfer(streams, 2);
}

static void
word_duplex(void)
{
	struct stream streams[2] = { sending(here, argument[0], argument[1]),
		checking(here, argument[0], argument[2], argument[3]) };

	transfer(streams, 2);
}

static void
word_pump_duplex(void)
{
	struct endpoint *a = endpoint_numbered(argument[0]), *b = endpoint_numbered(argument[1]);
	char *count = argument[2], *seed_a = argument[3], *seed_b = argument[4],
	     *pause = argument[5];
	struct stream streams[4] = { sending(a, count, seed_a), checking(b, count, seed_a, pause),
		sending(b, count, seed_b), checking(a, count, seed_b, pause) };

	transfer(streams, 4);
}

/* ---- words: the rest ---- */

static void
word_pause(void)
{
	pause_for((long)number(argument[0]));
}

static void
word_touch(void)
{
	FILE *file = fopen(argument[0], "a");

	if (!file || fclose(file) != 0)
		fail("%s", strerror(errno));
}

static void
word_wait_file(void)
{
	while (access(argument[0], F_OK) < 0) {
		if (net_milliseconds() >= deadline)
			fail("%s has not appeared", argument[0]);
		pause_for(5);
	}
}

static void
word_print(void)
{
	const struct pattern *bytes = pattern(argument[0], true);

	fwrite(bytes->bytes, 1, bytes->length, stdout);
}

static void
word_local(void)
{
	struct net_address address = net_end(here->in, getsockname);
	char host[64], port[8];

	if (getnameinfo(&address.of.any, address.length, host, sizeof host, port, sizeof port,
		NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		fail("the endpoint has no address");
	printf(address.of.any.sa_family == AF_INET6 ? "[%s]:%s\n" : "%s:%s\n", host, port);
}

static struct word {
	const char *name;
	int arguments;
	void (*run)(void);
	char *given[2]; /* arguments that come with the word itself */
} words[] = {
	{ "accept", 0, .run = word_accept },
	{ "bind", 1, .run = word_bind },
	{ "close", 0, .run = word_close },
	{ "close-listener", 0, .run = word_close_listener },
	{ "connect", 1, .run = word_connect },
	{ "discard", 0, .run = word_discard },
	{ "duplex", 4, .run = word_duplex },
	{ "exec", 2, .run = word_exec },
	{ "exec-pipes", 0, .run = word_exec, .given = { "pipe", "pipe" } },
	{ "exec-tcp", 0, .run = word_exec, .given = { "tcp", "same" } },
	{ "exec-unix", 0, .run = word_exec, .given = { "unix", "same" } },
	{ "expect", 1, .run = word_expect },
	{ "expect-closed", 0, .run = word_expect_end, .given = { "end of input or a reset" } },
	{ "expect-eof", 0, .run = word_expect_end, .given = { "end of input" } },
	{ "expect-exit", 1, .run = word_expect_exit },
	{ "expect-filled", 2, .run = word_expect_filled },
	{ "expect-no-caller", 1, .run = word_expect_no_caller },
	{ "expect-random", 2, .run = word_expect_random },
	{ "expect-refused", 1, .run = word_expect_refused },
	{ "expect-reset", 0, .run = word_expect_end, .given = { "a reset" } },
	{ "expect-silence", 1, .run = word_expect_silence },
	{ "fill", 2, .run = word_fill },
	{ "kill", 1, .run = word_kill },
	{ "listen", 1, .run = word_listen },
	{ "listen-deaf", 1, .run = word_listen_deaf },
	{ "local", 0, .run = word_local },
	{ "pace", 2, .run = word_pace },
	{ "pause", 1, .run = word_pause },
	{ "print", 1, .run = word_print },
	{ "pump", 4, .run = word_pump },
	{ "pump-duplex", 6, .run = word_pump_duplex },
	{ "read-to", 1, .run = word_read_to },
	{ "reset", 0, .run = word_reset },
	{ "send", 1, .run = word_send },
	{ "send-random", 2, .run = word_send_random },
	{ "sendfile", 1, .run = word_sendfile },
	{ "shutdown", 0, .run = word_shutdown },
	{ "skip", 1, .run = word_skip },
	{ "touch", 1, .run = word_touch },
	{ "trickle", 2, .run = word_trickle },
	{ "urgent", 1, .run = word_urgent },
	{ "use-fds", 2, .run = word_use_fds },
	{ "wait-file", 1, .run = word_wait_file },
};

static struct word *
find_word(const char *name)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	fail("no such word");
	return NULL;
}

/* Runs the word and returns the one after its arguments. */
static char **
run_word(char **at)
{
	char *name = *at;

	word_number++;
	word_text = name;
	here = &endpoints[1];
	if (name[0] >= '1' && name[0] <= '9' && name[1] == ':') {
		here = &endpoints[name[0] - '0'];
		name += 2;
	}
	struct word *word = find_word(name);
	for (int i = 1; i <= word->arguments; i++)
		if (!at[i])
			fail("needs %d arguments", word->arguments);
	argument = word->given[0] ? word->given : at + 1;
	if (options.verbose)
		fprintf(stderr, "peer: %s %s\n", *at, word->arguments ? at[1] : "");
	deadline = net_milliseconds() + options.limit;
	word->run();
	fflush(stdout);
	return at + 1 + word->arguments;
}

static void
end_script(void)
{
	word_number++;
	word_text = "end";
	deadline = net_milliseconds() + options.limit;
	for (int i = 0; i < ENDPOINTS; i++)
		close_connection(&endpoints[i]);
	if (child.pid > 0)
		await_exit(0);
	if (options.program && !child.seen)
		fail("the program after the -- was never started");
}

static void
parse_options(int argc, char **argv)
{
	const char *limit = NULL, *slow = getenv("SLOW"); /* valgrind's program, say */
	const struct net_option letters[] = { { '2', .text = &options.standard_error },
		{ 'e', .flag = &options.on_standard_error }, { 't', .text = &limit },
		{ 'v', .flag = &options.verbose }, { 0 } };

	for (int i = 1; i < argc && !options.program; i++)
		if (strcmp(argv[i], "--") == 0) {
			options.program = argv + i + 1;
			argv[i] = NULL;
			argc = i;
		}
	options.words = net_options(argc, argv, letters, 1,
	    "peer [-ev] [-2 file] [-t seconds] word ... [-- program [argument ...]]");
	if (slow && strtol(slow, NULL, 10) > 0)
		options.limit *= strtol(slow, NULL, 10);
	if (limit)
		options.limit = (long)(strtod(limit, NULL) * 1000);
}

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < ENDPOINTS; i++)
		endpoints[i].listener = endpoints[i].in = endpoints[i].out = -1;
	parse_options(argc, argv);
	for (char **at = options.words; *at;)
		at = run_word(at);
	end_script();
	return 0;
}
