/* Connects to the first of several addresses that answers (RFC 8305). */

#ifndef DIAL_H
#define DIAL_H

#include <stddef.h>
#include <stdint.h>

struct address;

enum { DIAL_MOST = 16 }; /* candidates; no more are tried */

struct dial_plan {
	const struct address *candidates; /* the first DIAL_MOST are tried */
	size_t count;
	unsigned port;
	const struct address *sources; /* local addresses: [0] IPv4, [1] IPv6; AF_UNSPEC: any */
	int64_t now;		       /* net_now(), or shortly before it */
	int64_t deadline;
	int watch; /* a client's socket, whose reset or full close ends the race; or -1 */
};

/* Connects by TCP to the first candidate that answers, raced as in RFC 8305: families alternate,
 * attempts start 250 ms apart or at once after a failure. Returns a non-blocking close-on-exec fd,
 * which the caller owns; or -1 with errno: the last attempt's, ETIMEDOUT at the deadline, ECANCELED
 * if the watched client left, EINTR after net_stop(). *winner is the index of the candidate that
 * answered, else of the one that failed last. */
int dial_race(const struct dial_plan *plan, size_t *winner);

/* Connects to the Unix socket at path, which must fit into struct sockaddr_un, and waits while its
 * backlog is full. Returns an fd as dial_race() does, or -1 with errno: ETIMEDOUT at the deadline
 * or after net_stop(). */
int dial_unix(const char *path, int64_t deadline);

#endif
