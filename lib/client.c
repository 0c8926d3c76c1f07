#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/client.h"
#include "lib/dial.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/options.h"
#include "lib/reason.h"
#include "lib/relay.h"
#include "lib/resolve.h"
#include "lib/sandbox.h"
#include "lib/socks4.h"
#include "lib/standard.h"
#include "lib/text.h"

enum { IN = 0, OUT = 1 };

enum { LOST = 1 }; /* exit status; the others are 0 and the reply codes */

struct client {
	const struct options *options;
	struct standard_file *standard;
	struct socks4_request request;
	int64_t start, deadline; /* the deadline covers dial, request and reply */
	int remote;
	struct endpoint proxy;	     /* the address of it that answered */
	struct endpoint destination; /* where the host is an IPv4 address */
	char proxy_text[ADDRESS_TEXT + SOCKS4_FIELD];
	char login[RESOLVE_LOGIN + 1];
	struct log_record record;
};

/* Says what went wrong, in three pieces, and returns the exit status. Whoever sent a signal knows.
 */
static int
fail(int status, const char *first, const char *second, const char *third)
{
	char bytes[1024];
	struct text message;

	if (net_stopped())
		return LOST;
	text_start(&message, bytes, sizeof bytes);
	text_put_all(&message, "socks4-stdio: ", first, second, third);
	log_error(bytes);
	return status;
}

/* The same about the proxy. */
static int
fail_proxy(const struct client *c, int status, const char *what, const char *why)
{
	char bytes[512];
	struct text text;

	text_start(&text, bytes, sizeof bytes);
	text_put_all(&text, what, why);
	return fail(status, "proxy ", c->proxy_text, bytes);
}

static const char *
resolve_problem(enum reason reason)
{
	switch (reason) {
	case REASON_RESOLVE_FAILED:
		return "no address found";
	case REASON_RESOLVE_TIMEOUT:
		return "looking it up took too long";
	default:
		return "looking it up failed";
	}
}

/* The USERID: -u, else the login name of the real uid, else none. */
static int
find_userid(struct client *c)
{
	enum reason reason = REASON_NONE;
	const char *userid = c->options->userid;

	if (userid == NULL) {
		reason = resolve_login(getuid(), c->deadline, c->login);
		userid = c->login;
	}
	c->request.userid = c->record.userid = userid;
	return reason != REASON_RESOLVE_TIMEOUT && !net_stopped()
	    ? 0
	    : fail(LOST, "login name: ", resolve_problem(reason), "; -u gives one");
}

static void
ask_address(struct client *c, const struct address *address)
{
	memcpy(c->request.dstip, address->octets, sizeof c->request.dstip);
	c->destination.address = *address;
	c->destination.port = c->request.port;
	c->record.destination = &c->destination;
}

/* -n: no name goes over the wire, so the host must have an IPv4 address here. */
static int
ask_resolved(struct client *c, const char *host)
{
	struct resolve_query query = { host, AF_INET, c->deadline, NULL };
	struct resolve_answer answer;
	enum reason reason = resolve_name(&query, &answer);

	if (reason == REASON_NONE) {
		ask_address(c, &answer.addresses[0]);
		return 0;
	}
	query.family = AF_INET6;
	if (reason == REASON_RESOLVE_FAILED && resolve_name(&query, &answer) == REASON_NONE)
		return fail(LOST, host,
		    " has only IPv6 addresses, which SOCKS4 does not carry; leave out -n", "");
	return fail(LOST, host, ": ", resolve_problem(reason));
}

/* SOCKS4 for an IPv4 address, SOCKS4A for all else, so that the proxy looks names up. */
static int
make_request(struct client *c)
{
	const struct options *options = c->options;
	const char *host = options->operands[0];
	struct address address;

	c->request.command = options->bind ? SOCKS4_BIND : SOCKS4_CONNECT;
	c->record.command = options->bind ? "bind" : "connect";
	c->request.port = options->port;
	c->record.port = &c->request.port;
	if (find_userid(c) != 0)
		return LOST;
	if (address_parse(host, &address) == 0 && address.family == AF_INET) {
		ask_address(c, &address);
		return 0;
	}
	if (options->no_names)
		return ask_resolved(c, host);
	c->request.dstip[3] = 1;
	c->request.name = c->record.name = host;
	return 0;
}

