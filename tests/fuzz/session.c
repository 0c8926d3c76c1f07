/* A whole session: the program itself in a child, a script of the input's around it, and what each
 * end got held against what the other one sent. Input: a byte of flags, then steps: what to do, how
 * many bytes follow, these bytes. Loopback only; `run` gives it a network of its own. */

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "fuzz.h"

#define NAME "session"
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/ends.h"
#include "lib/proxyheader.h"
#include "lib/socks4.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int session_main(int argc, char **argv); /* main() of socks4-stdio.c */

/* What libFuzzer counts branches in; the child's counts are brought back to it. */
extern uint8_t __start___sancov_cntrs[], __stop___sancov_cntrs[];

enum {
	FLAG_UNIX = 1,
	FLAG_PROXY = 2,
	FLAG_CLIENT = 4,
	FLAG_REQUIRE = 8,
	FLAG_NO_NAMES = 16,
	FLAG_IDENTD = 32 /* the script answers in its place; else it hangs up */
};
enum { REMOTE_PORT = 0x1111, IDENT_PORT = 113 };
enum { HANG = 20000, CRASH = 77 };

static int remote_listener, ident_listener;
static struct end client, remote;
static bool identd;	  /* as FLAG_IDENTD */
static bool reset;	  /* we have, so that bytes may be missing */
static char list[32];	  /* path of a file that has no name any more */
static uint8_t *counters; /* shared with the child */

/* What the client mode asks for. */
static const unsigned char client_request[] = { 4, 1, 0, 9, 192, 0, 2, 7, 'u', 0 };

