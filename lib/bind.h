/* BIND's one caller: listen, wait, accept. */

#ifndef BIND_H
#define BIND_H

#include <stddef.h>
#include <stdint.h>

#include "lib/reason.h"

struct address;
struct endpoint;

/* Listens on an address and a port from low to high: starts at a random one and takes the first
 * that is free and allowed; low 0: any port. Returns the fd, which the caller of this function
 * owns, and sets local; or -1 with errno. */
int bind_listen(const struct address *address, unsigned low, unsigned high, struct endpoint *local);

/* The waiting client. What it sends meanwhile is kept in bytes. */
struct bind_client {
	int in, out;
	unsigned char *bytes;
	size_t size, length;
};

/* Waits for the caller. Returns REASON_NONE with *fd, a non-blocking close-on-exec socket that the
 * calling function owns, and *caller, where it came from; else REASON_BIND_TIMEOUT,
 * REASON_CLIENT_LEFT or REASON_SYSTEM. */
enum reason bind_await(
    int listener, struct bind_client *client, int64_t deadline, int *fd, struct endpoint *caller);

#endif
