/*
 * trial: one session of the program, whose both ends it plays, and a verdict: whether it ended in a
 * way that the contract knows, whatever went wrong on the way. tests/README.md has the words.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UP = 20000, DOWN = 30000, EARLY = 10, REPLY = 8, MOST = 65536 };
enum { GRANTED = 90, REJECTED = 91, IDENT_MISMATCH = 93 };
enum end { OPEN, ENDED, RESET };

/* One end of the session, as we play it. */
struct end_point {
	int in, out; /* -1: not there, or over */
	enum end end;
	unsigned char got[MOST];
	size_t got_length;
	const unsigned char *send;
	size_t sent, to_send; /* so much of it may go now */
	size_t all;	      /* then comes the end of output; 0: not yet known */
};

static struct end_point near,
    far; /* SOCKS client and destination; with -c: application and proxy */
static unsigned char up[UP + 512], down[DOWN + REPLY];
static size_t head; /* bytes before the payload in what the far end gets (-c: the request) */
static int listener = -1, log_pipe;
static char log_text[16384];
static size_t log_length;
static pid_t program;
static bool binding, client, pipes;
static bool may_lose_line, may_lose_reply, may_not_begin, may_seem_gone;
static const char *name = "session"; /* of the trial */
static char description[1024] = "nothing happened yet";

static const struct {
	const char *reason;
	int code, exit_status;
} refusals[] = {
	{ "denied", 91, 0 },
	{ "resolve-failed", 91, 0 },
	{ "resolve-timeout", 91, 0 },
	{ "request-timeout", 91, 0 },
	{ "connect-refused", 91, 0 },
	{ "connect-unreachable", 91, 0 },
	{ "connect-timeout", 91, 0 },
	{ "connect-failed", 91, 0 },
	{ "bind-failed", 91, 0 },
	{ "bind-timeout", 91, 0 },
	{ "bind-wrong-caller", 91, 0 },
	{ "client-left", 91, 0 },
	{ "ident-none", 92, 0 },
	{ "ident-mismatch", 93, 0 },
	{ "broken-list", 91, 2 },
	{ "system", 91, 1 },
};

static void
fail(const char *format, ...)
{
	va_list arguments;

	printf("%s: WRONG: ", name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("; %s; near: %zu bytes, end %d; far: %zu bytes, end %d; log:\n%s\n", description,
	    near.got_length, (int)near.end, far.got_length, (int)far.end, log_text);
	if (program > 0)
		kill(-program, SIGKILL);
	exit(1);
}

static int64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void
must(bool good, const char *what)
{
	if (!good) {
		perror(what);
		exit(2);
	}
}

static int
listen_on_loopback(unsigned *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd != -1 && bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, 5) == 0,
	    "listen");
	must(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
	*port = ntohs(address.sin_port);
	return fd;
}

static int
connect_to(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	must(fd != -1, "socket");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)port);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
attach(struct end_point *point, int in, int out)
{
	must(fcntl(in, F_SETFL, O_NONBLOCK) == 0 && fcntl(out, F_SETFL, O_NONBLOCK) == 0, "fcntl");
	point->in = in;
	point->out = out;
}

/* What the program gets as fd 0 and 1. */
static void
open_near(int ends[2])
{
	int in[2], out[2], calls;
	unsigned port;

	if (pipes) {
		must(pipe(in) == 0 && pipe(out) == 0, "pipe");
		attach(&near, out[0], in[1]);
		ends[0] = in[0];
		ends[1] = out[1];
		return;
	}
	calls = listen_on_loopback(&port);
	in[0] = connect_to(port);
	must(in[0] != -1, "connect");
	attach(&near, in[0], in[0]);
	ends[0] = ends[1] = accept(calls, NULL, NULL);
	must(ends[0] != -1, "accept");
	close(calls);
}

static void
start(char **command, int ends[2])
{
	int log_ends[2];

	must(pipe(log_ends) == 0, "pipe");
	log_pipe = log_ends[0];
	program = fork();
	must(program != -1, "fork");
	if (program == 0) {
		setpgid(0, 0);
		if (dup2(ends[0], 0) == -1 || dup2(ends[1], 1) == -1 || dup2(log_ends[1], 2) == -1)
			_exit(126);
		for (int fd = 3; fd < 32; fd++)
			close(fd);
		execvp(command[0], command);
		_exit(127);
	}
	(void)setpgid(program, program);
	close(ends[0]);
	if (ends[1] != ends[0])
		close(ends[1]);
	close(log_ends[1]);
	must(fcntl(log_pipe, F_SETFL, O_NONBLOCK) == 0, "fcntl");
}