static int
listen_at(unsigned port)
{
	struct net_address address = net_loopback(port);
	int fd = net_listener(&address, 8);

	assert(fd != -1);
	assert(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char rules[] =
	    "deny from any user eve\n"
	    "permit bind from any to 0.0.0.0\n"
	    "permit from local,127.0.0.1 to 127.0.0.1,localhost user bob ident require\n"
	    "permit from any ident ask\n";
	char name[] = "/dev/shm/fuzz-session-XXXXXX";
	int fd = mkstemp(name);

	(void)argc;
	(void)argv;
	assert(fd != -1 && unlink(name) == 0);
	assert(write(fd, rules, sizeof rules - 1) == sizeof rules - 1);
	/* Ours: the program closes what it has inherited. */
	snprintf(list, sizeof list, "/proc/%ld/fd/%d", (long)getpid(), fd);
	remote_listener = listen_at(REMOTE_PORT);
	ident_listener = listen_at(IDENT_PORT);
	counters = mmap(NULL, (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(counters != MAP_FAILED);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* ---- the child ---- */

static int
run_program(unsigned flags)
{
	char *server[] = { "socks4-stdio", "-l", "stderr", "-v", "-a", list,
		flags & FLAG_REQUIRE ? "-I" : "-i", flags & FLAG_NO_NAMES ? "-n" : "-i",
		flags & FLAG_PROXY ? "-P127.0.0.1" : NULL, NULL };
	char *user[] = { "socks4-stdio", "-c", "127.0.0.1:4369", "-l", "stderr", "-v", "-u", "u",
		"192.0.2.7", "9", NULL };

	if (flags & FLAG_CLIENT)
		return session_main((int)(sizeof user / sizeof *user) - 1, user);
	return session_main(
	    (int)(sizeof server / sizeof *server) - !(flags & FLAG_PROXY) - 1, server);
}

static void
be_program(unsigned flags, int fd)
{
	size_t count = (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs);
	int status, null = open("/dev/null", O_WRONLY);

	/* The program's own words are not wanted, a sanitizer's are. */
	__sanitizer_set_report_fd((void *)(intptr_t)dup(STDERR_FILENO));
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(fd);
	close(null);
	close(client.in);
	close(remote_listener);
	close(ident_listener);
	signal(SIGPIPE, SIG_DFL);
	memset(__start___sancov_cntrs, 0, count);
	status = run_program(flags);
	memcpy(counters, __start___sancov_cntrs, count);
	_exit(status);
}

static pid_t
start(unsigned flags)
{
	int fds[2];
	pid_t pid;

	if (flags & FLAG_UNIX) {
		assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
		end_attach(&client, fds[0], fds[0]);
	} else {
		fds[1] = end_connected(&client);
	}
	fflush(NULL);
	pid = fork();
	assert(pid != -1);
	if (pid == 0)
		be_program(flags, fds[1]);
	close(fds[1]);
	return pid;
}

/* ---- the world around it ---- */

static void
close_end(struct end *end)
{
	if (end->in != -1)
		close(end->in);
	end->in = end->out = -1;
}

static void
take(struct end *end)
{
	end_receive(end);
	assert(end->got_length < END_ROOM);
}

static void
transmit(struct end *end, const uint8_t *bytes, size_t length)
{
	ssize_t put;

	if (end->in == -1 || end->shut || length > END_ROOM - end->sent_length)
		return;
	put = send(end->in, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (put > 0) {
		memcpy(end->sent + end->sent_length, bytes, (size_t)put);
		end->sent_length += (size_t)put;
	}
}

static void
reset_end(struct end *end)
{
	struct linger linger = { 1, 0 };

	if (end->in == -1)
		return;
	take(end);
	setsockopt(end->in, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close_end(end);
	reset = true;
}

static void
hang_up_ident(void)
{
	int fd = identd ? -1 : accept(ident_listener, NULL, NULL);

	if (fd != -1)
		close(fd);
}

static void
met(int fd)
{
	if (fd != -1)
		end_attach(&remote, fd, fd);
}

/* Takes what comes within that time, or returns sooner if it has what it waits for. */
static void
turn(int64_t duration, const int *wanted)
{
	struct pollfd polled[4];
	int64_t end = net_milliseconds() + duration;

	do {
		polled[0] = (struct pollfd){ remote.in == -1 ? remote_listener : -1, POLLIN, 0 };
		polled[1] = (struct pollfd){ remote.ended ? -1 : remote.in, POLLIN, 0 };
		polled[2] = (struct pollfd){ client.ended ? -1 : client.in, POLLIN, 0 };
		polled[3] = (struct pollfd){ identd ? -1 : ident_listener, POLLIN, 0 };
		if (poll(polled, 4, duration > 0 ? 1 : 0) > 0 && polled[0].revents != 0 &&
		    !remote.shut && !remote.ended)
			met(accept(remote_listener, NULL, NULL));
		hang_up_ident();
		take(&remote);
		take(&client);
	} while (net_milliseconds() < end && *wanted == -1 && !client.ended);
}

static void
answer_ident(const uint8_t *bytes, size_t length)
{
	struct pollfd polled = { ident_listener, POLLIN, 0 };
	int fd;

	turn(0, &remote.in);
	if (poll(&polled, 1, client.ended ? 0 : 20) <= 0)
		return;
	fd = accept(ident_listener, NULL, NULL);
	if (fd == -1)
		return;
	/* The pair is not the script's to know. */
	if (length > 0 && bytes[0] == '=') {
		char query[64], line[400];
		ssize_t got = recv(fd, query, sizeof query - 1, 0);

		query[got > 2 ? got - 2 : 0] = '\0';
		snprintf(
		    line, sizeof line, "%s%.*s", query, (int)length - 1, (const char *)bytes + 1);
		send(fd, line, strlen(line), MSG_NOSIGNAL);
	} else {
		send(fd, bytes, length, MSG_NOSIGNAL);
	}
	close(fd);
}

/* Calls the port that BIND listens on. */
static void
call(void)
{
	int64_t end = net_milliseconds() + 20;

	if (remote.in != -1 || remote.shut || remote.ended)
		return;
	while (client.got_length < SOCKS4_REPLY && !client.ended && net_milliseconds() < end)
		turn(1, &remote.in);
	if (client.got_length < SOCKS4_REPLY)
		return;
	met(net_connect((unsigned)client.got[2] << 8 | client.got[3]));
}

static void
step(unsigned what, const uint8_t *bytes, size_t length)
{
	switch (what % 8) {
	case 0:
		transmit(&client, bytes, length);
		break;
	case 1:
		turn(remote.in == -1 ? 20 : 0, &remote.in);
		transmit(&remote, bytes, length);
		break;
	case 2:
		answer_ident(bytes, length);
		break;
	case 3:
		end_output(&client);
		break;
	case 4:
		turn(remote.in == -1 ? 20 : 0, &remote.in);
		end_output(&remote);
		break;
	case 5:
		reset_end(&client);
		break;
	case 6:
		remote.ended = remote.ended || remote.in != -1;
		reset_end(&remote);
		break;
	default:
		call();
	}
	turn(0, &remote.in);
}

/* Ends it all in good order, and sees the program end by itself. Its wait status. */
static int
finish(unsigned flags, pid_t pid)
{
	int64_t end = net_milliseconds() + HANG;
	int status, fd;

	identd = false;
	end_output(&client);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		turn(1, &remote.in);
		if ((remote.ended || (flags & FLAG_CLIENT)) && !remote.shut)
			end_output(&remote);
		if (net_milliseconds() > end) {
			kill(pid, SIGKILL);
			fputs("the session hangs\n", stderr);
			abort();
		}
	}
	turn(0, &remote.in);
	hang_up_ident();
	/* Nobody is left in the queues for the next session. */
	for (;;) {
		fd = accept(remote_listener, NULL, NULL);
		if (fd == -1)
			break;
		close(fd);
	}
	close_end(&client);
	close_end(&remote);
	return status;
}

/* ---- what must hold ---- */

static bool
was_reset(void)
{
	return client.was_reset || remote.was_reset;
}

/* What one end got, after so many bytes from the program, is the beginning of what the other sent,
 * after so many bytes for the program; and all of it if nobody reset. */
static void
check_way(const struct end *from, size_t used, const struct end *to, size_t replies)
{
	size_t sent = from->sent_length - used, got = to->got_length - replies;

	assert(end_is_start(to->got + replies, got, from->sent + used, sent));
	assert(reset || got == sent);
}

/* What the list permits to all but eve and bob, and nobody can keep from standing: whatever identd
 * there is can only be asked, and name another. */
static bool
must_stand(const struct socks4_request *request)
{
	static const unsigned char there[4] = { 127, 0, 0, 1 };

	return request->command == SOCKS4_CONNECT && request->port == REMOTE_PORT &&
	    memcmp(request->dstip, there, sizeof there) == 0 &&
	    strcmp(request->userid, "eve") != 0 && strcmp(request->userid, "bob") != 0;
}

static void
check_server(unsigned flags, int status)
{
	static const unsigned char zeros[6];
	struct proxyheader header;
	struct socks4_request request;
	enum reason parsed;
	size_t used = 0, more = 0, at = 0;

	assert(status == 0 || (status == 1 && reset && (flags & FLAG_UNIX)));
	memset(&request, 0, sizeof request);
	if ((flags & (FLAG_PROXY | FLAG_UNIX)) == FLAG_PROXY &&
	    proxyheader_decode(client.sent, client.sent_length, &header, &used) != REASON_NONE)
		parsed = REASON_BAD_VERSION;
	else
		parsed = socks4_decode_request(
		    client.sent + used, client.sent_length - used, &request, &more);
	if (client.got_length == 0) {
		assert(reset);
		return;
	}
	if (parsed == REASON_IS_SOCKS5) {
		assert(client.got_length == 2 && memcmp(client.got, "\5\377", 2) == 0);
		return;
	}
	assert(client.got_length >= SOCKS4_REPLY && client.got[0] == SOCKS4_REPLY_VERSION);
	if (client.got[1] == SOCKS4_GRANTED && request.command == SOCKS4_BIND) {
		at = SOCKS4_REPLY;
		if (client.got_length == at) {
			assert(reset);
			return;
		}
		assert(client.got_length >= at + SOCKS4_REPLY && client.got[at] == 0);
	}
	if (client.got[at + 1] == SOCKS4_GRANTED) {
		assert(parsed == REASON_NONE && strcmp(request.userid, "eve") != 0);
		assert(at > 0 || memcmp(client.got + 2, zeros, sizeof zeros) == 0);
		assert(reset || !was_reset());
		check_way(&client, used + more, &remote, 0);
		check_way(&remote, 0, &client, at + SOCKS4_REPLY);
		return;
	}
	assert(
	    client.got[at + 1] >= SOCKS4_REJECTED && client.got[at + 1] <= SOCKS4_IDENT_MISMATCH);
	assert(client.got_length == at + SOCKS4_REPLY);
	assert(parsed != REASON_NONE || !must_stand(&request) || reset ||
	    client.got[at + 1] == SOCKS4_IDENT_MISMATCH);
	assert(memcmp(client.got + at + 2, zeros, sizeof zeros) == 0 && remote.got_length == 0);
}

static void
check_client(int status)
{
	size_t head = sizeof client_request;
	bool answered = remote.sent_length >= SOCKS4_REPLY &&
	    (remote.sent[0] == SOCKS4_REPLY_VERSION || remote.sent[0] == SOCKS4_VERSION);
	unsigned code = answered ? remote.sent[1] : 0;

	if (remote.got_length < head) {
		assert(end_is_start(remote.got, remote.got_length, client_request, head));
		assert(reset || code == 0);
	} else {
		assert(end_is_start(client_request, head, remote.got, remote.got_length));
		if (code == SOCKS4_GRANTED)
			check_way(&client, 0, &remote, head);
	}
	if (code == SOCKS4_GRANTED) {
		assert(status == 0 ? !was_reset() || reset : status == 1 && reset);
		check_way(&remote, SOCKS4_REPLY, &client, 0);
		return;
	}
	assert(client.got_length == 0 && remote.got_length <= head);
	if (code > SOCKS4_GRANTED && code <= SOCKS4_IDENT_MISMATCH)
		assert(status == (int)code || (status == 1 && reset));
	else
		assert(status == 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *mine = __start___sancov_cntrs;
	size_t i, length, count = (size_t)(__stop___sancov_cntrs - mine);
	unsigned flags = size > 0 ? data[0] : 0;
	int status;
	pid_t pid;

	if (size < 3 || size > 4096)
		return 0;
	memset(&client, 0, sizeof client);
	memset(&remote, 0, sizeof remote);
	remote.in = remote.out = -1;
	reset = false;
	identd = (flags & FLAG_IDENTD) != 0;
	memset(counters, 0, count);
	pid = start(flags);
	for (i = 1; i + 2 <= size; i += 2 + length) {
		length = data[i + 1] < size - i - 2 ? data[i + 1] : size - i - 2;
		step(data[i], data + i + 2, length);
	}
	status = finish(flags, pid);
	assert(WIFEXITED(status) && WEXITSTATUS(status) != CRASH);
	for (i = 0; i < count; i++)
		if (counters[i] > mine[i])
			mine[i] = counters[i];
	if (flags & FLAG_CLIENT)
		check_client(WEXITSTATUS(status));
	else
		check_server(flags, WEXITSTATUS(status));
	return 0;
}
