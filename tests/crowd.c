/*
 * crowd: many clients at once who mean no good: requests that never end, or BINDs that nobody
 * calls, from many addresses. tests/README.md has the options.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A launcher may queue no more than 64 calls; those that find no room there come late. */
enum { REPLY = 8, GRANTED = 90, REJECTED = 91, TICK = 20, BYTE_EVERY = 250, MOST_CALLS = 50 };

enum state { TO_CALL, CALLING, THERE, OVER };

struct client {
	enum state state;
	bool answered;	   /* its call, if only by an acknowledgement */
	bool was_answered; /* its first call */
	int fd;
	int64_t due; /* milliseconds: the next call, or the next byte */
	size_t sent, got;
	unsigned char replies[2 * REPLY];
};

/* milliseconds; 0: one that is turned away stays away */
static struct {
	size_t clients, addresses, at_once;
	int64_t again;
	bool binds;
	uint32_t source;
	struct sockaddr_in gateway;
} options = { .clients = 1000, .addresses = 1, .at_once = SIZE_MAX };

/* For 203.0.113.80, port 80. */
static const unsigned char bind_request[] = { 4, 2, 0, 80, 203, 0, 113, 80, 0 },
			   slow_request[] = { 4, 1, 0, 80, 203, 0, 113, 80 };

static struct client *clients;
static struct pollfd *entries;
static size_t not_answered, not_over, under_way, calls;
static unsigned long turned_away;
static volatile sig_atomic_t stopping;

