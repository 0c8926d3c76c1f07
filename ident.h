/* Who is behind fd 0: RFC 1413, peer credentials, login name. */

#ifndef IDENT_H
#define IDENT_H

#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct standard_file;

enum {
	IDENT_LINE = 1000, /* RFC 1413 section 5: longest reply line, without its end */
	IDENT_USER = 512   /* longest user identifier, octets */
};

/* Parses a reply line without its line end. The user as a NUL-terminated string, or -1 with user
 * empty if it names none: ERROR, OTHER, another port pair, malformed, over-long. Pure. */
int ident_parse_reply(const char *line, size_t length, unsigned port_there, unsigned port_here,
    char user[IDENT_USER + 1]);

/* Asks the identd of source.address (port 113) from here.address who owns the connection from
 * source to here. 0 with user, or -1: none was obtained within the deadline (never later). */
int ident_query(const struct endpoint *source, const struct endpoint *here, int64_t deadline,
    char user[IDENT_USER + 1]);

/* The login name behind a local client's file: of the peer's uid for a socket, which is a Unix one
 * then, else of our real uid. 0, or -1 if there is none, or none within the deadline. */
int ident_local(const struct standard_file *file, int64_t deadline, char user[IDENT_USER + 1]);

#endif
