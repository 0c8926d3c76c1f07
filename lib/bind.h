/* The one caller of a BIND: listen, wait, accept. */

#ifndef BIND_H
#define BIND_H

#include <stddef.h>
#include <stdint.h>

#include "lib/reason.h"

struct address;
struct endpoint;

/* Listens for one caller on an address and a port from low to high, tried from a random one on
 * until one is free and allowed; low 0: any port. Returns the fd, which the caller owns, and sets
 * local; or -1 with errno. */
int bind_listen(const struct address *address, unsigned low, unsigned high, struct endpoint *local);

/* The client that waits; what it sends meanwhile is kept, as far as there is room. */
struct bind_client {
	int in, out;
	unsigned char *bytes;
	size_t size, length;
};

/* Waits for the caller. On REASON_NONE *fd is the connection, non-blocking, close-on-exec and the
 * caller's to close, and *caller where it came from. Else REASON_BIND_TIMEOUT, REASON_CLIENT_LEFT
 * or REASON_SYSTEM. */
enum reason bind_await(
    int listener, struct bind_client *client, int64_t deadline, int *fd, struct endpoint *caller);

#endif