static void
fail(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static int64_t
milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
note_answer(struct client *client)
{
	if (client->answered)
		return;
	client->answered = true;
	calls--;
	if (client->was_answered)
		return;
	client->was_answered = true;
	if (--not_answered == 0) {
		puts("called");
		fflush(stdout);
	}
}

static void
over(struct client *client)
{
	close(client->fd);
	client->fd = -1;
	under_way--;
	note_answer(client);
	if (client->got == 0)
		turned_away++;
	if (client->got == 0 && options.again > 0) {
		client->state = TO_CALL;
		client->due = milliseconds() + options.again;
		return;
	}
	client->state = OVER;
	not_over--;
}

static void
call(struct client *client)
{
	struct sockaddr_in local = { .sin_family = AF_INET };
	size_t number = (size_t)(client - clients) % options.addresses;

	local.sin_addr.s_addr = htonl(options.source + (uint32_t)number);
	client->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (client->fd < 0 || fcntl(client->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    bind(client->fd, (struct sockaddr *)&local, sizeof local) < 0)
		fail("socket");
	client->state = CALLING;
	client->answered = false;
	under_way++;
	calls++;
	if (connect(client->fd, (struct sockaddr *)&options.gateway, sizeof options.gateway) < 0 &&
	    errno != EINPROGRESS)
		over(client);
}

/* What cannot be sent shows when we read. */
static void
say(struct client *client, const void *bytes, size_t length)
{
	ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL);

	client->sent += sent > 0 ? (size_t)sent : 0;
}

/* A byte now and then; the USERID never ends. */
static void
trickle(struct client *client)
{
	static const unsigned char letter[] = { 'a' };

	say(client, client->sent < sizeof slow_request ? &slow_request[client->sent] : letter, 1);
	client->due = milliseconds() + BYTE_EVERY;
}

static void
begin(struct client *client)
{
	socklen_t length = sizeof(int);
	int error;

	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		fail("getsockopt");
	if (error != 0) {
		over(client);
		return;
	}
	client->state = THERE;
	client->sent = 0;
	if (options.binds)
		say(client, bind_request, sizeof bind_request);
	else
		trickle(client);
}

static void
listen_to(struct client *client)
{
	unsigned char byte;
	ssize_t count;

	do {
		count = recv(client->fd, &byte, 1, 0);
		if (count > 0 && client->got < sizeof client->replies)
			client->replies[client->got++] = byte;
	} while (count > 0);
	if (count == 0 || errno != EAGAIN)
		over(client);
}

/* Where too many call, the gateway may know nothing of a connection that stands for us. */
static bool
is_known(const struct client *client)
{
	int waiting;

	return ioctl(client->fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

static void
work(struct client *client, short events)
{
	bool due = client->due <= milliseconds();

	if (client->state == TO_CALL && due && under_way < options.at_once && calls < MOST_CALLS)
		call(client);
	else if (client->state == CALLING && events != 0)
		begin(client);
	else if (client->state == THERE && events != 0)
		listen_to(client);
	else if (client->state == THERE && !client->answered && is_known(client))
		note_answer(client);
	else if (client->state == THERE && due && !options.binds)
		trickle(client);
}

static bool
is_reply(const unsigned char *reply, unsigned char code)
{
	return reply[0] == 0 && reply[1] == code;
}

static const char *
outcome(const struct client *client)
{
	const unsigned char *first = client->replies, *second = client->replies + REPLY;
	bool open = client->state != OVER;

	if (client->got == 0)
		return client->state == THERE ? "held" : open ? "calling" : "away";
	if (client->got == REPLY && is_reply(first, GRANTED))
		return open ? "granted" : "dropped";
	if (client->got == REPLY && is_reply(first, REJECTED) && !open)
		return "rejected";
	if (client->got == sizeof client->replies && is_reply(first, GRANTED) &&
	    is_reply(second, REJECTED) && !open)
		return "granted-rejected";
	return "strange";
}

static void
report(void)
{
	static const char *const outcomes[] = { "calling", "away", "held", "granted", "dropped",
		"rejected", "granted-rejected", "strange" };

	for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
		size_t count = 0;
		for (size_t n = 0; n < options.clients; n++)
			count += strcmp(outcome(&clients[n]), outcomes[i]) == 0;
		if (count > 0)
			printf("%zu %s\n", count, outcomes[i]);
	}
	fprintf(stderr, "turned away %lu times\n", turned_away);
}

static void
meet(void)
{
	while (not_over > 0 && !stopping) {
		for (size_t n = 0; n < options.clients; n++) {
			entries[n].fd = clients[n].fd;
			entries[n].events = clients[n].state == CALLING ? POLLOUT : POLLIN;
			entries[n].revents = 0;
		}
		if (poll(entries, (nfds_t)options.clients, TICK) < 0 && errno != EINTR)
			fail("poll");
		for (size_t n = 0; n < options.clients; n++)
			work(&clients[n], entries[n].revents);
	}
}

static void
parse_options(int argc, char **argv)
{
	struct in_addr source;
	int option;

	while ((option = getopt(argc, argv, "a:j:n:r:")) != -1)
		switch (option) {
		case 'a':
			options.addresses = strtoul(optarg, NULL, 10);
			break;
		case 'j':
			options.at_once = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			options.clients = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options.again = strtol(optarg, NULL, 10);
			break;
		default:
			argc = 0;
		}
	argv += optind;
	if (argc - optind != 4 || options.addresses == 0 || options.clients == 0 ||
	    inet_pton(AF_INET, argv[1], &source) != 1 ||
	    inet_pton(AF_INET, argv[2], &options.gateway.sin_addr) != 1) {
		fputs("usage: crowd [-a addresses] [-j at-once] [-n clients] [-r milliseconds] "
		      "slow|bind first-address gateway port\n",
		    stderr);
		exit(2);
	}
	options.binds = strcmp(argv[0], "bind") == 0;
	options.source = ntohl(source.s_addr);
	options.gateway.sin_family = AF_INET;
	options.gateway.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
}

int
main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct rlimit limit;

	parse_options(argc, argv);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	clients = calloc(options.clients, sizeof *clients);
	entries = calloc(options.clients, sizeof *entries);
	if (!clients || !entries)
		fail("calloc");
	not_answered = not_over = options.clients;
	for (size_t n = 0; n < options.clients; n++)
		clients[n].fd = -1;
	meet();
	report();
	return 0;
}
