#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/bind.h"
#include "lib/dryrun.h"
#include "lib/client.h"
#include "lib/dial.h"
#include "ident.h"
#include "lib/candidates.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/options.h"
#include "lib/proxyheader.h"
#include "lib/reason.h"
#include "lib/relay.h"
#include "lib/resolve.h"
#include "lib/socks4.h"
#include "lib/standard.h"
#include "lib/text.h"

enum { IN = 0, OUT = 1, ERRORS = 2 };

enum { DRAIN_MOST = 65536, DRAIN_SECONDS = 1 };

/* Room for a PROXY header and a request, and at least one byte more, for the relay. */
enum { BYTES_MOST = PROXY_V2_MOST + SOCKS4_REQUEST + 1 };

/* While a list is in force ten rules or so lie behind a request's room; a longer one is mapped. */
enum { WINDOW = SOCKS4_REQUEST / 8 * 8 + 120 };

struct session {
	const struct options *options;
	struct standard_file *standard; /* fd 0 to 2 */
	struct candidates_list *list;	/* until the request is judged */
	struct candidates *candidates;	/* until it is granted or refused */
	const char *label;		/* the list's */
	int watch;			/* IN if a socket shows that the client left, else -1 */
	struct endpoint source;		/* the client: fd 0's peer, or what a PROXY header says */
	struct endpoint reached;	/* the address that it reached, if a PROXY header says so */
	bool header_due;		/* a PROXY header must come before the request */
	struct socks4_request request;
	int64_t deadline; /* of resolving and dialling, or of resolving and waiting */
	int remote;
	struct endpoint destination;
	struct log_record record;
	int64_t start, now; /* when it began, and when it last waited for something */
	unsigned char *bytes;
	size_t size, length, used; /* of bytes: room; all read so far; header and request */
};

static void
show_rule(struct session *s, const struct acl_decision *decision)
{
	s->record.line = decision->line;
	s->record.rule = decision->line != 0 ? s->label : "default";
}

static void
show_address(struct session *s, const struct address *address)
{
	s->destination.address = *address;
	s->destination.port = s->request.port;
	s->record.destination = &s->destination;
}

/* Shows a candidate's address and rule in the log line. */
static void
show_candidate(struct session *s, const struct candidate *candidate)
{
	show_address(s, &candidate->address);
	show_rule(s, &candidate->decision);
}

static bool
is_sender(const struct options *options, const struct address *peer)
{
	size_t i;

	for (i = 0; i < options->senders_count; i++)
		if (address_in_prefix(peer, &options->senders[i]))
			return true;
	return false;
}

static enum reason
find_source(struct session *s)
{
	/* Before any read: urgent data may come with the request. */
	standard_prepare(&s->standard[IN], &s->standard[OUT]);
	switch (standard_peer(&s->standard[IN], &s->source)) {
	case PEER_TCP:
		s->watch = IN;
		s->record.source = &s->source;
		s->header_due = is_sender(s->options, &s->source.address);
		return REASON_NONE;
	case PEER_LOCAL:
		s->watch = s->standard[IN].socket ? IN : -1;
		s->record.source = &s->source;
		s->record.via = getenv("SSH_CONNECTION");
		return REASON_NONE;
	case PEER_GONE:
		return REASON_CLIENT_LEFT;
	default:
		return REASON_SYSTEM;
	}
}

static enum reason
load_list(struct session *s)
{
	if (candidates_load(s->options, NULL, log_error, s->list) == -1)
		return REASON_BROKEN_LIST;
	s->label = s->list->label;
	return REASON_NONE;
}

static enum reason
decode_header(struct session *s)
{
	struct proxyheader header;
	enum reason reason = proxyheader_decode(s->bytes, s->length, &header, &s->used);

	if (reason != REASON_NONE)
		return reason;
	s->header_due = false;
	if (header.source.address.family != AF_UNSPEC) {
		s->source = header.source;
		s->reached = header.destination;
	}
	return REASON_NONE;
}

static enum reason
decode_request(struct session *s)
{
	enum reason reason = s->header_due ? decode_header(s) : REASON_NONE;
	size_t used = 0;

	if (reason != REASON_NONE)
		return reason;
	reason = socks4_decode_request(s->bytes + s->used, s->length - s->used, &s->request, &used);
	s->used += used;
	if (s->request.command != 0)
		s->record.command = s->request.command == SOCKS4_BIND ? "bind" : "connect";
	s->record.userid = s->request.userid;
	s->record.name = s->request.name;
	s->record.port = s->request.addressed ? &s->request.port : NULL;
	return reason;
}

