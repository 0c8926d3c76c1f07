#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include "lib/socks4.h"
#include "lib/standard.h"
#include "lib/text.h"

enum { IN = 0, OUT = 1 };

enum { LOST = 1 }; /* exit status; the others are 0 and the refusal codes */

struct client {
	const struct options *options;
	struct standard_file *standard;
	struct socks4_request request;
	int64_t start, deadline; /* the deadline covers dial, request and reply */
	int remote;
	struct endpoint proxy;	     /* the proxy's address that answered */
	struct endpoint destination; /* if the host is an IPv4 address */
	char proxy_text[ADDRESS_TEXT + SOCKS4_FIELD];
	char login[RESOLVE_LOGIN + 1];
	struct log_record record;
};

static const char *
resolve_problem(enum reason reason)
{
	if (reason == REASON_RESOLVE_FAILED)
		return "no address found";
	return reason == REASON_RESOLVE_TIMEOUT ? "looking it up took too long"
						: "looking it up failed";
}

/* Sets the USERID: -u, else the login name of the real uid, else none. */
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
	    : log_failure(LOST, "login name: %s; set the USERID with -u", resolve_problem(reason));
}

static void
ask_address(struct client *c, const struct address *address)
{
	memcpy(c->request.dstip, address->octets, sizeof c->request.dstip);
	c->destination.address = *address;
	c->destination.port = c->request.port;
	c->record.destination = &c->destination;
}

/* -n sends no name, so the host must resolve to an IPv4 address here. */
static int
ask_resolved(struct client *c, const char *host)
{
	struct resolve_query query = { host, AF_INET, c->deadline, NULL };
	struct resolve_answer answer;
	enum reason reason = resolve_name(&query, &answer);
	size_t i;

	/* 0.0.0.x would announce a name. */
	for (i = 0; reason == REASON_NONE && i < answer.count; i++)
		if (memcmp(answer.addresses[i].octets, "\0\0", 3) != 0) {
			ask_address(c, &answer.addresses[i]);
			return 0;
		}
	if (reason == REASON_NONE)
		return log_failure(LOST, "SOCKS4 cannot ask for: %s", host);
	query.family = AF_INET6;
	if (reason == REASON_RESOLVE_FAILED && resolve_name(&query, &answer) == REASON_NONE)
		return log_failure(LOST,
		    "%s has only IPv6 addresses, which SOCKS4 cannot carry; leave out -n", host);
	return log_failure(LOST, "%s: %s", host, resolve_problem(reason));
}

/* SOCKS4 for an IPv4 address; SOCKS4A for a name or an IPv6 address, which the proxy looks up. */
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
find_proxy(struct client *c, struct resolve_answer *answer)
{
	const struct options *options = c->options;
	const struct resolve_query query = { options->proxy_host, options->family, c->deadline,
		NULL };
	enum reason reason;
	struct text text = TEXT(c->proxy_text);

	text_put(&text, "%s:%u", options->proxy_host, options->proxy_port);
	answer->count = 1;
	if (address_parse(options->proxy_host, &answer->addresses[0]) == 0)
		return 0;
	reason = resolve_name(&query, answer);
	c->record.ms_resolve = net_now() - c->start;
	return reason == REASON_NONE
	    ? 0
	    : log_failure(LOST, "proxy %s: %s", c->proxy_text, resolve_problem(reason));
}

static int
dial_proxy(struct client *c)
{
	const char *host = c->options->proxy_host;
	struct resolve_answer answer;
	struct dial_plan plan = { answer.addresses, 0, c->options->proxy_port, c->options->sources,
		0, c->deadline, -1 };
	size_t winner = 0;
	int64_t start;
	int error;

	if (*host != '/' && find_proxy(c, &answer) != 0)
		return LOST;
	start = plan.now = net_now();
	if (*host == '/') {
		strcpy(c->proxy_text, host);
		c->remote = dial_unix(host, c->deadline);
		error = errno;
	} else {
		plan.count = answer.count;
		c->remote = dial_race(&plan, &winner);
		error = errno;
		c->proxy = (struct endpoint){ answer.addresses[winner], plan.port };
		address_print_endpoint(&c->proxy, c->proxy_text); /* may change errno */
	}
	if (c->remote == -1)
		return log_failure(
		    LOST, "proxy %s cannot be reached: %s", c->proxy_text, strerror(error));
	c->record.ms_connect = net_now() - start;
	return 0;
}