static void
broken(struct end_point *point, int error)
{
	if (error != ECONNRESET && error != EPIPE)
		fail("unexpected error here: %s", strerror(error));
	if (error == EPIPE && pipes)
		return;
	point->end = RESET;
}

static void
end_output(struct end_point *point)
{
	if (point->out == -1)
		return;
	if (point->out != point->in)
		close(point->out);
	else
		(void)shutdown(point->out, SHUT_WR);
	point->out = -1;
}

static void
send_more(struct end_point *point)
{
	ssize_t count;

	if (point->out != -1 && point->sent < point->to_send && point->end != RESET) {
		count = write(point->out, point->send + point->sent, point->to_send - point->sent);
		if (count > 0) {
			point->sent += (size_t)count;
		} else if (errno != EAGAIN) {
			broken(point, errno);
			end_output(point);
		}
	}
	if (point->all != 0 && point->sent == point->all)
		end_output(point);
}

static void
read_more(struct end_point *point)
{
	ssize_t count;

	while (point->in != -1 && point->end == OPEN) {
		if (point->got_length == MOST)
			fail("more bytes than were sent");
		count = read(point->in, point->got + point->got_length, MOST - point->got_length);
		if (count == -1 && errno == EAGAIN)
			return;
		if (count == -1)
			broken(point, errno);
		else if (count == 0)
			point->end = ENDED;
		else
			point->got_length += (size_t)count;
	}
}

static void
read_log(bool *over)
{
	ssize_t count;

	while (log_length < sizeof log_text - 1) {
		count = read(log_pipe, log_text + log_length, sizeof log_text - 1 - log_length);
		if (count <= 0) {
			*over = count == 0;
			return;
		}
		log_length += (size_t)count;
	}
}

static void
let_send(struct end_point *point, size_t count)
{
	if (point->to_send < count)
		point->to_send = point->all = count;
}

static void
meet(int fd)
{
	attach(&far, fd, fd);
	if (!client)
		let_send(&far, DOWN);
}

/* The SOCKS client: it sends the rest once it is let, or goes when it is not. */
static void
play_client(size_t request)
{
	size_t answers = binding ? 2 : 1, i;

	for (i = 0; i < answers && near.got_length >= (i + 1) * REPLY; i++) {
		const unsigned char *reply = near.got + i * REPLY;

		if (reply[1] != GRANTED) {
			if (near.end != OPEN)
				end_output(&near);
			return;
		}
		if (i + 1 == answers) {
			let_send(&near, request + UP);
		} else if (far.in == -1 && far.end == OPEN) {
			int fd = connect_to((unsigned)reply[2] << 8 | reply[3]);

			if (fd == -1)
				far.end = RESET;
			else
				meet(fd);
		}
	}
}

/* The proxy of a client under test; its request has no NUL but at its end and in the port and
 * address: 203.0.113.5 port 4660. */
static void
play_proxy(void)
{
	const unsigned char *nul =
	    far.got_length > REPLY ? memchr(far.got + REPLY, 0, far.got_length - REPLY) : NULL;

	if (nul == NULL)
		return;
	head = (size_t)(nul - far.got) + 1;
	let_send(&far, REPLY + DOWN);
}

static int
play(size_t request, int64_t deadline)
{
	bool over = false;
	int status;

	while (!over) {
		struct pollfd polled[] = {
			{ .fd = log_pipe, .events = POLLIN },
			{ .fd = listener, .events = POLLIN },
			{ .fd = near.end == OPEN ? near.in : -1, .events = POLLIN },
			{ .fd = far.end == OPEN ? far.in : -1, .events = POLLIN },
			{ .fd = near.sent < near.to_send ? near.out : -1, .events = POLLOUT },
			{ .fd = far.sent < far.to_send ? far.out : -1, .events = POLLOUT },
		};

		if (poll(polled, 6, 1000) == -1)
			fail("poll");
		if (now() > deadline)
			fail("it hangs");
		read_log(&over);
		if (polled[1].revents != 0 && far.in == -1) {
			meet(accept(listener, NULL, NULL));
			close(listener);
			listener = -1;
		}
		read_more(&near);
		read_more(&far);
		if (client)
			play_proxy();
		else
			play_client(request);
		send_more(&near);
		send_more(&far);
	}
	must(waitpid(program, &status, 0) == program, "waitpid");
	program = 0;
	return status;
}

