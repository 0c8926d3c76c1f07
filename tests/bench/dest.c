#define NAME "load"
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "tests/net.h"
#include "dest.h"
#include "stream.h"

/* What has come of the next job, for each descriptor. */
struct pending {
	unsigned char job[DEST_JOB];
	unsigned char have;
};

static const char done = DEST_DONE;

void
dest_encode(unsigned char job[DEST_JOB], char letter, uint64_t length)
{
	int i;

	job[0] = (unsigned char)letter;
	for (i = 1; i < DEST_JOB; i++)
		job[i] = (unsigned char)(length >> (8 * (DEST_JOB - 1 - i)));
}

static uint64_t
length_of(const unsigned char job[DEST_JOB])
{
	uint64_t length = 0;
	int i;

	for (i = 1; i < DEST_JOB; i++)
		length = length << 8 | job[i];
	return length;
}

static void
echo(int fd, uint64_t count)
{
	char byte;

	for (; count; count--) {
		if (stream_get(fd, &byte, 1) < 0)
			stream_die("an echo session ended early");
		stream_put(fd, &byte, 1);
	}
}

static void
do_job(int fd, const unsigned char job[DEST_JOB])
{
	switch (job[0]) {
	case 'u':
		stream_verify(fd, STREAM_UP, length_of(job));
		stream_put(fd, &done, 1);
		break;
	case 'd':
		stream_send(fd, STREAM_DOWN, length_of(job));
		break;
	case 'b':
		stream_duplex(fd, STREAM_DOWN, length_of(job));
		stream_put(fd, &done, 1);
		break;
	case 'e':
		echo(fd, length_of(job));
		break;
	case 'i':
		stream_put(fd, &done, 1);
		break;
	default:
		stream_die("the destination got an unknown job");
	}
}

/* A job that moves bytes gets a process of its own, so that two can run at the same time and
 * blocking calls will do. The other connections are closed in it: their end must not wait for this
 * one. */
static void
fork_worker(int fd, unsigned char job[DEST_JOB], int highest)
{
	pid_t pid = fork();
	int other;

	net_must(pid >= 0, "fork");
	if (pid > 0)
		return;
	for (other = 3; other <= highest; other++)
		if (other != fd)
			close(other);
	do
		do_job(fd, job);
	while (stream_get(fd, job, DEST_JOB) == 0);
	exit(0);
}

/* Returns -1 when the connection is no longer this process's business. */
static int
take_input(int fd, struct pending *p, int highest)
{
	ssize_t n = recv(fd, p->job + p->have, (size_t)(DEST_JOB - p->have), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	/* A reset is how some relays end; the load side says whether that was right. */
	if (n <= 0)
		return -1;
	p->have = (unsigned char)(p->have + n);
	if (p->have < DEST_JOB)
		return 0;
	p->have = 0;
	if (p->job[0] == 'i') {
		do_job(fd, p->job);
		return 0;
	}
	fork_worker(fd, p->job, highest);
	return -1;
}

/* Has the descriptor watched for input. */
static void
watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	net_must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static int
accept_one(int listener, int epoll, struct pending *table, rlim_t slots)
{
	int on = 1, fd = accept(listener, NULL, NULL);

	if (fd < 0 && errno == ECONNABORTED)
		return -1;
	net_must(fd >= 0, "accept");
	if ((rlim_t)fd >= slots)
		stream_die("too many connections");
	table[fd].have = 0;
	net_must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
	watch(epoll, fd);
	return fd;
}

void
dest_run(uint16_t port)
{
	struct net_address address = net_loopback(port);
	int listener = net_listener(&address, 4096), epoll = epoll_create1(0), highest = epoll;
	struct epoll_event events[64];
	struct pending *table;
	struct rlimit files;

	net_must(listener >= 0, "listen");
	address = net_end(listener, getsockname);
	printf("%u\n", net_port(&address));
	fflush(stdout);
	net_must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
	table = calloc((size_t)files.rlim_cur, sizeof *table);
	net_must(table != NULL, "memory");
	/* epoll, not poll: thousands of idle sessions must cost the sessions beside them nothing
	 * here. */
	watch(epoll, listener);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int i, n = epoll_wait(epoll, events, 64, -1);
		net_must(n >= 0, "epoll_wait");
		for (i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener &&
			    (fd = accept_one(listener, epoll, table, files.rlim_cur)) < 0)
				continue;
			if (fd > highest)
				highest = fd;
			if (take_input(fd, &table[fd], highest) < 0) {
				/* Taken out by hand: a worker's copy would keep it in the set. */
				epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
				close(fd);
			}
		}
	}
}
