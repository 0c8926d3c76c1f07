/* What the C peers share. Each defines NAME, what it is called, before it includes this. */

#ifndef TESTS_NET_H
#define TESTS_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Ends the program with status 1, and says what failed and why (errno). */
__attribute__((noreturn)) static inline void
net_fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", NAME, what, strerror(errno));
	exit(1);
}

static inline void
net_must(bool good, const char *what)
{
	if (!good)
		net_fail(what);
}

/* ---- options ---- */

/* A letter, and where it goes: a flag is set, a text or a number follows the letter. */
struct net_option {
	char letter;
	bool *flag;
	const char **text;
	long *number;
};

/* Reads the options, the last of which has the letter 0. Returns the words after them, at least so
 * many; else prints the usage and exits 2. */
static inline char **
net_options(int argc, char **argv, const struct net_option *options, int least, const char *usage)
{
	char letters[32] = "+", *end = letters + 1;
	const struct net_option *option;
	int letter;

	for (option = options; option->letter != '\0'; option++) {
		*end++ = option->letter;
		if (!option->flag)
			*end++ = ':';
	}
	while ((letter = getopt(argc, argv, letters)) != -1) {
		for (option = options; option->letter != '\0' && option->letter != letter;)
			option++;
		if (option->letter == '\0')
			break;
		if (option->flag)
			*option->flag = true;
		else if (option->text)
			*option->text = optarg;
		else
			*option->number = strtol(optarg, NULL, 10);
	}
	if (letter != -1 || argc - optind < least) {
		fprintf(stderr, "usage: %s\n", usage);
		exit(2);
	}
	return argv + optind;
}

/* ---- time and chance ---- */

static inline int64_t
net_nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t
net_milliseconds(void)
{
	return net_nanoseconds() / 1000000;
}

/* The value of that number in a random order of all values (splitmix64). */
static inline uint64_t
net_random(uint64_t number)
{
	uint64_t value = (number + 1) * 0x9e3779b97f4a7c15u;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

/* Has the handler called for these signals, the last of which is 0, but only while the mask that is
 * returned is in force, as ppoll(2) and pselect(2) do. A shell starts background jobs with SIGINT
 * ignored and may block what we wait for. */
static inline sigset_t
net_catch(const int *signals, void (*handler)(int))
{
	const struct sigaction action = { .sa_handler = handler };
	sigset_t blocked, mask;

	sigemptyset(&blocked);
	for (const int *number = signals; *number != 0; number++) {
		sigaction(*number, &action, NULL);
		sigaddset(&blocked, *number);
	}
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	for (const int *number = signals; *number != 0; number++)
		sigdelset(&mask, *number);
	return mask;
}

/* ---- addresses and sockets ---- */

struct net_address {
	union {
		struct sockaddr_storage storage;
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
		struct sockaddr_un local;
	} of;
	socklen_t length; /* 0: that was no address */
};

static inline struct net_address
net_loopback(unsigned port)
{
	struct net_address address = { .length = sizeof address.of.four };

	address.of.four.sin_family = AF_INET;
	address.of.four.sin_port = htons((uint16_t)port);
	address.of.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

/* An address and a port in numbers. */
static inline struct net_address
net_numeric(const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	struct net_address address = { .length = 0 };
	struct addrinfo *found;

	/* getaddrinfo(3) would take 65537 for 1. */
	if (strtoul(port, NULL, 10) > 65535 || getaddrinfo(host, port, &hints, &found) != 0)
		return address;
	memcpy(&address.of, found->ai_addr, found->ai_addrlen);
	address.length = found->ai_addrlen;
	freeaddrinfo(found);
	return address;
}

static inline struct net_address
net_local(const char *path)
{
	struct net_address address = { .length = 0 };

	if (strlen(path) >= sizeof address.of.local.sun_path) {
		errno = ENAMETOOLONG;
		return address;
	}
	address.of.local.sun_family = AF_UNIX;
	memcpy(address.of.local.sun_path, path, strlen(path) + 1);
	address.length = sizeof address.of.local;
	return address;
}

/* One end of a connection, by getsockname or getpeername. */
static inline struct net_address
net_end(int fd, int (*end)(int, struct sockaddr *, socklen_t *))
{
	struct net_address address = { .length = sizeof address.of };

	if (end(fd, &address.of.any, &address.length) < 0)
		address.length = 0;
	return address;
}

/* 0 for a Unix socket. */
static inline unsigned
net_port(const struct net_address *address)
{
	int family = address->of.any.sa_family;

	if (family == AF_INET)
		return ntohs(address->of.four.sin_port);
	return family == AF_INET6 ? ntohs(address->of.six.sin6_port) : 0;
}

/* A socket of the type that is bound there, or -1. */
static inline int
net_bound(const struct net_address *address, int type)
{
	int on = 1, fd = socket(address->of.any.sa_family, type, 0);

	if (address->length == 0 || fd < 0 ||
	    (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) ||
	    bind(fd, &address->of.any, address->length) < 0)
		return -1;
	return fd;
}

/* A socket that listens there, or -1. */
static inline int
net_listener(const struct net_address *address, int backlog)
{
	int fd = net_bound(address, SOCK_STREAM);

	return fd >= 0 && listen(fd, backlog) == 0 ? fd : -1;
}

/* A connection to that port of 127.0.0.1, or -1. */
static inline int
net_connect(unsigned port)
{
	struct net_address address = net_loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	net_must(fd >= 0, "socket");
	if (connect(fd, &address.of.any, address.length) == 0)
		return fd;
	close(fd);
	return -1;
}

#endif