/* The program is gone, so both ends are there by now, or nearly so. */
static void
see_end(struct end_point *point)
{
	struct pollfd polled = { .fd = point->in, .events = POLLIN };

	while (point->in != -1 && point->end == OPEN) {
		if (poll(&polled, 1, 1000) != 1)
			fail("an end that nobody closed");
		read_more(point);
	}
}

/* How much of the payload has come; it must be its beginning. */
static size_t
payload(const struct end_point *point, size_t skip, const unsigned char *sent, size_t most)
{
	size_t count = point->got_length > skip ? point->got_length - skip : 0;

	if (count > most || memcmp(point->got + (count > 0 ? skip : 0), sent, count) != 0)
		fail("bytes that were not sent so");
	return count;
}

/* How many lines begin so; the last one's reason is copied. */
static int
lines(const char *word, char reason[64])
{
	const char *line, *found, *end;
	int count = 0;

	for (line = log_text; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		if (end == NULL)
			fail("a line without an end");
		if (strncmp(line, word, strlen(word)) != 0)
			continue;
		count++;
		found = strstr(line, " reason=");
		if (found != NULL && found < end)
			snprintf(reason, 64, "%.*s", (int)(end - found - 8), found + 8);
	}
	return count;
}

static void
judge_refusal(const unsigned char *reply, int status)
{
	static const unsigned char zeros[6];
	char reason[64] = "?";
	size_t i, there = (size_t)(near.got + near.got_length - reply);
	int count = lines("refuse ", reason);

	if (reply[0] != 0 || reply[1] < REJECTED || reply[1] > IDENT_MISMATCH || there != REPLY ||
	    memcmp(reply + 2, zeros, 6) != 0)
		fail("no refusal and no grant");
	if (near.end != ENDED)
		fail("the refusal may get lost");
	if (far.got_length != 0)
		fail("refused, and bytes went through");
	if (lines("open ", NULL) != 0 || lines("close ", reason) != 0)
		fail("refused, and yet open");
	if (count != 1) {
		if (!may_lose_line || status > 2)
			fail("refused, without a line that says why");
		printf("%s: refused, unsaid\n", name);
		return;
	}
	for (i = 0; i < sizeof refusals / sizeof *refusals; i++)
		if (strcmp(reason, refusals[i].reason) == 0)
			break;
	if (i == sizeof refusals / sizeof *refusals || reply[1] != refusals[i].code ||
	    status != refusals[i].exit_status)
		fail("%s with code %d", reason, reply[1]);
	printf("%s: refused %s\n", name, reason);
}

static void
judge_relay(size_t skip, int status)
{
	char reason[64] = "?";
	size_t sent_down = payload(&near, skip, down, DOWN), sent_up = payload(&far, 0, up, UP);
	bool full = sent_down == DOWN && sent_up == UP;
	bool clean = near.end == ENDED && far.end == ENDED;
	bool told = lines("close ", reason) == 1;

	if (near.end == ENDED && sent_down < DOWN && !(pipes && (status == 1 || may_seem_gone)))
		fail("the near end was told a clean end too early");
	if (far.end == ENDED && sent_up < UP)
		fail("the far end was told a clean end too early");
	if ((lines("open ", NULL) != 1 || !told) && !may_lose_line)
		fail("a line is missing");
	if (lines("refuse ", reason) != 0)
		fail("relayed, and yet refused");
	if (!told) {
		printf("%s: granted, unsaid%s\n", name, full ? "" : ", cut");
		return;
	}
	if (strcmp(reason, "eof") == 0) {
		if (!full || !clean || status != 0)
			fail("an end that was called clean");
	} else if (strcmp(reason, "error") == 0) {
		if (status != 1)
			fail("an error with status 0");
	} else if (strcmp(reason, "reset") != 0 || (status != 0 && !pipes)) {
		fail("reason %s", reason);
	}
	printf("%s: granted, %s%s\n", name, reason, full ? "" : ", cut");
}

/* A reply is not there. */
static void
judge_silence(size_t length, int status)
{
	char reason[64] = "?";

	if (length == 0 && may_not_begin && (status == 1 || status == 2) && log_length == 0)
		printf("%s: not begun\n", name);
	else if (length == 0 && may_lose_reply && lines("refuse ", reason) == 1)
		printf("%s: refused %s, reply lost\n", name, reason);
	else
		fail("a reply is missing");
}

static void
judge_server(int status)
{
	size_t i, answers = binding ? 2 : 1;

	for (i = 0; i < answers; i++) {
		if (near.got_length < (i + 1) * REPLY) {
			judge_silence(near.got_length - i * REPLY, status);
			return;
		}
		if (near.got[i * REPLY] != 0 || near.got[i * REPLY + 1] != GRANTED) {
			judge_refusal(near.got + i * REPLY, status);
			return;
		}
	}
	judge_relay(answers * REPLY, status);
}

