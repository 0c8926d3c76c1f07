/* The relay: two directions, each on its own, until both have ended (DESIGN.md section 5). */

#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/reason.h"

struct log_record;
struct standard_file;

enum { RELAY_ROOM = 1024 }; /* all that a direction of a quiet session needs */

struct relay_job {
	const struct standard_file *standard; /* fd 0 to 2, prepared by standard_prepare() */
	int remote;			      /* a connected socket of ours */
	bool remote_tcp;
	unsigned char *room; /* the buffer of the way up, size bytes (at least one), */
	size_t size, early;  /* of which the first `early` came with the request */
	unsigned idle;	     /* seconds without progress either way; 0: no limit */
	int64_t start, now;  /* by net_now(): when the session began, and a moment ago */
	struct log_record *record;
};

/* Marks both ends so that the death of the process resets them: linger zero on TCP sockets. Call
 * before the reply that grants. */
void relay_arm(const struct standard_file *standard, int remote);

/* Enters the sandbox and relays fd 0 -> remote (up) and remote -> fd 1 (down), with the open and
 * the close line in the log. fd 0 and 1 may be one socket, two, pipes, terminals or files; flags of
 * what is no socket are restored. All three descriptors are closed on return, cleanly or by reset
 * as the returned reason says; REASON_SIGNAL: net_stopped(). *untold: an abnormal end had to be
 * told to a peer for which no reset exists. */
enum reason relay_run(const struct relay_job *job, bool *untold);

#endif