static int
find_proxy(struct client *c, struct endpoint *candidates, size_t *count)
{
	const struct options *options = c->options;
	const struct resolve_query query = { options->proxy_host, options->family, c->deadline,
		NULL };
	struct resolve_answer answer = { .count = 1 };
	enum reason reason;
	struct text text;
	size_t i;

	text_start(&text, c->proxy_text, sizeof c->proxy_text);
	text_put_all(&text, options->proxy_host, ":");
	text_put_number(&text, options->proxy_port, 1);
	if (address_parse(options->proxy_host, &answer.addresses[0]) == -1) {
		reason = resolve_name(&query, &answer);
		c->record.ms_resolve = net_now() - c->start;
		if (reason != REASON_NONE)
			return fail_proxy(c, LOST, ": ", resolve_problem(reason));
	}
	for (i = 0; i < answer.count; i++) {
		candidates[i].address = answer.addresses[i];
		candidates[i].port = options->proxy_port;
	}
	*count = answer.count;
	return 0;
}

static int
dial_proxy(struct client *c)
{
	const char *host = c->options->proxy_host;
	struct endpoint candidates[RESOLVE_MOST];
	struct dial_plan plan = { candidates, 0, c->options->sources, c->deadline, -1 };
	size_t winner = 0;
	int64_t start;
	int error, status = *host != '/' ? find_proxy(c, candidates, &plan.count) : 0;

	if (status != 0)
		return status;
	start = net_now();
	if (*host == '/') {
		strcpy(c->proxy_text, host);
		c->remote = dial_unix(host, c->deadline);
		error = errno;
	} else {
		c->remote = dial_race(&plan, &winner);
		error = errno;
		c->proxy = candidates[winner];
		address_print_endpoint(
		    &c->proxy, c->proxy_text); /* may ask for an interface's name */
	}
	if (c->remote == -1)
		return fail_proxy(c, LOST, " cannot be reached: ", strerror(error));
	c->record.ms_connect = net_now() - start;
	return 0;
}

static int
send_request(struct client *c)
{
	unsigned char bytes[SOCKS4_REQUEST];
	size_t length = socks4_encode_request(&c->request, bytes);

	if (net_write(c->remote, bytes, length, c->deadline) == -1)
		return fail_proxy(c, LOST, " took no request: ", strerror(errno));
	return 0;
}

/* Says so with a number, its unit, and " (aa bb)": what came, for a person who looks for the
 * fault. */
static int
fail_reply(const struct client *c, const char *what, unsigned number, const char *unit,
    const unsigned char *bytes, size_t length)
{
	char seen[64];
	struct text text;
	size_t i;

	text_start(&text, seen, sizeof seen);
	text_put_number(&text, number, 1);
	text_put(&text, unit);
	for (i = 0; i < length; i++) {
		text_put(&text, i == 0 ? " (" : " ");
		text_put_hex(&text, bytes[i], 2);
	}
	text_put(&text, length > 0 ? ")" : "");
	return fail_proxy(c, LOST, what, seen);
}

static int
judge_reply(const struct client *c, const unsigned char *bytes, const struct socks4_reply *reply)
{
	if (reply->version != SOCKS4_REPLY_VERSION && reply->version != SOCKS4_VERSION)
		return fail_reply(c, " does not speak SOCKS4: its reply starts with ",
		    reply->version, "", bytes, SOCKS4_REPLY);
	if (reply->version != SOCKS4_REPLY_VERSION && c->options->verbose)
		log_info("warning: the proxy's reply has version 4 instead of 0, as old servers "
			 "send it");
	switch (reply->code) {
	case SOCKS4_GRANTED:
		return 0;
	case SOCKS4_REJECTED:
		return fail_proxy(c, reply->code, " refused: rejected or failed (91)",
		    c->request.name != NULL ? "; a proxy that does not read SOCKS4A wants -n: the "
					      "name is then looked up on this host"
					    : "");
	case SOCKS4_NO_IDENTD:
		return fail_proxy(c, reply->code, " refused: ", "it cannot reach identd here (92)");
	case SOCKS4_IDENT_MISMATCH:
		return fail_proxy(
		    c, reply->code, " refused: ", "its identd check found a different user (93)");
	default:
		return fail_reply(
		    c, " sent an unknown reply code, ", reply->code, "", bytes, SOCKS4_REPLY);
	}
}

/* Reads exactly the reply: what follows it belongs to the application. */
static int
read_reply(const struct client *c, int64_t deadline, struct socks4_reply *reply)
{
	unsigned char bytes[SOCKS4_REPLY];
	size_t length = 0;
	ssize_t count;

	while (length < sizeof bytes) {
		count = net_read(c->remote, bytes + length, sizeof bytes - length, deadline);
		if (count == -1 && errno == ETIMEDOUT)
			return fail_proxy(c, LOST, " did not answer in time", "");
		if (count == -1)
			return fail_proxy(c, LOST, " lost: ", strerror(errno));
		if (count == 0)
			return fail_reply(c, " closed after ", (unsigned)length,
			    " of 8 bytes of a reply", bytes, length);
		length += (size_t)count;
		if (length >= 2 && bytes[0] == 5 && bytes[1] == 0xff)
			return fail_proxy(c, LOST, " speaks SOCKS5 only", " (05 ff)");
	}
	socks4_decode_reply(bytes, reply);
	return judge_reply(c, bytes, reply);
}

