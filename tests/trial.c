/*
 * trial: one session of the program, whose both ends it plays, and a verdict: whether it ended in a
 * way that the contract knows, whatever went wrong on the way. tests/README.md has the words.
 */
#define NAME "trial"
#include <stdarg.h>
#include <sys/wait.h>

#include "tests/ends.h"

enum { UP = 20000, DOWN = 30000, EARLY = 10, REPLY = 8 };
enum { GRANTED = 90, REJECTED = 91, IDENT_MISMATCH = 93 };

/* SOCKS client and destination; with -c: application and proxy. What each sends stands in `sent`
 * from the start. */
static struct player {
	struct end end;
	size_t to_send; /* so much of it may go now */
	size_t all;	/* then comes the end of output; 0: not yet known */
} near, far;
static unsigned char up[UP], down[DOWN]; /* the payload */
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
	    near.end.got_length, near.end.ended + near.end.was_reset, far.end.got_length,
	    far.end.ended + far.end.was_reset, log_text);
	if (program > 0)
		kill(-program, SIGKILL);
	exit(1);
}

/* What the program gets as fd 0 and 1. */
static void
open_near(int ends[2])
{
	int in[2], out[2];

	if (!pipes) {
		ends[0] = ends[1] = end_connected(&near.end);
		return;
	}
	net_must(pipe(in) == 0 && pipe(out) == 0, "pipe");
	end_attach(&near.end, out[0], in[1]);
	ends[0] = in[0];
	ends[1] = out[1];
}

static void
start(char **command, int ends[2])
{
	int log_ends[2];

	net_must(pipe(log_ends) == 0, "pipe");
	log_pipe = log_ends[0];
	program = fork();
	net_must(program != -1, "fork");
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
	net_must(fcntl(log_pipe, F_SETFL, O_NONBLOCK) == 0, "fcntl");
}

static void
take(struct end *end)
{
	end_receive(end);
	if (end->got_length == END_ROOM)
		fail("more bytes than were sent");
}

static void
send_more(struct player *player)
{
	struct end *end = &player->end;
	ssize_t count;

	if (end->out != -1 && !end->shut && end->sent_length < player->to_send && !end->was_reset) {
		count = write(
		    end->out, end->sent + end->sent_length, player->to_send - end->sent_length);
		if (count > 0) {
			end->sent_length += (size_t)count;
		} else if (errno != EAGAIN) {
			if (errno != ECONNRESET && errno != EPIPE)
				fail("unexpected error here: %s", strerror(errno));
			if (errno != EPIPE || !pipes)
				end->ended = end->was_reset = true;
			end_output(end);
		}
	}
	if (player->all != 0 && end->sent_length == player->all)
		end_output(end);
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
let_send(struct player *player, size_t count)
{
	if (player->to_send < count)
		player->to_send = player->all = count;
}

static void
meet(int fd)
{
	end_attach(&far.end, fd, fd);
	if (!client)
		let_send(&far, DOWN);
}

/* The SOCKS client: it sends the rest once it is let, or goes when it is not. */
static void
play_client(size_t request)
{
	size_t answers = binding ? 2 : 1, i;

	for (i = 0; i < answers && near.end.got_length >= (i + 1) * REPLY; i++) {
		const unsigned char *reply = near.end.got + i * REPLY;

		if (reply[1] != GRANTED) {
			if (near.end.ended)
				end_output(&near.end);
			return;
		}
		if (i + 1 == answers) {
			let_send(&near, request + UP);
		} else if (far.end.in == -1 && !far.end.ended) {
			int fd = net_connect((unsigned)reply[2] << 8 | reply[3]);

			if (fd == -1)
				far.end.ended = far.end.was_reset = true;
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
	const unsigned char *nul = far.end.got_length > REPLY
	    ? memchr(far.end.got + REPLY, 0, far.end.got_length - REPLY)
	    : NULL;

	if (nul == NULL)
		return;
	head = (size_t)(nul - far.end.got) + 1;
	let_send(&far, REPLY + DOWN);
}

/* The descriptor that has to take more; -1: none. */
static int
waiting(const struct player *player)
{
	return player->end.sent_length < player->to_send && !player->end.shut ? player->end.out
									      : -1;
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
			{ .fd = near.end.ended ? -1 : near.end.in, .events = POLLIN },
			{ .fd = far.end.ended ? -1 : far.end.in, .events = POLLIN },
			{ .fd = waiting(&near), .events = POLLOUT },
			{ .fd = waiting(&far), .events = POLLOUT },
		};

		if (poll(polled, 6, 1000) == -1)
			fail("poll");
		if (net_milliseconds() > deadline)
			fail("it hangs");
		read_log(&over);
		if (polled[1].revents != 0 && far.end.in == -1) {
			meet(accept(listener, NULL, NULL));
			close(listener);
			listener = -1;
		}
		take(&near.end);
		take(&far.end);
		if (client)
			play_proxy();
		else
			play_client(request);
		send_more(&near);
		send_more(&far);
	}
	net_must(waitpid(program, &status, 0) == program, "waitpid");
	program = 0;
	return status;
}

/* The program is gone, so both ends are there by now, or nearly so. */
static void
see_end(struct end *end)
{
	struct pollfd polled = { .fd = end->in, .events = POLLIN };

	while (end->in != -1 && !end->ended) {
		if (poll(&polled, 1, 1000) != 1)
			fail("an end that nobody closed");
		take(end);
	}
}

/* How much of the payload has come; it must be its beginning. */
static size_t
payload(const struct end *end, size_t skip, const unsigned char *sent, size_t most)
{
	size_t count = end->got_length > skip ? end->got_length - skip : 0;

	if (!end_is_start(end->got + (count > 0 ? skip : 0), count, sent, most))
		fail("bytes that were not sent so");
	return count;
}

static bool
clean(const struct end *end)
{
	return end->ended && !end->was_reset;
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
	size_t i, there = (size_t)(near.end.got + near.end.got_length - reply);
	int count = lines("refuse ", reason);

	if (reply[0] != 0 || reply[1] < REJECTED || reply[1] > IDENT_MISMATCH || there != REPLY ||
	    memcmp(reply + 2, zeros, 6) != 0)
		fail("no refusal and no grant");
	if (!clean(&near.end))
		fail("the refusal may get lost");
	if (far.end.got_length != 0)
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
	size_t sent_down = payload(&near.end, skip, down, DOWN),
	       sent_up = payload(&far.end, 0, up, UP);
	bool full = sent_down == DOWN && sent_up == UP;
	bool both_clean = clean(&near.end) && clean(&far.end);
	bool told = lines("close ", reason) == 1;

	if (clean(&near.end) && sent_down < DOWN && !(pipes && (status == 1 || may_seem_gone)))
		fail("the near end was told a clean end too early");
	if (clean(&far.end) && sent_up < UP)
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
		if (!full || !both_clean || status != 0)
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
		if (near.end.got_length < (i + 1) * REPLY) {
			judge_silence(near.end.got_length - i * REPLY, status);
			return;
		}
		if (near.end.got[i * REPLY] != 0 || near.end.got[i * REPLY + 1] != GRANTED) {
			judge_refusal(near.end.got + i * REPLY, status);
			return;
		}
	}
	judge_relay(answers * REPLY, status);
}

