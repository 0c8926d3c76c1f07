/* The first of many addresses that answers (RFC 8305). */

#ifndef DIAL_H
#define DIAL_H

#include <stddef.h>
#include <stdint.h>

struct address;
struct endpoint;

enum { DIAL_MOST = 16 }; /* candidates; no more are tried */

struct dial_plan {
	const struct endpoint *candidates; /* the first DIAL_MOST are tried */
	size_t count;
	const struct address *sources; /* local addresses: [0] IPv4, [1] IPv6; AF_UNSPEC: any */
	int64_t deadline;
	int watch; /* the socket of a client whose reset or full close ends it, or -1 */
};

/* A TCP connection to the first of the candidates that answers, raced as RFC 8305 does: families
 * alternate, 250 ms apart or at once after a failure. Returns a non-blocking close-on-exec fd that
 * the caller owns, with *winner the candidate's index; or -1 with errno of the last attempt,
 * ETIMEDOUT at the deadline (then *winner names the candidate that failed last), ECANCELED if the
 * watched client left, EINTR after net_stop(). */
int dial_race(const struct dial_plan *plan, size_t *winner);

/* A connection to the Unix socket of that path, which must fit into struct sockaddr_un. A full
 * backlog is waited for. Returns as dial_race(). */
int dial_unix(const char *path, int64_t deadline);

#endif
