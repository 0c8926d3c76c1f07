#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "client.h"
#include "log.h"
#include "net.h"
#include "options.h"
#include "relay.h"
#include "resolve.h"
#include "sandbox.h"
#include "socks4.h"

enum { IN = 0, OUT = 1 };

enum { LOST = 1 }; /* exit status; the others are 0 and the reply codes */

struct client {
	const struct options *options;
	struct net_file *standard;
	struct socks4_request request;
	int64_t start, deadline; /* the deadline covers dial, request and reply */
	int remote;
	struct endpoint proxy;	     /* the address of it that answered */
	struct endpoint destination; /* where the host is an IPv4 address */
	char proxy_text[ADDRESS_TEXT + SOCKS4_FIELD];
	char login[SOCKS4_FIELD + 1];
	struct log_record record;
};

static int fail(int status, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Says what went wrong and returns the exit status. */
static int
fail(int status, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	int length = snprintf(text, sizeof text, "socks4-stdio: ");

	va_start(arguments, format);
	vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
	va_end(arguments);
	log_error(text);
	return status;
}

/* The USERID: -u, else the login name of the real uid, else none. */
static const char *
userid(struct client *c)
{
	const struct passwd *entry;

	if (c->options->userid != NULL)
		return c->options->userid;
	entry = getpwuid(getuid());
	if (entry != NULL && strlen(entry->pw_name) < sizeof c->login)
		strcpy(c->login, entry->pw_name);
	return c->login;
}

static const char *
resolve_problem(enum resolve_status status)
{
	switch (status) {
	case RESOLVE_NONE:
		return "no address found";
	case RESOLVE_TIMEOUT:
		return "looking it up took too long";
	default:
		return "looking it up failed";
	}
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
	struct address addresses[RESOLVE_MOST];
	size_t count;
	enum resolve_status status;

	status = resolve_name(host, AF_INET, c->deadline, NULL, addresses, &count);
	if (status == RESOLVE_OK) {
		ask_address(c, &addresses[0]);
		return 0;
	}
	if (status == RESOLVE_NONE &&
	    resolve_name(host, AF_INET6, c->deadline, NULL, addresses, &count) == RESOLVE_OK)
		return fail(LOST,
		    "%s has only IPv6 addresses, which SOCKS4 does not carry; leave out -n", host);
	return fail(LOST, "%s: %s", host, resolve_problem(status));
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
	c->request.userid = c->record.userid = userid(c);
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
	struct address addresses[RESOLVE_MOST];
	enum resolve_status status;
	size_t i;

	snprintf(
	    c->proxy_text, sizeof c->proxy_text, "%s:%u", options->proxy_host, options->proxy_port);
	*count = 1;
	if (address_parse(options->proxy_host, &addresses[0]) == -1) {
		status = resolve_name(
		    options->proxy_host, options->family, c->deadline, NULL, addresses, count);
		c->record.ms_resolve = net_now() - c->start;
		if (status != RESOLVE_OK)
			return fail(LOST, "proxy %s: %s", c->proxy_text, resolve_problem(status));
	}
	for (i = 0; i < *count; i++) {
		candidates[i].address = addresses[i];
		candidates[i].port = options->proxy_port;
	}
	return 0;
}

static int
dial_proxy(struct client *c)
{
	struct endpoint candidates[RESOLVE_MOST];
	size_t count, winner = 0;
	int64_t start;
	int error, status = find_proxy(c, candidates, &count);

	if (status != 0)
		return status;
	start = net_now();
	c->remote = net_dial(candidates, count, c->options->sources, c->deadline, -1, &winner);
	error = errno;
	c->proxy = candidates[winner];
	address_print_endpoint(&c->proxy, c->proxy_text); /* may ask for an interface's name */
	if (c->remote == -1)
		return fail(LOST, "proxy %s cannot be reached: %s", c->proxy_text, strerror(error));
	c->record.ms_connect = net_now() - start;
	return 0;
}

static int
send_request(struct client *c)
{
	unsigned char bytes[SOCKS4_REQUEST];
	size_t length = socks4_encode_request(&c->request, bytes);

	if (net_write(c->remote, bytes, length, c->deadline) == -1)
		return fail(LOST, "proxy %s took no request: %s", c->proxy_text, strerror(errno));
	return 0;
}

/* " (aa bb)": what came, for a person who looks for the fault. */
static const char *
print_bytes(const unsigned char *bytes, size_t length, char *text, size_t size)
{
	size_t i, used = 0;

	*text = '\0';
	for (i = 0; i < length && used + 8 < size; i++)
		used += (size_t)snprintf(
		    text + used, size - used, i == 0 ? " (%02x" : " %02x", bytes[i]);
	if (length > 0)
		snprintf(text + used, size - used, ")");
	return text;
}

static int
judge_reply(const struct client *c, const unsigned char *bytes, const struct socks4_reply *reply)
{
	char text[64];

	if (reply->version != SOCKS4_REPLY_VERSION && reply->version != SOCKS4_VERSION)
		return fail(LOST, "proxy %s does not speak SOCKS4: its reply starts with %u%s",
		    c->proxy_text, reply->version,
		    print_bytes(bytes, SOCKS4_REPLY, text, sizeof text));
	if (reply->version != SOCKS4_REPLY_VERSION && c->options->verbose)
		log_info("warning: the proxy's reply has version 4 instead of 0, as old servers "
			 "send it");
	switch (reply->code) {
	case SOCKS4_GRANTED:
		return 0;
	case SOCKS4_REJECTED:
		return fail(
		    reply->code, "proxy %s refused: rejected or failed (91)", c->proxy_text);
	case SOCKS4_NO_IDENTD:
		return fail(reply->code, "proxy %s refused: it cannot reach identd here (92)",
		    c->proxy_text);
	case SOCKS4_IDENT_MISMATCH:
		return fail(reply->code,
		    "proxy %s refused: its identd check found a different user (93)",
		    c->proxy_text);
	default:
		return fail(LOST, "proxy %s sent an unknown reply code, %u%s", c->proxy_text,
		    reply->code, print_bytes(bytes, SOCKS4_REPLY, text, sizeof text));
	}
}

/* Reads exactly the reply: what follows it belongs to the application. */
static int
read_reply(const struct client *c, int64_t deadline, struct socks4_reply *reply)
{
	unsigned char bytes[SOCKS4_REPLY];
	char text[64];
	size_t length = 0;
	ssize_t count;

	while (length < sizeof bytes) {
		count = net_read(c->remote, bytes + length, sizeof bytes - length, deadline);
		if (count == -1 && errno == ETIMEDOUT)
			return fail(LOST, "proxy %s did not answer in time", c->proxy_text);
		if (count == -1)
			return fail(LOST, "proxy %s lost: %s", c->proxy_text, strerror(errno));
		if (count == 0)
			return fail(LOST, "proxy %s closed after %zu of 8 bytes of a reply%s",
			    c->proxy_text, length, print_bytes(bytes, length, text, sizeof text));
		length += (size_t)count;
	}
	socks4_decode_reply(bytes, reply);
	return judge_reply(c, bytes, reply);
}

/* Tells where the proxy listens; 0.0.0.0 stands for the address that it was reached at. */
static void
tell_listening(const struct client *c, const struct socks4_reply *reply)
{
	struct endpoint listening;
	char text[ADDRESS_TEXT], line[ADDRESS_TEXT + 16];
	int length;

	address_set(&listening.address, AF_INET, reply->dstip);
	if (address_is_unspecified(&listening.address))
		listening.address = c->proxy.address;
	listening.port = reply->port;
	length = snprintf(
	    line, sizeof line, "listening on %s\n", address_print_endpoint(&listening, text));
	/* One write: whoever reads our stderr gets the line whole. */
	if (write(STDERR_FILENO, line, (size_t)length) == -1)
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
		    LOST, "cannot pass the connection over standard output: %s", strerror(errno));
	return 0;
}

