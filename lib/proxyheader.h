/* The PROXY protocol header, versions 1 and 2 (haproxy proxy-protocol.txt): a pure parser. */

#ifndef PROXYHEADER_H
#define PROXYHEADER_H

#include <stddef.h>

#include "lib/address.h"
#include "lib/reason.h"

enum {
	PROXY_V1_MOST = 107, /* with CR LF */
	PROXY_V2_HEAD = 16,
	PROXY_V2_MOST = 16 + 2048 /* DESIGN.md section 7: length field at most 2048 */
};

struct proxyheader {
	struct endpoint source; /* family AF_UNSPEC: LOCAL or UNKNOWN, use the peer's own */
	struct endpoint destination;
};

/* Decodes what has arrived so far, always from its first byte. Returns REASON_NONE if the header is
 * complete, with *used its length; else REASON_MORE or REASON_BAD_PROXY_HEADER, with header zeroed.
 */
enum reason proxyheader_decode(
    const unsigned char *bytes, size_t length, struct proxyheader *header, size_t *used);

#endif
