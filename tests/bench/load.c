/* The load tool of the bench: the destination, and the clients that reach it with or without a
 * relay. */
#define NAME "load"
#include <netinet/tcp.h>
#include <sys/wait.h>

#include "tests/net.h"
#include "dest.h"
#include "stream.h"

enum { MIB = 1 << 20 };

/* Where to connect, and what to say there before the destination hears us. */
struct path {
	long socks; /* 0: nothing, 4 or 5 */
	long relay, destination;
	bool reply_only;
};

struct result {
	unsigned long count;
	double median;
};

static const char usage[] =
    "load dest [port]\n"
    "       load [-s 4|5] [-r relay-port] -d destination-port [-t seconds] job\n"
    "jobs:  up MiB | down MiB | duplex MiB   prints MiB/s\n"
    "       rtt count                        prints the median in microseconds\n"
    "       sessions at-a-time seconds       prints sessions/s, median milliseconds\n"
    "       replies at-a-time seconds        the same, closing after the reply\n"
    "       idle count                       holds them; on stdin: `pass MiB`";

static double
now(void)
{
	return (double)net_nanoseconds() / 1e9;
}

static void
timed_out(int signal_number)
{
	static const char message[] = "load: timed out\n";
	ssize_t ignored = write(2, message, sizeof message - 1);

	(void)signal_number;
	(void)ignored;
	_exit(3);
}

static uint64_t
number(const char *s, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || end == s || *end || *s == '-' || n > max)
		stream_die("not a number that can be used");
	return n;
}

static void
expect(int fd, const unsigned char *want, size_t length, const char *who)
{
	unsigned char got[16];

	if (stream_get(fd, got, length) < 0 || memcmp(got, want, length) != 0)
		stream_die(who);
}

static void
socks4(int fd, long port)
{
	unsigned char request[] = { 4, 1, 0, 0, 127, 0, 0, 1, 'b', 'e', 'n', 'c', 'h', 0 },
		      reply[8];

	request[2] = (unsigned char)(port >> 8);
	request[3] = (unsigned char)port;
	stream_put(fd, request, sizeof request);
	/* Port and address of a CONNECT reply mean nothing, and relays fill them differently. */
	if (stream_get(fd, reply, sizeof reply) < 0 || reply[0] != 0 || reply[1] != 90)
		stream_die("no SOCKS4 reply 90");
}

static void
socks5(int fd, long port)
{
	static const unsigned char hello[] = { 5, 1, 0 }, welcome[] = { 5, 0 },
				   granted[] = { 5, 0, 0, 1 };
	unsigned char request[] = { 5, 1, 0, 1, 127, 0, 0, 1, 0, 0 }, rest[6];

	request[8] = (unsigned char)(port >> 8);
	request[9] = (unsigned char)port;
	stream_put(fd, hello, sizeof hello);
	expect(fd, welcome, sizeof welcome, "no SOCKS5 welcome");
	stream_put(fd, request, sizeof request);
	expect(fd, granted, sizeof granted, "no SOCKS5 success");
	if (stream_get(fd, rest, sizeof rest) < 0)
		stream_die("short SOCKS5 reply");
}

static int
open_session(const struct path *path)
{
	int on = 1, fd = net_connect((unsigned)path->relay);

	net_must(
	    fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "connect");
	if (path->socks == 4)
		socks4(fd, path->destination);
	if (path->socks == 5)
		socks5(fd, path->destination);
	return fd;
}

static void
send_job(int fd, char letter, uint64_t length)
{
	unsigned char job[DEST_JOB];

	dest_encode(job, letter, length);
	stream_put(fd, job, sizeof job);
}

static void
expect_done(int fd)
{
	static const unsigned char done[] = { DEST_DONE };

	expect(fd, done, sizeof done, "the destination did not confirm");
}

static void
move_bytes(int fd, char letter, uint64_t length)
{
	send_job(fd, letter, length);
	switch (letter) {
	case 'u':
		stream_send(fd, STREAM_UP, length);
		expect_done(fd);
		break;
	case 'd':
		stream_verify(fd, STREAM_DOWN, length);
		break;
	default:
		stream_duplex(fd, STREAM_UP, length);
		expect_done(fd);
	}
}

/* The clock runs from the job's first byte until the last byte has been verified at the far end.
 * For duplex the figure is that of each direction. */
static void
bulk(const struct path *path, char letter, uint64_t mib)
{
	int fd = open_session(path);
	double start = now();

	move_bytes(fd, letter, mib * MIB);
	printf("%.1f\n", (double)mib / (now() - start));
	close(fd);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *samples, size_t count)
{
	if (count == 0)
		return 0;
	qsort(samples, count, sizeof *samples, compare);
	return (samples[count / 2] + samples[(count - 1) / 2]) / 2;
}

static void
round_trips(const struct path *path, size_t count)
{
	double *samples = malloc(count * sizeof *samples + 1);
	int fd = open_session(path);
	size_t i;

	net_must(samples != NULL, "memory");
	send_job(fd, 'e', count);
	for (i = 0; i < count; i++) {
		unsigned char byte = (unsigned char)(i * 7), back;
		double start = now();
		stream_put(fd, &byte, 1);
		if (stream_get(fd, &back, 1) < 0 || back != byte)
			stream_die("the wrong byte came back");
		samples[i] = now() - start;
	}
	printf("%.2f\n", median(samples, count) * 1e6);
	close(fd);
}

