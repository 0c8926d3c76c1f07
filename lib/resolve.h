/* Names to addresses, and users to logins, within a limit: getaddrinfo(3) and getpwuid(3) know
 * none, so a child calls them. */

#ifndef RESOLVE_H
#define RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/address.h"
#include "lib/reason.h"

struct pollfd;

enum {
	RESOLVE_MOST = 16,  /* addresses of a name that are looked at */
	RESOLVE_LOGIN = 255 /* longest login: no USERID is longer */
};

struct resolve_query {
	const char *name;
	int family; /* AF_INET, AF_INET6, or AF_UNSPEC for both */
	int64_t deadline;
	/* A client's socket, and the poll(2) events beside a reset and a full close by which it has
	 * left; or NULL. */
	const struct pollfd *watch;
};

struct resolve_answer {
	struct address addresses[RESOLVE_MOST];
	size_t count;
};

/* Looks the name up, in the order of getaddrinfo(3) (RFC 6724). 0.0.0.0 and :: (mapped too) are
 * dropped. REASON_NONE with at least one address; REASON_RESOLVE_FAILED: no such name, or no
 * address of that family; REASON_RESOLVE_TIMEOUT; REASON_CLIENT_LEFT; REASON_SYSTEM. The child is
 * gone and reaped on return. */
enum reason resolve_name(const struct resolve_query *query, struct resolve_answer *answer);

/* Looks up the login of a uid, with the same reasons. On all but REASON_NONE login is empty. */
enum reason resolve_login(uid_t uid, int64_t deadline, char login[RESOLVE_LOGIN + 1]);

/* Takes out of the environment what would steer look-ups: for who serves others (a client keeps its
 * user's). */
void resolve_drop_environment(void);

#endif
