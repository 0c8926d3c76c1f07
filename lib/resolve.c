#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/net.h"
#include "lib/resolve.h"

/* What the child tells through the pipe: one write of less than PIPE_BUF bytes, so that it comes
 * whole or not at all. The child has read what strangers answered, so nothing in it is trusted. */
struct message {
	int error; /* 0, or errno: the system failed us */
	unsigned count;
	struct address addresses[RESOLVE_MOST];
};

/* An answer that may be used and is not there yet. Mapped addresses have become IPv4 by then. */
static bool
is_welcome(const struct address *address, int family, const struct address *have, size_t count)
{
	if (family != AF_UNSPEC && address->family != family)
		return false;
	if (address_is_unspecified(address))
		return false;
	while (count-- > 0)
		if (address_equal(&have[count], address) && have[count].scope == address->scope)
			return false;
	return true;
}

static void
look_up(const char *name, int family, struct message *message)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL, *item;
	struct sockaddr_storage storage;
	struct endpoint found;
	int status = getaddrinfo(name, NULL, &hints, &list);

	if (status == EAI_MEMORY)
		message->error = ENOMEM;
	for (item = status == 0 ? list : NULL; item != NULL; item = item->ai_next) {
		if (message->count == RESOLVE_MOST || item->ai_addrlen > sizeof storage)
			break;
		memset(&storage, 0, sizeof storage);
		memcpy(&storage, item->ai_addr, item->ai_addrlen);
		if (address_from_socket(&storage, &found) == 0 &&
		    is_welcome(&found.address, family, message->addresses, message->count))
			message->addresses[message->count++] = found.address;
	}
	if (status == 0)
		freeaddrinfo(list);
}

static void
be_child(const char *name, int family, int64_t deadline, const int ends[2])
{
	static const int signals[] = { SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM };
	struct message message;
	size_t i;

	for (i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], SIG_DFL);
	/* In case that nobody lives to kill us. */
	if (deadline != NET_FOREVER)
		alarm((unsigned)(net_timeout(deadline) / 1000) + 2);
	/* The client's connection must end with the parent, whatever the resolver does. */
	close(0);
	close(1);
	close(ends[0]);
	memset(&message, 0, sizeof message);
	look_up(name, family, &message);
	_exit(write(ends[1], &message, sizeof message) == (ssize_t)sizeof message ? 0 : 1);
}

/* Waits for the child's message; RESOLVE_OK says no more than that bytes or an end have come. */
static enum resolve_status
await(int fd, int64_t deadline, const struct pollfd *watch)
{
	struct pollfd polled[2] = { { .fd = -1 }, { .fd = fd, .events = POLLIN } };
	int ready;

	if (watch != NULL)
		polled[0] = *watch;

	while (!net_stopped()) {
		ready = poll(polled, 2, net_timeout(deadline));
		if (ready == -1 && errno != EINTR)
			return RESOLVE_SYSTEM;
		if (ready == 0 && net_timeout(deadline) == 0)
			return RESOLVE_TIMEOUT;
		if (ready <= 0)
			continue;
		if (polled[0].revents != 0)
			return RESOLVE_LEFT;
		if (polled[1].revents != 0)
			return RESOLVE_OK;
	}
	return RESOLVE_STOPPED;
}

static enum resolve_status
take_message(int fd, int family, struct address *addresses, size_t *count)
{
	struct message message;
	struct address address;
	unsigned i;

	*count = 0;
	if (read(fd, &message, sizeof message) != (ssize_t)sizeof message) {
		errno = ECHILD; /* it died over the answer, or had no memory */
		return RESOLVE_SYSTEM;
	}
	if (message.error != 0) {
		errno = message.error;
		return RESOLVE_SYSTEM;
	}
	for (i = 0; i < message.count && i < RESOLVE_MOST; i++) {
		if (message.addresses[i].family != AF_INET &&
		    message.addresses[i].family != AF_INET6)
			continue;
		/* Set anew: an address must not be in a form that no rule knows. */
		address_set(&address, message.addresses[i].family, message.addresses[i].octets);
		if (address.family == AF_INET6)
			address.scope = message.addresses[i].scope;
		if (is_welcome(&address, family, addresses, *count))
			addresses[(*count)++] = address;
	}
	return *count > 0 ? RESOLVE_OK : RESOLVE_NONE;
}

enum resolve_status
resolve_name(const char *name, int family, int64_t deadline, const struct pollfd *watch,
    struct address *addresses, size_t *count)
{
	enum resolve_status status;
	int ends[2], error;
	pid_t child;

	/* Ignored by who started us, it would give the child's number away before we kill it. */
	signal(SIGCHLD, SIG_DFL);
	if (pipe(ends) == -1)
		return RESOLVE_SYSTEM;
	child = fork();
	if (child == 0)
		be_child(name, family, deadline, ends);
	error = errno;
	close(ends[1]);
	errno = error;
	status = child == -1 ? RESOLVE_SYSTEM : await(ends[0], deadline, watch);
	if (status == RESOLVE_OK)
		status = take_message(ends[0], family, addresses, count);
	error = errno;
	if (child != -1) {
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) == -1 && errno == EINTR)
			continue;
	}
	close(ends[0]);
	errno = error;
	return status;
}