static int
send_request(struct client *c)
{
	unsigned char bytes[SOCKS4_REQUEST];
	size_t length = socks4_encode_request(&c->request, bytes);

	if (net_write(c->remote, bytes, length, c->deadline) == -1)
		return log_failure(LOST, "cannot send the request to proxy %s: %s", c->proxy_text,
		    strerror(errno));
	return 0;
}

/* Prints what came as " (aa bb)", or nothing if nothing came. Returns seen. */
static const char *
print_bytes(const unsigned char *bytes, size_t length, char seen[4 * SOCKS4_REPLY])
{
	struct text text = { .bytes = seen, .size = 4 * SOCKS4_REPLY };
	size_t i;

	for (i = 0; i < length; i++)
		text_put(&text, i == 0 ? " (%02x" : " %02x", bytes[i]);
	text_put(&text, length > 0 ? ")" : "");
	return seen;
}

static int
judge_reply(const struct client *c, const unsigned char *bytes, const struct socks4_reply *reply)
{
	char seen[4 * SOCKS4_REPLY];

	if (reply->version != SOCKS4_REPLY_VERSION && reply->version != SOCKS4_VERSION)
		return log_failure(LOST,
		    "proxy %s does not speak SOCKS4: its reply starts with %u%s", c->proxy_text,
		    reply->version, print_bytes(bytes, SOCKS4_REPLY, seen));
	if (reply->version != SOCKS4_REPLY_VERSION) /* shown with -v */
		log_info(
		    "warning: the proxy's reply has version 4 instead of 0, as some old servers "
		    "send it");
	switch (reply->code) {
	case SOCKS4_GRANTED:
		return 0;
	case SOCKS4_REJECTED:
		return log_failure(reply->code, "proxy %s refused: rejected or failed (91)%s",
		    c->proxy_text,
		    c->request.name != NULL ? "; a proxy that does not read SOCKS4A wants -n: the "
					      "name is then looked up on this host"
					    : "");
	case SOCKS4_NO_IDENTD:
		return log_failure(reply->code,
		    "proxy %s refused: it cannot reach identd here (92)", c->proxy_text);
	case SOCKS4_IDENT_MISMATCH:
		return log_failure(reply->code,
		    "proxy %s refused: its identd check found a different user (93)",
		    c->proxy_text);
	default:
		return log_failure(LOST, "proxy %s sent an unknown reply code, %u%s", c->proxy_text,
		    reply->code, print_bytes(bytes, SOCKS4_REPLY, seen));
	}
}

/* Reads the 8 bytes of a reply and no more: what follows belongs to the application. */
static int
read_reply(const struct client *c, int64_t deadline, struct socks4_reply *reply)
{
	unsigned char bytes[SOCKS4_REPLY];
	char seen[4 * SOCKS4_REPLY];
	size_t length = 0;
	ssize_t count;

	while (length < sizeof bytes) {
		count = net_read(c->remote, bytes + length, sizeof bytes - length, deadline);
		if (count == -1 && errno == ETIMEDOUT)
			return log_failure(LOST, "proxy %s did not answer in time", c->proxy_text);
		if (count == -1)
			return log_failure(
			    LOST, "proxy %s lost: %s", c->proxy_text, strerror(errno));
		if (count == 0)
			return log_failure(LOST, "proxy %s closed after %u of 8 bytes of a reply%s",
			    c->proxy_text, (unsigned)length, print_bytes(bytes, length, seen));
		length += (size_t)count;
		if (length >= 2 && bytes[0] == 5 && bytes[1] == 0xff)
			return log_failure(
			    LOST, "proxy %s speaks SOCKS5 only (05 ff)", c->proxy_text);
	}
	socks4_decode_reply(bytes, reply);
	return judge_reply(c, bytes, reply);
}