/* Why a read or write at the client's end failed. */
static enum reason
client_failure(const struct standard_file *file, int error)
{
	return error == ETIMEDOUT || net_is_lost(error, file->socket) ? REASON_CLIENT_LEFT
								      : REASON_SYSTEM;
}

/* One limit covers header and request; bytes after them are left for the relay. */
static enum reason
read_request(struct session *s)
{
	int64_t deadline = net_later(s->start, s->options->limits.request);
	enum reason reason;
	ssize_t count;

	do {
		count = net_read(IN, s->bytes + s->length, s->size - s->length, deadline);
		if (count == 0)
			return s->header_due ? REASON_BAD_PROXY_HEADER : REASON_SHORT_REQUEST;
		if (count == -1) {
			if (errno == ETIMEDOUT && net_now() >= deadline)
				return REASON_REQUEST_TIMEOUT;
			return client_failure(&s->standard[IN], errno);
		}
		s->length += (size_t)count;
		reason = decode_request(s);
	} while (reason == REASON_MORE);
	s->now = net_now();
	s->record.ms_request = s->now - s->start;
	return reason;
}

static enum reason
judge(struct session *s)
{
	const struct limits *limits = &s->options->limits;
	bool binding = s->request.command == SOCKS4_BIND;
	/* A client that ends its input has left if it waits for BIND; else it has only finished
	 * sending. */
	const struct pollfd watch = { .fd = s->watch, .events = binding ? net_early_end() : 0 };
	const struct candidates_question question = { s->list, s->options, &s->source.address,
		&s->request, net_later(s->now, binding ? limits->bind : limits->connect), &watch };
	enum reason reason = candidates_judge(&question, s->candidates);

	s->deadline = question.deadline;
	s->record.ms_resolve = s->candidates->ms_resolve;
	if (s->record.ms_resolve > 0)
		s->now += s->record.ms_resolve;
	if (s->candidates->count > 0) {
		show_address(s, &s->candidates->each[0].address);
		if (!s->candidates->named)
			s->record.name = NULL; /* an address stands alone */
	}
	if (reason == REASON_DENIED)
		show_rule(s, &s->candidates->each[0].decision);
	return reason;
}

/* Finds the identity (DESIGN.md section 3). Returns false if none was obtained. */
static bool
find_identity(struct session *s, char *identity)
{
	int64_t deadline = net_deadline(s->options->limits.ident);

	if (s->source.address.family == AF_UNSPEC)
		return ident_local(&s->standard[IN], deadline, identity) == 0;
	if (s->reached.address.family == AF_UNSPEC && net_local(IN, &s->reached) == -1)
		return false;
	return ident_query(&s->source, &s->reached, deadline, identity) == 0;
}

/* Drops the denied candidates. Returns true if a remaining one's rule asks for an identity. */
static bool
keep_permitted(struct candidates *candidates)
{
	bool wanted = false;
	size_t i, kept = 0;

	for (i = 0; i < candidates->count; i++) {
		const struct candidate *candidate = &candidates->each[i];

		if (candidate->decision.verdict != ACL_PERMIT)
			continue;
		wanted = wanted || candidate->decision.ident != RULE_IDENT_OFF;
		candidates->each[kept++] = *candidate;
	}
	candidates->count = kept;
	return wanted;
}

/* Holds a candidate's rule against what is known: an identity, and if so whether it is USERID. */
static enum reason
check_identity(const struct candidate *candidate, bool known, bool same)
{
	if (candidate->decision.ident == RULE_IDENT_OFF || same ||
	    (!known && candidate->decision.ident == RULE_IDENT_ASK))
		return REASON_NONE;
	return known ? REASON_IDENT_MISMATCH : REASON_IDENT_NONE;
}

/* Keeps the permitted candidates whose rule accepts the identity; asks once, if one asks. */
static enum reason
identify(struct session *s)
{
	static char identity[IDENT_USER + 1]; /* the closing log line has it, too */
	struct candidates *candidates = s->candidates;
	enum reason reason, first = REASON_NONE;
	bool known, same;
	size_t i, kept = 0;
	int64_t start;

	if (!keep_permitted(candidates))
		return REASON_NONE;
	start = net_now();
	known = find_identity(s, identity);
	same = known && strcmp(identity, s->request.userid) == 0;
	s->record.ident = known ? identity : "";
	s->now = net_now();
	s->record.ms_ident = s->now - start;
	if (net_stopped())
		return REASON_SYSTEM;
	if (s->deadline != NET_FOREVER)
		s->deadline += s->record.ms_ident; /* the identity query has its own limit */
	for (i = 0; i < candidates->count; i++) {
		reason = check_identity(&candidates->each[i], known, same);
		if (reason == REASON_NONE) {
			candidates->each[kept++] = candidates->each[i];
		} else if (first == REASON_NONE) {
			first = reason;
			show_candidate(s, &candidates->each[i]);
		}
	}
	candidates->count = kept;
	return kept > 0 ? REASON_NONE : first;
}

