/* Names to addresses and uids to logins, by a deadline: getaddrinfo(3) and getpwuid(3) have none,
 * so a child calls them. */

#ifndef RESOLVE_H
#define RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/reason.h"

struct pollfd;

enum {
	RESOLVE_MOST = 16,  /* most addresses taken from a name */
	RESOLVE_LOGIN = 255 /* longest login, as long as the longest USERID */
};

struct resolve_query {
	const char *name;
	int family; /* AF_INET, AF_INET6, or AF_UNSPEC for both */
	int64_t deadline;
	/* A client's socket, and the poll(2) events that mean it has left, besides a reset and a
	 * full close; or NULL. */
	const struct pollfd *watch;
};

struct resolve_answer {
	struct address addresses[RESOLVE_MOST];
	size_t count;
};

/* Looks a name up; addresses are in getaddrinfo(3)'s order (RFC 6724), without 0.0.0.0 and ::
 * (mapped too). Returns REASON_NONE with at least one address; REASON_RESOLVE_FAILED if there is no
 * such name or no address of that family; REASON_RESOLVE_TIMEOUT, REASON_CLIENT_LEFT or
 * REASON_SYSTEM. The child is reaped on return. */
enum reason resolve_name(const struct resolve_query *query, struct resolve_answer *answer);

/* Looks up the login of a uid. Returns the same reasons; login is empty unless it is REASON_NONE.
 */
enum reason resolve_login(uid_t uid, int64_t deadline, char login[RESOLVE_LOGIN + 1]);

/* Removes the variables that steer look-ups from the environment. Not for the client, which keeps
 * its user's. */
void resolve_drop_environment(void);

#endif