/* Tells where the proxy listens; 0.0.0.0 stands for the address that it was reached at, if any. */
static void
tell_listening(const struct client *c, const struct socks4_reply *reply)
{
	struct endpoint listening;
	char address[ADDRESS_TEXT], bytes[ADDRESS_TEXT + 16];
	struct text line;

	address_set(&listening.address, AF_INET, reply->dstip);
	if (address_is_unspecified(&listening.address) && *c->options->proxy_host != '/')
		listening.address = c->proxy.address;
	listening.port = reply->port;
	text_start(&line, bytes, sizeof bytes);
	text_put_all(&line, "listening on ", address_print_endpoint(&listening, address), "\n");
	/* One write: whoever reads our stderr gets the line whole. */
	if (write(STDERR_FILENO, bytes, line.length) == -1)
		log_error("socks4-stdio: cannot tell the listening address");
}

static int
handshake(struct client *c)
{
	struct socks4_reply reply;
	int status = make_request(c);

	if (status == 0)
		status = dial_proxy(c);
	if (status == 0)
		status = send_request(c);
	if (status == 0)
		status = read_reply(c, c->deadline, &reply);
	if (status == 0 && c->options->bind) {
		tell_listening(c, &reply);
		status = read_reply(c, net_deadline(c->options->limits.bind), &reply);
	}
	c->record.ms_request = net_now() - c->start;
	return status;
}

/* ssh's ProxyUseFdpass: the connection goes over the Unix socket on fd 1 (SCM_RIGHTS). */
static int
pass_descriptor(const struct client *c)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message;
	struct cmsghdr *header;
	int flags = fcntl(c->remote, F_GETFL);

	memset(&message, 0, sizeof message);
	memset(&control, 0, sizeof control);
	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = &control;
	message.msg_controllen = sizeof control.room;
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &c->remote, sizeof(int));
	if (flags == -1 || fcntl(c->remote, F_SETFL, flags & ~O_NONBLOCK) == -1 ||
	    sendmsg(OUT, &message, 0) != 1)
		return fail(
		    LOST, "cannot pass the connection over standard output: ", strerror(errno), "");
	return 0;
}

static int
relay(struct client *c)
{
	struct standard_file *in = &c->standard[IN], *out = &c->standard[OUT];
	unsigned char room[RELAY_ROOM];
	char seconds[24];
	struct text text;
	const struct standard_file remote = {
		.fd = c->remote, .open = true, .socket = true, .tcp = *c->options->proxy_host != '/'
	};
	struct relay_result result;
	struct log_totals totals;

	standard_prepare(in, out);
	relay_arm(in, out, c->remote);
	log_ready(&c->record);
	c->record.no_sandbox = !sandbox_enter(c->standard);
	log_open(&c->record);
	relay_run(in, out, &remote, room, sizeof room, 0, c->options->limits.idle, &result);
	totals.up = result.up;
	totals.down = result.down;
	totals.ms = net_now() - c->start;
	log_close(&c->record, &totals, relay_reason(result.end));
	if (result.end == RELAY_IDLE) {
		text_start(&text, seconds, sizeof seconds);
		text_put_number(&text, c->options->limits.idle, 1);
		return fail(LOST, "nothing moved for ", seconds, " seconds");
	}
	if (result.end == RELAY_ERROR)
		return fail(LOST, "a system call failed, and the session with it", "", "");
	/* Not if it was our own user's side, which has gone. */
	if (result.end == RELAY_RESET && result.untold)
		return fail(LOST, "connection reset", "", "");
	return result.end == RELAY_EOF ? 0 : LOST;
}

int
client_run(const struct options *options, struct standard_file *standard)
{
	struct client c = { .options = options, .standard = standard };
	int status;

	log_start(options->log == LOG_TO_DEFAULT ? LOG_TO_STDERR : options->log,
	    options->quiet || !options->verbose, options->verbose);
	c.start = net_now();
	c.deadline = net_deadline(options->limits.connect);
	c.remote = -1;
	c.record.ms_request = c.record.ms_ident = LOG_UNKNOWN;
	c.record.ms_resolve = c.record.ms_connect = LOG_UNKNOWN;
	status = handshake(&c);
	if (status != 0)
		return status;
	return options->pass_descriptor ? pass_descriptor(&c) : relay(&c);
}
