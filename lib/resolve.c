#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/net.h"
#include "lib/resolve.h"
#include "lib/standard.h"

/* POSIX leaves the declaration to the program. */
extern char **environ;

/* The child's answer through the pipe: one write of less than PIPE_BUF bytes, so it comes whole or
 * not at all. The child has parsed strangers' answers, so nothing in it is trusted. */
struct message {
	bool failed; /* the system failed us */
	unsigned count;
	union {
		struct address addresses[RESOLVE_MOST];
		char login[RESOLVE_LOGIN + 1];
	} found;
};

/* True if the address may be used and is new. Mapped addresses are already IPv4 here. */
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
look_up_name(const char *name, int family, struct message *message)
{
	struct address *addresses = message->found.addresses;
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL, *item;
	struct sockaddr_storage storage;
	struct endpoint found;
	int status = getaddrinfo(name, NULL, &hints, &list);

	message->failed = status == EAI_MEMORY;
	for (item = status == 0 ? list : NULL; item != NULL; item = item->ai_next) {
		if (message->count == RESOLVE_MOST || item->ai_addrlen > sizeof storage)
			break;
		memset(&storage, 0, sizeof storage);
		memcpy(&storage, item->ai_addr, item->ai_addrlen);
		if (address_from_socket(&storage, &found) == 0 &&
		    is_welcome(&found.address, family, addresses, message->count))
			addresses[message->count++] = found.address;
	}
	if (status == 0)
		freeaddrinfo(list);
}

static void
look_up_login(uid_t uid, struct message *message)
{
	const struct passwd *entry = getpwuid(uid);

	if (entry != NULL && strlen(entry->pw_name) <= RESOLVE_LOGIN)
		strcpy(message->found.login, entry->pw_name);
}

static void
be_child(const struct resolve_query *query, uid_t uid, const int ends[2])
{
	struct message message;

	standard_forget_signals();
	/* In case the parent does not live to kill us. */
	if (query->deadline != NET_FOREVER)
		alarm((unsigned)(net_timeout(query->deadline) / 1000) + 2);
	/* The client's connection must end with the parent, whatever the resolver does. */
	close(0);
	close(1);
	close(ends[0]);
	memset(&message, 0, sizeof message);
	if (query->name != NULL)
		look_up_name(query->name, query->family, &message);
	else
		look_up_login(uid, &message);
	_exit(write(ends[1], &message, sizeof message) == (ssize_t)sizeof message ? 0 : 1);
}

/* Waits for the child's message. REASON_NONE means only that bytes or the end have come. */
static enum reason
await(int fd, const struct resolve_query *query)
{
	struct pollfd polled[2] = { { .fd = -1 }, { .fd = fd, .events = POLLIN } };

	if (query->watch != NULL)
		polled[0] = *query->watch;
	if (net_poll(polled, 2, query->deadline) == -1)
		return errno == ETIMEDOUT ? REASON_RESOLVE_TIMEOUT : REASON_SYSTEM;
	return polled[0].revents != 0 ? REASON_CLIENT_LEFT : REASON_NONE;
}

/* Has a child look up the name or, if that is NULL, the login of uid. Reaps it. */
static enum reason
ask_child(const struct resolve_query *query, uid_t uid, struct message *message)
{
	enum reason reason;
	int ends[2];
	pid_t child;

	/* If the launcher had it ignored, the child's pid could be reused before we kill it. */
	signal(SIGCHLD, SIG_DFL);
	if (pipe(ends) == -1)
		return REASON_SYSTEM;
	child = fork();
	if (child == 0)
		be_child(query, uid, ends);
	close(ends[1]);
	reason = child == -1 ? REASON_SYSTEM : await(ends[0], query);
	/* The child may have crashed on the answer or run out of memory. */
	if (reason == REASON_NONE &&
	    (read(ends[0], message, sizeof *message) != (ssize_t)sizeof *message ||
		message->failed))
		reason = REASON_SYSTEM;
	if (child != -1) {
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) == -1 && errno == EINTR)
			continue;
	}
	close(ends[0]);
	return reason;
}

enum reason
resolve_name(const struct resolve_query *query, struct resolve_answer *answer)
{
	struct message message;
	struct address address, *found = message.found.addresses;
	enum reason reason = ask_child(query, 0, &message);
	unsigned i;

	answer->count = 0;
	if (reason != REASON_NONE)
		return reason;
	for (i = 0; i < message.count && i < RESOLVE_MOST; i++) {
		if (found[i].family != AF_INET && found[i].family != AF_INET6)
			continue;
		/* Normalize it again: no rule would match a mapped form. */
		address_set(&address, found[i].family, found[i].octets);
		if (address.family == AF_INET6)
			address.scope = found[i].scope;
		if (is_welcome(&address, query->family, answer->addresses, answer->count))
			answer->addresses[answer->count++] = address;
	}
	return answer->count > 0 ? REASON_NONE : REASON_RESOLVE_FAILED;
}

enum reason
resolve_login(uid_t uid, int64_t deadline, char login[RESOLVE_LOGIN + 1])
{
	const struct resolve_query query = { .deadline = deadline };
	struct message message;
	enum reason reason = ask_child(&query, uid, &message);

	memset(login, 0, RESOLVE_LOGIN + 1);
	if (reason != REASON_NONE)
		return reason;
	memcpy(login, message.found.login, RESOLVE_LOGIN);
	return *login != '\0' ? REASON_NONE : REASON_RESOLVE_FAILED;
}

void
resolve_drop_environment(void)
{
	/* glibc's and the BSDs' own, then systemd's, sssd's and NIS's. GCONV_PATH, LOCPATH and the
	 * like do no harm: this program stays in the C locale. */
	static const char *const steering[] = { "ASR_CONFIG=", "HOSTALIASES=", "LOCALDOMAIN=",
		"RESOLV_", "RES_", "SYSTEMD_NSS_", "SSS_", "_SSS_", "NIS_" };
	char **from, **to = environ;
	size_t i;

	for (from = environ; from != NULL && *from != NULL; from++) {
		for (i = 0; i < sizeof steering / sizeof *steering; i++)
			if (**from == *steering[i] &&
			    strncmp(*from, steering[i], strlen(steering[i])) == 0)
				break;
		if (i == sizeof steering / sizeof *steering)
			*to++ = *from;
	}
	if (to != NULL)
		*to = NULL;
}