/* True if the error means that this process or machine has run out of something. */
static bool
is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static enum reason
dial_failure(int error)
{
	if (is_shortage(error))
		return REASON_SYSTEM;
	switch (error) {
	case ECANCELED:
		return REASON_CLIENT_LEFT;
	case EINTR:
		return REASON_SYSTEM;
	case ETIMEDOUT:
		return REASON_CONNECT_TIMEOUT;
	case ECONNREFUSED:
		return REASON_CONNECT_REFUSED;
	case EAFNOSUPPORT:
	case EHOSTUNREACH:
	case ENETDOWN:
	case ENETUNREACH:
		return REASON_CONNECT_UNREACHABLE;
	default:
		return REASON_CONNECT_FAILED;
	}
}

static enum reason
connect_out(struct session *s)
{
	struct address addresses[RESOLVE_MOST];
	const struct dial_plan plan = { addresses, s->candidates->count, s->request.port,
		s->options->sources, s->now, s->deadline, s->watch };
	size_t i, winner = 0;
	int error;

	for (i = 0; i < plan.count; i++)
		addresses[i] = s->candidates->each[i].address;
	s->remote = dial_race(&plan, &winner);
	error = errno;
	s->now = net_now();
	s->record.ms_connect = s->now - plan.now;
	show_candidate(s, &s->candidates->each[winner]);
	return s->remote != -1 ? REASON_NONE : dial_failure(error);
}

/* Replies are written at once and alone. */
static int
reply(const struct session *s, unsigned char code, const struct endpoint *meaningful)
{
	struct socks4_reply packet = { SOCKS4_REPLY_VERSION, code, 0, { 0 } };
	unsigned char bytes[SOCKS4_REPLY];
	struct pollfd out = { .fd = OUT, .events = POLLOUT };

	if (meaningful != NULL) {
		packet.port = meaningful->port;
		memcpy(packet.dstip, meaningful->address.octets, sizeof packet.dstip);
	}
	socks4_encode_reply(&packet, bytes);
	if (net_write(OUT, bytes, sizeof bytes, net_later(s->now, DRAIN_SECONDS)) == 0)
		return 0;
	/* After a signal nothing waits for a pipe any more, but one that has room takes a reply. */
	if (errno != EINTR || poll(&out, 1, 0) != 1)
		return -1;
	return write(OUT, bytes, sizeof bytes) == sizeof bytes ? 0 : -1;
}

/* The address to listen on: -b, else the one that faces DSTIP; every one for DSTIP 0.0.0.0. */
static int
listening_address(const struct session *s, struct address *address)
{
	const struct address *towards = &s->candidates->each[0].address;
	const struct address *sources = s->options->sources;

	*address = sources[0];
	if (address->family == AF_INET)
		return 0;
	if (sources[1].family == AF_INET6) { /* -b was given for IPv6 only */
		errno = EAFNOSUPPORT;
		return -1;
	}
	*address = *towards;
	return address_is_unspecified(towards) ? 0 : net_facing(towards, address);
}

/* Waits for the one caller and sets s->remote and *caller. */
static enum reason
await_caller(struct session *s, int listener, struct endpoint *caller)
{
	struct bind_client client = { IN, OUT, s->bytes, s->size, s->length };
	enum reason reason = bind_await(listener, &client, s->deadline, &s->remote, caller);

	s->length = client.length;
	return reason;
}

static bool
is_expected(const struct candidates *candidates, const struct address *caller)
{
	size_t i;

	for (i = 0; i < candidates->count; i++)
		if (address_is_unspecified(&candidates->each[i].address) ||
		    address_equal(&candidates->each[i].address, caller))
			return true;
	return false;
}

/* Logs the caller as the destination, and the rule of the candidate that it is. */
static void
show_caller(struct session *s, const struct endpoint *caller)
{
	size_t i;

	for (i = 0; i < s->candidates->count; i++)
		if (address_equal(&s->candidates->each[i].address, &caller->address))
			show_candidate(s, &s->candidates->each[i]);
	s->destination = *caller;
}

