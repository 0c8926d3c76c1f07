#include "lib/reason.h"

const char *
reason_word(enum reason reason)
{
	static const char *const words[] = {
		[REASON_DENIED] = "denied",
		[REASON_NAMES_REFUSED] = "names-refused",
		[REASON_IDENT_NONE] = "ident-none",
		[REASON_IDENT_MISMATCH] = "ident-mismatch",
		[REASON_IS_SOCKS5] = "is-socks5",
		[REASON_IS_HTTP] = "is-http",
		[REASON_IS_TLS] = "is-tls",
		[REASON_BAD_VERSION] = "bad-version",
		[REASON_BAD_COMMAND] = "bad-command",
		[REASON_BAD_ADDRESS] = "bad-address",
		[REASON_BAD_PORT] = "bad-port",
		[REASON_BAD_NAME] = "bad-name",
		[REASON_TOO_LONG] = "too-long",
		[REASON_SHORT_REQUEST] = "short-request",
		[REASON_REQUEST_TIMEOUT] = "request-timeout",
		[REASON_RESOLVE_FAILED] = "resolve-failed",
		[REASON_RESOLVE_TIMEOUT] = "resolve-timeout",
		[REASON_CONNECT_REFUSED] = "connect-refused",
		[REASON_CONNECT_UNREACHABLE] = "connect-unreachable",
		[REASON_CONNECT_TIMEOUT] = "connect-timeout",
		[REASON_CONNECT_FAILED] = "connect-failed",
		[REASON_BIND_FAILED] = "bind-failed",
		[REASON_BIND_TIMEOUT] = "bind-timeout",
		[REASON_BIND_WRONG_CALLER] = "bind-wrong-caller",
		[REASON_CLIENT_LEFT] = "client-left",
		[REASON_BAD_PROXY_HEADER] = "bad-proxy-header",
		[REASON_BROKEN_LIST] = "broken-list",
		[REASON_SYSTEM] = "system",
		[REASON_EOF] = "eof",
		[REASON_RESET] = "reset",
		[REASON_IDLE] = "idle",
		[REASON_SIGNAL] = "signal",
		[REASON_ERROR] = "error",
	};

	return words[reason];
}