static int
relay(struct client *c)
{
	static const char *const reasons[] = {
		[RELAY_EOF] = "eof",
		[RELAY_RESET] = "reset",
		[RELAY_IDLE] = "idle",
		[RELAY_SIGNAL] = "signal",
		[RELAY_ERROR] = "error",
	};
	struct net_file *in = &c->standard[IN], *out = &c->standard[OUT];
	unsigned char room[RELAY_ROOM];
	struct relay_result result;
	struct log_totals totals;

	net_prepare(in, out);
	relay_arm(in, out, c->remote);
	log_ready();
	c->record.no_sandbox = !sandbox_enter(c->standard);
	log_open(&c->record);
	relay_run(in, out, c->remote, room, sizeof room, 0, c->options->limits.idle, &result);
	totals.up = result.up;
	totals.down = result.down;
	totals.ms = net_now() - c->start;
	log_close(&c->record, &totals, reasons[result.end]);
	if (result.end == RELAY_IDLE)
		return fail(LOST, "nothing moved for %u seconds", c->options->limits.idle);
	if (result.end == RELAY_ERROR)
		return fail(LOST, "a system call failed, and the session with it");
	return result.end == RELAY_EOF ? 0 : LOST;
}

int
client_run(const struct options *options, struct net_file *standard)
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
