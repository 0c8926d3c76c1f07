/* The relay: two directions, each on its own, until both have ended (DESIGN.md section 5). */

#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct standard_file;

enum relay_end { RELAY_EOF, RELAY_RESET, RELAY_IDLE, RELAY_SIGNAL, RELAY_ERROR };

struct relay_result {
	enum relay_end end;
	unsigned long long up;	 /* bytes delivered to the remote */
	unsigned long long down; /* bytes delivered to the local side */
	bool untold;		 /* an abnormal end had to be told on what knows no reset */
};

/* Marks both ends so that the death of the process resets them: linger zero on TCP sockets. Call
 * before the reply that grants. Here as below in and out have been prepared by standard_prepare(),
 * and remote is a connection of ours: TCP, or the client's to a Unix socket. */
void relay_arm(const struct standard_file *in, const struct standard_file *out, int remote);

enum { RELAY_ROOM = 1024 }; /* all that a direction of a quiet session needs */

/* Relays in -> remote (up) and remote -> out (down). room: the buffer of the way up, of size bytes
 * (more than none), of which the first `early` have come with the request. idle: seconds without
 * progress either way, 0 = no limit. in and out may be one socket, two, pipes, terminals or files;
 * flags of what is no socket are restored. All three descriptors are closed on return, cleanly or
 * by reset as result->end says. Ends by RELAY_SIGNAL once net_stopped(). */
void relay_run(const struct standard_file *in, const struct standard_file *out,
    const struct standard_file *remote, unsigned char *room, size_t size, size_t early,
    unsigned idle, struct relay_result *result);

/* The word for it in the log (DESIGN.md section 6). */
const char *relay_reason(enum relay_end end);

#endif