static enum reason
bind_for_caller(struct session *s)
{
	const struct options *options = s->options;
	struct address address;
	struct endpoint local, caller;
	enum reason reason;
	int64_t start = s->now = net_now();
	int listener;

	show_candidate(s, &s->candidates->each[0]);
	if (listening_address(s, &address) == -1)
		return is_shortage(errno) ? REASON_SYSTEM : REASON_BIND_FAILED;
	listener = bind_listen(&address, options->port_low, options->port_high, &local);
	if (listener == -1)
		return is_shortage(errno) ? REASON_SYSTEM : REASON_BIND_FAILED;
	if (options->advertise.family == AF_INET)
		local.address = options->advertise;
	reason = reply(s, SOCKS4_GRANTED, &local) == 0 ? await_caller(s, listener, &caller)
						       : client_failure(&s->standard[OUT], errno);
	close(listener);
	s->now = net_now();
	s->record.ms_connect = s->now - start;
	if (reason != REASON_NONE)
		return reason;
	if (!is_expected(s->candidates, &caller.address))
		reason = REASON_BIND_WRONG_CALLER;
	show_caller(s, &caller);
	return reason;
}

/* CONNECT or BIND, to the point where the granting reply is written. */
static enum reason
open_remote(struct session *s)
{
	bool binding = s->request.command == SOCKS4_BIND;
	enum reason reason = binding ? bind_for_caller(s) : connect_out(s);

	if (reason != REASON_NONE)
		return reason;
	relay_arm(s->standard, s->remote);
	return reply(s, SOCKS4_GRANTED, binding ? &s->destination : NULL) == 0
	    ? REASON_NONE
	    : client_failure(&s->standard[OUT], errno);
}

/* Discards what the client still sends: closing with unread data would send a reset, which could
 * overtake the reply. */
static void
drain(struct session *s, int64_t deadline)
{
	size_t total = 0;
	ssize_t count;

	if (shutdown(OUT, SHUT_WR) == -1 && errno == ENOTSOCK)
		close(OUT);
	do {
		count = net_read(IN, s->bytes, s->size, deadline);
		total += count > 0 ? (size_t)count : 0;
	} while (count > 0 && total < DRAIN_MOST);
}

static int
reply_code(enum reason reason)
{
	switch (reason) {
	case REASON_IDENT_NONE:
		return SOCKS4_NO_IDENTD;
	case REASON_IDENT_MISMATCH:
		return SOCKS4_IDENT_MISMATCH;
	case REASON_IS_SOCKS5:
		return 0xff; /* no acceptable methods, RFC 1928 section 3 */
	default:
		return SOCKS4_REJECTED;
	}
}

static int
exit_status(enum reason reason)
{
	return reason == REASON_BROKEN_LIST ? 2 : reason == REASON_SYSTEM;
}

static int
refuse(struct session *s, enum reason reason)
{
	int code = reply_code(reason);
	const unsigned char no_method[2] = { 5, (unsigned char)code };
	int64_t deadline;

	s->now = net_now();
	deadline = net_later(s->now, DRAIN_SECONDS);
	if (reason == REASON_IS_SOCKS5)
		net_write(OUT, no_method, sizeof no_method, deadline);
	else
		reply(s, (unsigned char)code, NULL);
	log_refuse(&s->record, code, reason);
	if (s->remote != -1)
		close(s->remote);
	drain(s, deadline);
	return exit_status(reason);
}

static int
relay(struct session *s)
{
	const struct relay_job job = {
		.standard = s->standard,
		.remote = s->remote,
		.remote_tcp = true,
		.room = s->bytes + s->used,
		.size = s->size - s->used,
		.early = s->length - s->used,
		.idle = s->options->limits.idle,
		.start = s->start,
		.now = s->now,
		.record = &s->record,
	};
	bool untold;
	enum reason end = relay_run(&job, &untold);

	return end == REASON_ERROR || untold;
}

/* Asks the list. */
static enum reason
decide(struct session *s)
{
	size_t whole = s->size;
	struct candidates_list list = { .memory = { (char *)s->bytes, whole,
					    s->header_due ? whole : WINDOW } };
	enum reason reason;

	s->list = &list;
	s->size = list.memory.window;
	reason = load_list(s);
	if (reason == REASON_NONE)
		reason = read_request(s);
	if (reason == REASON_NONE)
		reason = judge(s);
	acl_free(list.acl);
	s->list = NULL;
	s->size = whole;
	return reason;
}

