/* Why a session was refused or ended: one enum for all stages, one word each (DESIGN.md section 6).
 */

#ifndef REASON_H
#define REASON_H

enum reason {
	REASON_NONE, /* to refuse: the session may go on */
	REASON_MORE, /* not to be told yet: more bytes are needed */
	REASON_DENIED,
	REASON_NAMES_REFUSED,
	REASON_IDENT_NONE,
	REASON_IDENT_MISMATCH,
	REASON_IS_SOCKS5,
	REASON_IS_HTTP,
	REASON_IS_TLS,
	REASON_BAD_VERSION,
	REASON_BAD_COMMAND,
	REASON_BAD_ADDRESS,
	REASON_BAD_PORT,
	REASON_BAD_NAME,
	REASON_TOO_LONG,
	REASON_SHORT_REQUEST,
	REASON_REQUEST_TIMEOUT,
	REASON_RESOLVE_FAILED,
	REASON_RESOLVE_TIMEOUT,
	REASON_CONNECT_REFUSED,
	REASON_CONNECT_UNREACHABLE,
	REASON_CONNECT_TIMEOUT,
	REASON_CONNECT_FAILED,
	REASON_BIND_FAILED,
	REASON_BIND_TIMEOUT,
	REASON_BIND_WRONG_CALLER,
	REASON_CLIENT_LEFT,
	REASON_BAD_PROXY_HEADER,
	REASON_BROKEN_LIST,
	REASON_SYSTEM /* this process or machine failed us, or net_stop() was called */
};

/* The word for it in the log; none for REASON_NONE and REASON_MORE. */
const char *reason_word(enum reason reason);

#endif
