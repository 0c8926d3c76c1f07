/* Who the client is: RFC 1413, peer credentials, login name. */

#ifndef IDENT_H
#define IDENT_H

#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct standard_file;

enum {
	IDENT_LINE = 1000, /* longest reply line without CR LF (RFC 1413 section 5) */
	IDENT_USER = 512   /* longest user identifier in octets */
};

/* Parses a reply line without its line end (RFC 1413 section 6). Returns 0 with user
 * NUL-terminated, or -1 with user empty if the reply is ERROR, OTHER, for another port pair,
 * malformed or too long. Pure. */
int ident_parse_reply(const char *line, size_t length, unsigned port_there, unsigned port_here,
    char user[IDENT_USER + 1]);

/* Asks identd (port 113) on source's host, from here's address, who owns the connection from source
 * to here. Returns 0 with user, or -1 with user empty if no identity was obtained by the deadline.
 */
int ident_query(const struct endpoint *source, const struct endpoint *here, int64_t deadline,
    char user[IDENT_USER + 1]);

/* Looks up the login name of a local client: on a Unix socket of the peer's uid, else of our real
 * uid. Returns 0 with user, or -1 with user empty if there is none or none by the deadline. */
int ident_local(const struct standard_file *file, int64_t deadline, char user[IDENT_USER + 1]);

#endif