/* From the first byte to the reply, in the order of DESIGN.md section 5. Not inlined:
 * its frame would stay in memory during the relay. */
#ifdef __GNUC__
__attribute__((noinline))
#endif
static enum reason
grant(struct session *s)
{
	struct candidates candidates;
	enum reason reason;

	s->candidates = &candidates;
	reason = find_source(s);
	if (reason == REASON_NONE)
		reason = decide(s);
	if (reason == REASON_NONE)
		reason = identify(s);
	if (reason == REASON_NONE)
		reason = open_remote(s);
	s->candidates = NULL;
	return reason;
}

static int
serve(const struct options *options, struct standard_file *standard)
{
	uint64_t bytes[BYTES_MOST / 8 + 1];
	struct session s;
	enum reason reason;

	memset(&s, 0, sizeof s);
	s.bytes = (unsigned char *)bytes;
	s.size = sizeof bytes;
	s.options = options;
	s.standard = standard;
	s.start = s.now = net_now();
	s.remote = s.watch = -1;
	s.record.ms_request = s.record.ms_ident = LOG_UNKNOWN;
	s.record.ms_resolve = s.record.ms_connect = LOG_UNKNOWN;
	reason = grant(&s);
	return reason == REASON_NONE ? relay(&s) : refuse(&s, reason);
}

/* True if nothing may be written to fd 2, because it is closed or is the client's. A dry run has no
 * client; the user of -c gets messages unless a launcher made fd 2 its socket. */
static bool
errors_are_clients(enum options_mode mode, const struct standard_file *standard)
{
	if (!standard[ERRORS].open)
		return true;
	if (mode != MODE_SERVER && (mode != MODE_CLIENT || !standard[ERRORS].socket))
		return false;
	return standard_errors_shared(standard);
}

/* Says what is wrong with the command line, never to a client. seconds: for a reader of the message
 * who is stuck; 0: no limit. */
static int
usage(const char *problem, bool to_client, unsigned seconds)
{
	char bytes[1024];
	struct text message = TEXT(bytes);

	if (to_client && !isatty(ERRORS)) {
		log_start(LOG_TO_SYSLOG, false, false);
		log_hurry();
		log_error("%s", problem);
		return 2;
	}
	text_put(&message, "socks4-stdio: %s\n%s", problem, options_synopsis);
	(void)net_write(ERRORS, bytes, message.length, net_deadline(seconds));
	return 2;
}

/* Writes what was asked for on the command line. Returns the exit status. */
static int
print(const char *string)
{
	return net_write(OUT, string, strlen(string), NET_FOREVER) == -1;
}

int
main(int argc, char **argv)
{
	static struct options options; /* not on the stack: it lives as long as the process */
	struct standard_file standard[3] = { standard_look(IN), standard_look(OUT),
		standard_look(ERRORS) };
	const char *problem;
	bool to_client;

	standard_catch_signals();
	if (!standard[IN].open || !standard[OUT].open)
		return 1;
	problem = options_read(argc, argv, &options);
	to_client = errors_are_clients(options.mode, standard);
	if (problem == NULL && options.mode == MODE_SERVER && !standard[IN].socket && isatty(IN))
		problem = "standard input is a terminal. A super-server (inetd, systemd ...) or "
			  "ssh starts this program; -t checks the access list, -c is the client. "
			  "See socks4-stdio(8)";
	if (problem == NULL && to_client && options.log == LOG_TO_STDERR)
		problem = "-l stderr, but standard error is closed or the client's";
	if (problem != NULL)
		return usage(problem, to_client, options.mode == MODE_SERVER);
	if (options.mode != MODE_TEST) /* its list may be the /dev/fd/63 of a shell's <(...) */
		standard_close_others();
	if (to_client && standard_silence_errors(&standard[ERRORS]) == -1)
		return 1;
	if (options.mode != MODE_CLIENT)
		resolve_drop_environment();
	switch (options.mode) {
	case MODE_VERSION:
		return print(OPTIONS_VERSION "\n");
	case MODE_HELP:
		return print(options_synopsis) || print(options_help);
	case MODE_TEST:
		log_start(LOG_TO_STDERR, true, false);
		return dryrun_run(&options);
	case MODE_CLIENT:
		return client_run(&options, standard);
	default:
		break;
	}
	log_start(options.log, options.quiet, options.verbose);
	log_hurry();
	return serve(&options, standard);
}
