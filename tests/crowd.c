/*
 * crowd: many clients at once who mean no good: requests that never end, or BINDs that nobody
 * calls, from many addresses. tests/README.md has the options.
 */
#define NAME "crowd"
#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "tests/net.h"

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

/* again: milliseconds; 0: one that is turned away stays away */
static struct {
	long clients, addresses, at_once, again;
	bool binds;
	uint32_t source;
	struct net_address gateway;
} options = { .clients = 1000, .addresses = 1, .at_once = LONG_MAX };

/* For 203.0.113.80, port 80. */
static const unsigned char bind_request[] = { 4, 2, 0, 80, 203, 0, 113, 80, 0 },
			   slow_request[] = { 4, 1, 0, 80, 203, 0, 113, 80 };

static struct client *clients;
static struct pollfd *entries;
static long not_answered, not_over, under_way, calls, turned_away;
static volatile sig_atomic_t stopping;

static void
on_signal(int number)
{
	(void)number;
	stopping = 1;
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
		client->due = net_milliseconds() + options.again;
		return;
	}
	client->state = OVER;
	not_over--;
}

static void
call(struct client *client)
{
	struct net_address source = net_loopback(0);
	uint32_t number = (uint32_t)((client - clients) % options.addresses);

	source.of.four.sin_addr.s_addr = htonl(options.source + number);
	client->fd = net_bound(&source, SOCK_STREAM);
	net_must(client->fd >= 0 && fcntl(client->fd, F_SETFL, O_NONBLOCK) == 0, "socket");
	client->state = CALLING;
	client->answered = false;
	under_way++;
	calls++;
	if (connect(client->fd, &options.gateway.of.any, options.gateway.length) < 0 &&
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
	client->due = net_milliseconds() + BYTE_EVERY;
}

static void
begin(struct client *client)
{
	socklen_t length = sizeof(int);
	int error;

	net_must(getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0, "getsockopt");
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

/* When too many call, the gateway may know nothing of a connection that we think we have. */
static bool
is_known(const struct client *client)
{
	int waiting;

	return ioctl(client->fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

static void
work(struct client *client, short events)
{
	bool due = client->due <= net_milliseconds();

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
		long count = 0;
		for (long n = 0; n < options.clients; n++)
			count += strcmp(outcome(&clients[n]), outcomes[i]) == 0;
		if (count > 0)
			printf("%ld %s\n", count, outcomes[i]);
	}
	fprintf(stderr, "turned away %ld times\n", turned_away);
}

static void
meet(void)
{
	while (not_over > 0 && !stopping) {
		for (long n = 0; n < options.clients; n++) {
			entries[n].fd = clients[n].fd;
			entries[n].events = clients[n].state == CALLING ? POLLOUT : POLLIN;
			entries[n].revents = 0;
		}
		if (poll(entries, (nfds_t)options.clients, TICK) < 0)
			net_must(errno == EINTR, "poll");
		for (long n = 0; n < options.clients; n++)
			work(&clients[n], entries[n].revents);
	}
}

static void
parse_options(int argc, char **argv)
{
	const struct net_option letters[] = { { 'a', .number = &options.addresses },
		{ 'j', .number = &options.at_once }, { 'n', .number = &options.clients },
		{ 'r', .number = &options.again }, { 0 } };

	argv = net_options(argc, argv, letters, 4,
	    "crowd [-a addresses] [-j at-once] [-n clients] [-r milliseconds] "
	    "slow|bind first-address gateway port");
	options.binds = strcmp(argv[0], "bind") == 0;
	options.source = ntohl(net_numeric(argv[1], "0").of.four.sin_addr.s_addr);
	options.gateway = net_numeric(argv[2], argv[3]);
	net_must(options.source != 0 && options.gateway.length > 0, "not an address");
}

int
main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct rlimit limit;

	parse_options(argc, argv);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	net_must(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	clients = calloc((size_t)options.clients, sizeof *clients);
	entries = calloc((size_t)options.clients, sizeof *entries);
	net_must(clients != NULL && entries != NULL, "calloc");
	not_answered = not_over = options.clients;
	for (long n = 0; n < options.clients; n++)
		clients[n].fd = -1;
	meet();
	report();
	return 0;
}
