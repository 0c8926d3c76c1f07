/*
 * lossy: a bad line between two network namespaces: a TUN device in each, and packets from one to
 * the other dropped, doubled, delayed and out of order, by chance from a seed. tests/README.md has
 * the options. SIGUSR1 cuts the line: nothing gets through any more, and nobody is told.
 */
#define _GNU_SOURCE /* setns */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 1500, MOST = 8192, DOUBLE_AFTER = 5 };

struct packet {
	int64_t due; /* milliseconds */
	uint64_t number;
	int to;
	size_t length;
	unsigned char bytes[LARGEST];
};

/* percent, and milliseconds */
static struct {
	unsigned loss, doubled, reordered;
	int64_t delay;
	uint64_t seed;
} options = { .loss = 5, .doubled = 2, .reordered = 5, .delay = 200, .seed = 1 };

static struct {
	unsigned long passed, dropped, doubled, reordered;
} counts;

/* A heap, the packet that is due first at its root. */
static struct {
	struct packet *heap[MOST];
	size_t length;
	uint64_t numbers;
} queue;

static volatile sig_atomic_t stopping, cut;

static void
fail(const char *what)
{
	fprintf(stderr, "lossy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
on_signal(int number)
{
	if (number == SIGUSR1)
		cut = 1;
	else
		stopping = 1;
}

static int64_t
milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* splitmix64 */
static uint64_t
chance(uint64_t below)
{
	uint64_t value = options.seed += 0x9e3779b97f4a7c15u;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return (value ^ value >> 31) % below;
}

static bool
happens(unsigned percent)
{
	return chance(100) < percent;
}

/* Packets due in the same millisecond keep their order. */
static bool
before(const struct packet *a, const struct packet *b)
{
	return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void
put(const struct packet *packet, int64_t due)
{
	size_t at = queue.length, parent;
	struct packet *copy;

	if (queue.length == MOST || (copy = malloc(sizeof *copy)) == NULL) {
		counts.dropped++;
		return;
	}
	*copy = *packet;
	copy->due = due;
	copy->number = queue.numbers++;
	queue.length++;
	for (; at > 0 && before(copy, queue.heap[parent = (at - 1) / 2]); at = parent)
		queue.heap[at] = queue.heap[parent];
	queue.heap[at] = copy;
}

static struct packet *
take(void)
{
	struct packet *first = queue.heap[0], *last = queue.heap[--queue.length];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < queue.length) {
		if (child + 1 < queue.length && before(queue.heap[child + 1], queue.heap[child]))
			child++;
		if (!before(queue.heap[child], last))
			break;
		queue.heap[at] = queue.heap[child];
		at = child;
	}
	queue.heap[at] = last;
	return first;
}

/* One that is held a little longer is overtaken by those behind it. */
static void
receive(int from, int to)
{
	struct packet packet = { .to = to };
	int64_t due = milliseconds() + options.delay;
	ssize_t length;

	while ((length = read(from, packet.bytes, sizeof packet.bytes)) > 0) {
		packet.length = (size_t)length;
		if (cut || happens(options.loss)) {
			counts.dropped++;
			continue;
		}
		if (happens(options.reordered)) {
			counts.reordered++;
			put(&packet, due + 1 + (int64_t)chance(50));
			continue;
		}
		put(&packet, due);
		if (happens(options.doubled)) {
			counts.doubled++;
			put(&packet, due + DOUBLE_AFTER);
		}
	}
}

/* A device that is down, or no longer there, takes nothing: one more way to lose a packet. */
static void
deliver(void)
{
	int64_t now = milliseconds();

	while (queue.length > 0 && queue.heap[0]->due <= now) {
		struct packet *packet = take();
		if (!cut && write(packet->to, packet->bytes, packet->length) > 0)
			counts.passed++;
		else
			counts.dropped++;
		free(packet);
	}
}

static int
open_device(const char *namespace, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int space = open(namespace, O_RDONLY | O_CLOEXEC), fd;

	if (space < 0 || setns(space, CLONE_NEWNET) < 0)
		fail(namespace);
	close(space);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
		fail(name);
	return fd;
}

static void
forward(int a, int b, const sigset_t *mask)
{
	struct pollfd entries[] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	while (!stopping) {
		int64_t left = queue.length > 0 ? queue.heap[0]->due - milliseconds() : 3600000;
		struct timespec wait = { 0, 0 };
		if (left > 0) {
			wait.tv_sec = left / 1000;
			wait.tv_nsec = left % 1000 * 1000000;
		}
		if (ppoll(entries, 2, &wait, mask) < 0) {
			if (errno != EINTR)
				fail("ppoll");
			continue;
		}
		if ((entries[0].revents | entries[1].revents) & (POLLERR | POLLHUP | POLLNVAL)) {
			fputs("lossy: a device is gone\n", stderr);
			exit(1);
		}
		receive(a, b);
		receive(b, a);
		deliver();
	}
}

static unsigned
percent(const char *text)
{
	unsigned long value = strtoul(text, NULL, 10);

	return value > 100 ? 100 : (unsigned)value;
}

static void
parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "2:d:l:r:s:")) != -1)
		switch (option) {
		case '2':
			options.doubled = percent(optarg);
			break;
		case 'd':
			options.delay = strtol(optarg, NULL, 10);
			break;
		case 'l':
			options.loss = percent(optarg);
			break;
		case 'r':
			options.reordered = percent(optarg);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 10);
			break;
		default:
			argc = 0;
		}
	if (argc - optind != 4) {
		fputs("usage: lossy [-2 percent] [-d milliseconds] [-l percent] [-r percent] [-s "
		      "seed] "
		      "namespace device namespace device\n",
		    stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const int ours[] = { SIGINT, SIGTERM, SIGUSR1 };
	sigset_t blocked, mask;

	parse_options(argc, argv);
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
		sigaction(ours[i], &action, NULL);
		sigaddset(&blocked, ours[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	/* A shell starts background jobs with SIGINT ignored, and may block what we wait for. */
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		sigdelset(&mask, ours[i]);
	int a = open_device(argv[optind], argv[optind + 1]);
	int b = open_device(argv[optind + 2], argv[optind + 3]);
	puts("ready");
	fflush(stdout);
	forward(a, b, &mask);
	printf("passed=%lu dropped=%lu doubled=%lu reordered=%lu\n", counts.passed, counts.dropped,
	    counts.doubled, counts.reordered);
	return 0;
}
