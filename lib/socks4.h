/* The SOCKS4 and SOCKS4A wire (draft-vance-socks-v4-03, draft-vance-socks-v4a): bytes to structs
 * and back, no I/O. */

#ifndef SOCKS4_H
#define SOCKS4_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/reason.h"

enum {
	SOCKS4_VERSION = 4,
	SOCKS4_REPLY_VERSION = 0,
	SOCKS4_CONNECT = 1,
	SOCKS4_BIND = 2,
	SOCKS4_GRANTED = 90,
	SOCKS4_REJECTED = 91,
	SOCKS4_NO_IDENTD = 92,
	SOCKS4_IDENT_MISMATCH = 93,
	SOCKS4_FIELD = 255,			    /* longest USERID or name, without the NUL */
	SOCKS4_REPLY = 8,			    /* bytes of a reply */
	SOCKS4_REQUEST = 8 + 2 * (SOCKS4_FIELD + 1) /* bytes of the longest request */
};

struct socks4_request {
	unsigned char command;
	bool addressed;		/* port and dstip are known */
	unsigned port;		/* DSTPORT, host byte order */
	unsigned char dstip[4]; /* network order; 0.0.0.x with x not 0 if name is set */
	const char *userid;	/* both are NUL-terminated and point into the decoded bytes */
	const char *name;	/* SOCKS4A; NULL in a SOCKS4 request */
};

struct socks4_reply {
	unsigned char version; /* 0; some old servers send 4 */
	unsigned char code;
	unsigned port;
	unsigned char dstip[4];
};

/* Decodes what has arrived so far, always from its first byte. Returns REASON_NONE if the request
 * is complete: it points into bytes, and *used of them belong to it. Else REASON_MORE, or what is
 * wrong; then command and userid are set if they are already known and valid, else 0 and NULL. */
enum reason socks4_decode_request(
    const unsigned char *bytes, size_t length, struct socks4_request *request, size_t *used);

/* Writes at most SOCKS4_REQUEST bytes and returns how many. userid and name must not be longer than
 * SOCKS4_FIELD. */
size_t socks4_encode_request(const struct socks4_request *request, unsigned char *bytes);

/* A reply cannot fail to decode: the caller checks version and code. */
void socks4_encode_reply(const struct socks4_reply *reply, unsigned char bytes[SOCKS4_REPLY]);
void socks4_decode_reply(const unsigned char bytes[SOCKS4_REPLY], struct socks4_reply *reply);

#endif