/* Prints where the proxy listens. 0.0.0.0 means the address at which we reached the proxy. */
static void
tell_listening(const struct client *c, const struct socks4_reply *reply)
{
	struct endpoint listening;
	char address[ADDRESS_TEXT], bytes[ADDRESS_TEXT + 16];
	struct text line = TEXT(bytes);

	address_set(&listening.address, AF_INET, reply->dstip);
	if (address_is_unspecified(&listening.address) && *c->options->proxy_host != '/')
		listening.address = c->proxy.address;
	listening.port = reply->port;
	text_put(&line, "listening on %s\n", address_print_endpoint(&listening, address));
	/* One write(2), so that a reader of stderr gets the whole line at once. */
	if (write(STDERR_FILENO, bytes, line.length) == -1)
		log_error("socks4-stdio: cannot print the listening address");
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

/* ssh's ProxyUseFdpass: sends the connection over the Unix socket on fd 1 (SCM_RIGHTS). */
static int
pass_descriptor(const struct client *c)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.room };
	struct cmsghdr *header;
	int64_t deadline = net_deadline(c->options->limits.connect);
	int flags = fcntl(c->remote, F_GETFL);
	struct endpoint own;

	/* Over TCP Linux would send the byte without the descriptor. */
	if (net_local(OUT, &own) == 0)
		return log_failure(
		    LOST, "cannot pass the connection: standard output is not a Unix socket");
	memset(&control, 0, sizeof control);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &c->remote, sizeof(int));
	if (flags != -1 && fcntl(c->remote, F_SETFL, flags & ~O_NONBLOCK) == 0)
		do
			if (sendmsg(OUT, &message, MSG_DONTWAIT) == 1)
				return 0;
		while ((errno == EAGAIN || errno == EWOULDBLOCK) &&
		    net_wait(OUT, POLLOUT, deadline) == 0);
	return log_failure(LOST, "cannot pass the connection over standard output: %s",
	    errno == ETIMEDOUT ? "nobody took it in time" : strerror(errno));
}

static int
relay(struct client *c)
{
	unsigned char room[RELAY_ROOM];
	const struct relay_job job = {
		.standard = c->standard,
		.remote = c->remote,
		.remote_tcp = *c->options->proxy_host != '/',
		.room = room,
		.size = sizeof room,
		.idle = c->options->limits.idle,
		.start = c->start,
		.now = c->start + c->record.ms_request,
		.record = &c->record,
	};
	enum reason end;
	bool untold;

	standard_prepare(&c->standard[IN], &c->standard[OUT]);
	relay_arm(c->standard, c->remote);
	end = relay_run(&job, &untold);
	if (end == REASON_IDLE)
		return log_failure(LOST, "nothing moved for %u seconds", c->options->limits.idle);
	if (end == REASON_ERROR)
		return log_failure(LOST, "a system call failed and ended the session");
	/* Say nothing if our own user's side reset: nobody is left to read it. */
	if (end == REASON_RESET && untold)
		return log_failure(LOST, "connection reset");
	return end == REASON_EOF ? 0 : LOST;
}

int
client_run(const struct options *options, struct standard_file *standard)
{
	struct client c = { .options = options, .standard = standard, .remote = -1 };
	int status;

	log_start(options->log == LOG_TO_DEFAULT ? LOG_TO_STDERR : options->log,
	    options->quiet || !options->verbose, options->verbose);
	c.start = net_now();
	c.deadline = net_deadline(options->limits.connect);
	c.record.ms_request = c.record.ms_ident = LOG_UNKNOWN;
	c.record.ms_resolve = c.record.ms_connect = LOG_UNKNOWN;
	status = handshake(&c);
	if (status != 0)
		return status;
	return options->pass_descriptor ? pass_descriptor(&c) : relay(&c);
}