/* A whole session: connect, request, reply, our end of input, the relay's, gone. A program that
 * ends right after its reply can be measured by the same means, but has no end to pass on; so we
 * can do without it as well. */
static double
one_session(const struct path *path)
{
	double start = now();
	int fd = open_session(path);
	char byte;

	if (path->reply_only) {
		close(fd);
		return now() - start;
	}
	/* ENOTCONN: a relay was quicker and has closed already, which is all we wait for. */
	if (shutdown(fd, SHUT_WR) < 0 && errno != ENOTCONN)
		net_fail("shutdown");
	if (stream_get(fd, &byte, 1) == 0)
		stream_die("bytes from nowhere");
	close(fd);
	return now() - start;
}

static struct result
session_worker(const struct path *path, double seconds)
{
	double start = now(), *samples = NULL;
	struct result result = { 0, 0 };
	size_t room = 0;

	while (now() - start < seconds) {
		if (result.count == room) {
			room = room ? 2 * room : 4096;
			samples = realloc(samples, room * sizeof *samples);
			if (!samples)
				net_fail("memory");
		}
		samples[result.count++] = one_session(path);
	}
	result.median = median(samples, result.count);
	free(samples);
	return result;
}

static void
sessions(const struct path *path, unsigned at_a_time, unsigned seconds)
{
	struct result total = { 0, 0 }, one;
	double start = now(), elapsed;
	unsigned i;
	int channel[2], status;

	net_must(pipe(channel) == 0, "pipe");
	for (i = 0; i < at_a_time; i++) {
		pid_t pid = fork();
		net_must(pid >= 0, "fork");
		if (pid == 0) {
			/* A child does not inherit the alarm. */
			alarm(seconds + 30);
			one = session_worker(path, seconds);
			net_must(write(channel[1], &one, sizeof one) == sizeof one, "pipe");
			_exit(0);
		}
	}
	for (i = 0; i < at_a_time; i++) {
		if (wait(&status) < 0 || status != 0)
			stream_die("a worker failed");
		net_must(read(channel[0], &one, sizeof one) == sizeof one, "pipe");
		total.count += one.count;
		total.median += one.median / at_a_time;
	}
	elapsed = now() - start;
	printf("%.1f\t%.4f\n", (double)total.count / elapsed, total.median * 1e3);
}

/* Every session has carried a byte each way when it counts as held. They stay until stdin ends. */
static void
hold_idle(const struct path *path, unsigned count)
{
	int *fds = malloc(count * sizeof *fds + 1);
	char line[64];
	unsigned i;

	net_must(fds != NULL, "memory");
	for (i = 0; i < count; i++) {
		fds[i] = open_session(path);
		send_job(fds[i], 'i', 0);
		expect_done(fds[i]);
	}
	alarm(0);
	printf("holding %u\n", count);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "pass ", 5) != 0 || count == 0)
			stream_die("unknown order");
		move_bytes(fds[0], 'u', number(line + 5, 1 << 20) * MIB);
		move_bytes(fds[0], 'd', number(line + 5, 1 << 20) * MIB);
		printf("passed %s\n", line + 5);
		fflush(stdout);
	}
}

static int
run_job(const struct path *path, int argc, char **argv)
{
	static const struct {
		const char *name;
		char letter;
	} moves[] = { { "up", 'u' }, { "down", 'd' }, { "duplex", 'b' } };
	size_t i;

	for (i = 0; i < sizeof moves / sizeof *moves; i++)
		if (argc == 2 && strcmp(argv[0], moves[i].name) == 0) {
			bulk(path, moves[i].letter, number(argv[1], 1 << 20));
			return 0;
		}
	if (argc == 2 && strcmp(argv[0], "rtt") == 0)
		round_trips(path, (size_t)number(argv[1], 1 << 24));
	else if (argc == 2 && strcmp(argv[0], "idle") == 0)
		hold_idle(path, (unsigned)number(argv[1], 1 << 20));
	else if (argc == 3 && strcmp(argv[0], "sessions") == 0)
		sessions(path, (unsigned)number(argv[1], 1024), (unsigned)number(argv[2], 3600));
	else if (argc == 3 && strcmp(argv[0], "replies") == 0) {
		struct path hasty = *path;
		hasty.reply_only = true;
		sessions(&hasty, (unsigned)number(argv[1], 1024), (unsigned)number(argv[2], 3600));
	} else
		return -1;
	return 0;
}

int
main(int argc, char **argv)
{
	struct path path = { 0 };
	long limit = 60;
	const struct net_option letters[] = { { 'd', .number = &path.destination },
		{ 'r', .number = &path.relay }, { 's', .number = &path.socks },
		{ 't', .number = &limit }, { 0 } };
	char **words = net_options(argc, argv, letters, 1, usage);

	stream_init();
	if (strcmp(words[0], "dest") == 0)
		dest_run(words[1] ? (uint16_t)number(words[1], 65535) : 0);
	if (path.relay == 0)
		path.relay = path.destination;
	/* A relay that hangs (some do under duplex load) becomes exit status 3, not a bench that
	 * hangs. */
	signal(SIGALRM, timed_out);
	alarm((unsigned)limit);
	if (path.destination == 0 || run_job(&path, (int)(argv + argc - words), words) < 0) {
		fprintf(stderr, "usage: %s\n", usage);
		return 2;
	}
	return 0;
}
