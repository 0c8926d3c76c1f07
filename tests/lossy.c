/*
 * lossy: a bad line between two network namespaces: a TUN device in each, and packets from one to
 * the other dropped, doubled, delayed and out of order, by chance from a seed. tests/README.md has
 * the options. SIGUSR1 cuts the line: nothing gets through any more, and nobody is told.
 */
#define _GNU_SOURCE /* setns */
#define NAME "lossy"
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>

#include "tests/net.h"

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
	long loss, doubled, reordered, delay, seed;
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
on_signal(int number)
{
	if (number == SIGUSR1)
		cut = 1;
	else
		stopping = 1;
}

static bool
happens(long percent)
{
	return net_random((uint64_t)options.seed++) % 100 < (uint64_t)percent;
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

/* One that is held a little longer is overtaken by later ones. */
static void
receive(int from, int to)
{
	struct packet packet = { .to = to };
	int64_t due = net_milliseconds() + options.delay;
	ssize_t length;

	while ((length = read(from, packet.bytes, sizeof packet.bytes)) > 0) {
		packet.length = (size_t)length;
		if (cut || happens(options.loss)) {
			counts.dropped++;
			continue;
		}
		if (happens(options.reordered)) {
			counts.reordered++;
			put(&packet,
			    due + 1 + (int64_t)(net_random((uint64_t)options.seed++) % 50));
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
	int64_t now = net_milliseconds();

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

	net_must(space >= 0 && setns(space, CLONE_NEWNET) == 0, namespace);
	close(space);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	net_must(fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0, name);
	return fd;
}

static void
forward(int a, int b, const sigset_t *mask)
{
	struct pollfd entries[] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	while (!stopping) {
		int64_t left = queue.length > 0 ? queue.heap[0]->due - net_milliseconds() : 3600000;
		struct timespec wait = { 0, 0 };
		if (left > 0) {
			wait.tv_sec = left / 1000;
			wait.tv_nsec = left % 1000 * 1000000;
		}
		if (ppoll(entries, 2, &wait, mask) < 0) {
			net_must(errno == EINTR, "ppoll");
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

int
main(int argc, char **argv)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGUSR1, 0 };
	const struct net_option letters[] = { { '2', .number = &options.doubled },
		{ 'd', .number = &options.delay }, { 'l', .number = &options.loss },
		{ 'r', .number = &options.reordered }, { 's', .number = &options.seed }, { 0 } };

	argv = net_options(argc, argv, letters, 4,
	    "lossy [-2 percent] [-d milliseconds] [-l percent] [-r percent] [-s seed] "
	    "namespace device namespace device");
	options.seed *= 1000000007; /* two seeds have no part of their chance in common */
	sigset_t mask = net_catch(ours, on_signal);
	int a = open_device(argv[0], argv[1]), b = open_device(argv[2], argv[3]);
	puts("ready");
	fflush(stdout);
	forward(a, b, &mask);
	printf("passed=%lu dropped=%lu doubled=%lu reordered=%lu\n", counts.passed, counts.dropped,
	    counts.doubled, counts.reordered);
	return 0;
}
