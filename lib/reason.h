/* Why a session was refused or ended: one enum for all stages, one word each (DESIGN.md section 6).
 */

#ifndef REASON_H
#define REASON_H

/* Each reason and its word, in the order of the stages; the last five are how a relay ended.
 * REASON_SYSTEM: this process or machine failed us, or net_stop() was called. */
#define REASONS(REASON)                                                                            \
	REASON(REASON_DENIED, "denied")                                                            \
	REASON(REASON_NAMES_REFUSED, "names-refused")                                              \
	REASON(REASON_IDENT_NONE, "ident-none")                                                    \
	REASON(REASON_IDENT_MISMATCH, "ident-mismatch")                                            \
	REASON(REASON_IS_SOCKS5, "is-socks5")                                                      \
	REASON(REASON_IS_HTTP, "is-http")                                                          \
	REASON(REASON_IS_TLS, "is-tls")                                                            \
	REASON(REASON_BAD_VERSION, "bad-version")                                                  \
	REASON(REASON_BAD_COMMAND, "bad-command")                                                  \
	REASON(REASON_BAD_ADDRESS, "bad-address")                                                  \
	REASON(REASON_BAD_PORT, "bad-port")                                                        \
	REASON(REASON_BAD_NAME, "bad-name")                                                        \
	REASON(REASON_TOO_LONG, "too-long")                                                        \
	REASON(REASON_SHORT_REQUEST, "short-request")                                              \
	REASON(REASON_REQUEST_TIMEOUT, "request-timeout")                                          \
	REASON(REASON_RESOLVE_FAILED, "resolve-failed")                                            \
	REASON(REASON_RESOLVE_TIMEOUT, "resolve-timeout")                                          \
	REASON(REASON_CONNECT_REFUSED, "connect-refused")                                          \
	REASON(REASON_CONNECT_UNREACHABLE, "connect-unreachable")                                  \
	REASON(REASON_CONNECT_TIMEOUT, "connect-timeout")                                          \
	REASON(REASON_CONNECT_FAILED, "connect-failed")                                            \
	REASON(REASON_BIND_FAILED, "bind-failed")                                                  \
	REASON(REASON_BIND_TIMEOUT, "bind-timeout")                                                \
	REASON(REASON_BIND_WRONG_CALLER, "bind-wrong-caller")                                      \
	REASON(REASON_CLIENT_LEFT, "client-left")                                                  \
	REASON(REASON_BAD_PROXY_HEADER, "bad-proxy-header")                                        \
	REASON(REASON_BROKEN_LIST, "broken-list")                                                  \
	REASON(REASON_SYSTEM, "system")                                                            \
	REASON(REASON_EOF, "eof")                                                                  \
	REASON(REASON_RESET, "reset")                                                              \
	REASON(REASON_IDLE, "idle")                                                                \
	REASON(REASON_SIGNAL, "signal")                                                            \
	REASON(REASON_ERROR, "error")

#define REASON_NAME(name, word) name,

enum reason {
	REASON_NONE, /* the session may go on */
	REASON_MORE, /* not known yet: more bytes are needed */
	REASONS(REASON_NAME)
};

/* Returns its word in the log, a static string; NULL for REASON_NONE and REASON_MORE. */
const char *reason_word(enum reason reason);

#endif