static void
judge_client(int status)
{
	bool full = payload(&near.end, 0, down, DOWN) == DOWN &&
	    payload(&far.end, head, up, UP) == UP && clean(&near.end) && clean(&far.end);
	size_t sent_up = payload(&far.end, head, up, UP);

	if (clean(&far.end) && head > 0 && sent_up > 0 && sent_up < UP)
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

/* Puts the request and what follows it into what the near end sends; returns the request's length.
 */
static size_t
make_request(const char *kind, unsigned port)
{
	bool named = strcmp(kind, "name") == 0;
	unsigned char *request = near.end.sent;
	size_t length = 8;

	if (client)
		return 0;
	request[0] = 4;
	request[1] = binding ? 2 : 1;
	request[2] = (unsigned char)(port >> 8);
	request[3] = (unsigned char)port;
	memcpy(request + 4, named ? "\0\0\0\1" : "\x7f\0\0\1", 4);
	length += (size_t)sprintf((char *)request + length, "me") + 1;
	if (named)
		length += (size_t)sprintf((char *)request + length, "trial.test") + 1;
	return length;
}

static void
make_payload(size_t request)
{
	static const unsigned char granted[REPLY] = { 0, GRANTED };
	unsigned char *reply = far.end.sent;

	for (size_t i = 0; i < UP; i++)
		up[i] = (unsigned char)(i * 7 + i / 256);
	for (size_t i = 0; i < DOWN; i++)
		down[i] = (unsigned char)(i * 11 + i / 256);
	memcpy(near.end.sent + request, up, UP);
	memcpy(reply, granted, REPLY);
	memcpy(reply + (client ? REPLY : 0), down, DOWN);
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
	struct net_address any = net_loopback(0);
	long limit = 5;
	const struct net_option letters[] = { { 'b', .flag = &may_not_begin },
		{ 'g', .flag = &may_seem_gone }, { 'l', .flag = &may_lose_line },
		{ 'n', .text = &name }, { 'r', .flag = &may_lose_reply }, { 't', .number = &limit },
		{ 0 } };
	int ends[2], status;
	unsigned port;
	size_t request;

	argv = net_options(argc, argv, letters, 2,
	    "trial [-bglr] [-n name] [-t seconds] connect|name|bind|pipes|silent|client "
	    "program [argument ...]");
	binding = strcmp(argv[0], "bind") == 0;
	client = strcmp(argv[0], "client") == 0;
	may_lose_line = may_lose_line || strcmp(argv[0], "silent") == 0;
	pipes = client || strcmp(argv[0], "pipes") == 0;
	signal(SIGPIPE, SIG_IGN);
	near.end.in = near.end.out = far.end.in = far.end.out = -1;
	listener = net_listener(&any, 5);
	net_must(listener >= 0, "listen");
	any = net_end(listener, getsockname);
	port = net_port(&any);
	request = make_request(argv[0], port);
	make_payload(request);
	open_near(ends);
	fill_in(argv + 1, port);
	if (client)
		let_send(&near, UP);
	else
		near.to_send = request + EARLY;
	start(argv + 1, ends);
	status = play(request, net_milliseconds() + limit * 1000);
	see_end(&near.end);
	see_end(&far.end);
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