static void
judge_client(int status)
{
	bool full = payload(&near, 0, down + REPLY, DOWN) == DOWN &&
	    payload(&far, head, up, UP) == UP && near.end == ENDED && far.end == ENDED;
	size_t sent_up = payload(&far, head, up, UP);

	if (far.end == ENDED && head > 0 && sent_up > 0 && sent_up < UP)
		fail("the proxy was told a clean end too early");
	if (status == 0 && !full)
		fail("success, and bytes are missing");
	if (may_not_begin && (status == 1 || status == 2) && log_length == 0) {
		printf("%s: not begun\n", name);
		return;
	}
	if (status != 0 && status != 1)
		fail("status %d", status);
	if (status == 1 && strstr(log_text, "socks4-stdio: ") == NULL &&
	    strstr(log_text, " reason=reset") == NULL && !may_lose_line)
		fail("failed without a word");
	printf("%s: %s\n", name, status == 0 ? "served" : full ? "failed, complete" : "failed");
}

static size_t
make_request(const char *kind, unsigned port)
{
	bool named = strcmp(kind, "name") == 0;
	size_t length = 8;

	up[0] = 4;
	up[1] = binding ? 2 : 1;
	up[2] = (unsigned char)(port >> 8);
	up[3] = (unsigned char)port;
	memcpy(up + 4, named ? "\0\0\0\1" : "\x7f\0\0\1", 4);
	length += (size_t)sprintf((char *)up + length, "me") + 1;
	if (named)
		length += (size_t)sprintf((char *)up + length, "trial.test") + 1;
	return length;
}

/* "@" in an argument becomes the port. */
static void
fill_in(char **command, unsigned port)
{
	static char filled[64];
	const char *at;

	for (; *command != NULL; command++) {
		at = strstr(*command, ":@");
		if (at == NULL)
			continue;
		snprintf(filled, sizeof filled, "%.*s:%u", (int)(at - *command), *command, port);
		*command = filled;
	}
}

int
main(int argc, char **argv)
{
	static unsigned char stream[UP + 512];
	const char *kind;
	int ends[2], status, option;
	unsigned port;
	size_t request = 0, i;
	long limit = 5000;

	while ((option = getopt(argc, argv, "+bgln:rt:")) != -1) {
		if (option == 'b')
			may_not_begin = true;
		else if (option == 'g')
			may_seem_gone = true;
		else if (option == 'l')
			may_lose_line = true;
		else if (option == 'r')
			may_lose_reply = true;
		else if (option == 'n')
			name = optarg;
		else if (option == 't')
			limit = strtol(optarg, NULL, 10) * 1000;
		else
			return 2;
	}
	if (argc - optind < 2) {
		fprintf(stderr,
		    "usage: trial [-bglr] [-n name] [-t seconds] "
		    "connect|name|bind|pipes|silent|client program [argument ...]\n");
		return 2;
	}
	kind = argv[optind];
	binding = strcmp(kind, "bind") == 0;
	client = strcmp(kind, "client") == 0;
	may_lose_line = may_lose_line || strcmp(kind, "silent") == 0;
	pipes = client || strcmp(kind, "pipes") == 0;
	signal(SIGPIPE, SIG_IGN);
	near.in = near.out = far.in = far.out = -1;
	listener = listen_on_loopback(&port);
	if (!client)
		request = make_request(kind, port);
	memcpy(stream, up, request);
	for (i = 0; i < UP; i++)
		stream[request + i] = up[i] = (unsigned char)(i * 7 + i / 256);
	if (client)
		memcpy(down, "\0\x5a\0\0\0\0\0\0", REPLY);
	for (i = 0; i < DOWN; i++)
		down[i + (client ? REPLY : 0)] = (unsigned char)(i * 11 + i / 256);
	near.send = stream;
	far.send = down;
	open_near(ends);
	fill_in(argv + optind + 1, port);
	if (client)
		let_send(&near, UP);
	else
		near.to_send = request + EARLY;
	start(argv + optind + 1, ends);
	status = play(request, now() + limit);
	see_end(&near);
	see_end(&far);
	if (!WIFEXITED(status)) {
		snprintf(description, sizeof description, "signal %d", WTERMSIG(status));
		fail("it was killed");
	}
	status = WEXITSTATUS(status);
	snprintf(description, sizeof description, "status %d", status);
	if (client)
		judge_client(status);
	else
		judge_server(status);
	return 0;
}
