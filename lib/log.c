#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/text.h"

#ifndef _PATH_LOG
#define _PATH_LOG "/dev/log"
#endif

enum {
	/* Bytes shown of a value: more than any USERID, name (255) or identd's answer (512) has. */
	VALUE_MOST = 512,
	RULE_MOST = 4096 + 16, /* of a rule, which is a path and a line */
	/* Four values and a rule with every byte escaped, and the rest: no line is ever cut. */
	LINE_MOST = 4 * 4 * VALUE_MOST + 4 * RULE_MOST + 2048,
	TEXT_MOST = 2 * 4096 + 512, /* free text: two paths and a sentence */
	LINE_USUAL = 1024,	    /* only a longer one takes that much memory */
	STALL = 1000,		    /* milliseconds for a reader who is stuck */
	SYSLOG_MOST = 960 /* RFC 3164 section 4.1: 1024, to which time and host are added */
};

/* What a line is made of. */
struct event {
	const char *word;		 /* or free text */
	const struct log_record *record; /* NULL: free text */
	const struct log_totals *totals;
	int code;	    /* 0: none */
	enum reason reason; /* REASON_NONE: none */
};

static enum log_place place = LOG_TO_NONE;
static bool journal; /* standard error is the journal stream */
static bool quiet, verbose;
static unsigned pid;
static int syslogd = -1; /* connected to it */
static bool by_stream;	 /* not by datagrams */
static bool confined;	 /* by the sandbox */
static bool torn;	 /* the last line on standard error has no end */
static bool lost;	 /* the last line, or its end */
static bool in_a_hurry;
static int64_t patience = STALL; /* what is left of it */

/* True if fd 2 is the stream that systemd says it has connected to the journal. */
static bool
is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char bytes[48];
	struct text own = TEXT(bytes);
	struct stat status;

	if (stream == NULL || fstat(2, &status) == -1)
		return false;
	text_put(&own, "%llu:%llu", (unsigned long long)status.st_dev,
	    (unsigned long long)status.st_ino);
	return strcmp(stream, bytes) == 0;
}

void
log_start(enum log_place where, bool only_errors, bool phases)
{
	quiet = only_errors;
	verbose = phases;
	place = where;
	journal = where == LOG_TO_DEFAULT && is_journal();
	if (where == LOG_TO_DEFAULT)
		place = journal ? LOG_TO_STDERR : LOG_TO_SYSLOG;
	if (place == LOG_TO_SYSLOG)
		pid = (unsigned)getpid(); /* before the sandbox */
}

void
log_hurry(void)
{
	in_a_hurry = true;
}

/* After a signal nothing waits for ever, but a last line may wait as long as the patience lasts. */
static int64_t
wait_until(int64_t now)
{
	return in_a_hurry || net_stopped() ? now + patience : NET_FOREVER;
}

static void
spend(int64_t start)
{
	int64_t left = patience - (net_now() - start);

	patience = left > 0 ? left : 0;
}

static int
connect_syslogd(int type)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = _PATH_LOG };
	int64_t start = net_now();
	int fd = socket(AF_UNIX, type, 0), failed;

	if (fd == -1)
		return -1;
	if (type == SOCK_STREAM) /* whose listener may be busy */
		net_interrupt(wait_until(start));
	failed = connect(fd, (const struct sockaddr *)&address, sizeof address);
	net_wait_freely();
	spend(start);
	return failed || fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ? net_give_up(fd) : fd;
}

/* Connects to syslogd as syslog(3) does, by datagrams or by a stream. Not in the sandbox: some
 * systems kill a process that tries. */
static bool
reach_syslogd(void)
{
	if (confined)
		return false;
	syslogd = connect_syslogd(SOCK_DGRAM);
	by_stream = syslogd == -1 && errno == EPROTOTYPE;
	if (by_stream)
		syslogd = connect_syslogd(SOCK_STREAM);
	return syslogd != -1;
}

static void
look_up_interface(const struct endpoint *endpoint)
{
	char text[ADDRESS_TEXT];

	if (endpoint != NULL && endpoint->address.scope != 0)
		(void)address_print(&endpoint->address, text);
}

void
log_ready(const struct log_record *record)
{
	look_up_interface(record->source);
	look_up_interface(record->destination);
	if (place == LOG_TO_SYSLOG && syslogd == -1)
		(void)reach_syslogd();
}

static void
put_bytes(struct text *line, const char *bytes, size_t length, const char *special)
{
	size_t i;

	for (i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte >= 0x20 && byte <= 0x7e && strchr(special, byte) == NULL)
			text_put_bytes(line, &bytes[i], 1);
		else
			text_put(line, "\\x%02x", byte);
	}
}

static bool
is_plain(const char *text)
{
	static const char plain[] =
	    "[]ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@%+,*-";

	return *text != '\0' && text[strspn(text, plain)] == '\0';
}

/* Puts " key=value". Of a value longer than `most` bytes only these are shown, and "...". */
static void
put_value(struct text *line, const char *key, const char *value, size_t most)
{
	size_t length;

	if (value == NULL)
		return;
	length = strlen(value);
	if (length <= most && is_plain(value)) {
		text_put(line, " %s=%s", key, value);
		return;
	}
	text_put(line, " %s=\"", key);
	put_bytes(line, value, length < most ? length : most, "\"\\");
	text_put(line, length > most ? "...\"" : "\"");
}

static void
put_endpoint(struct text *line, const char *key, const struct endpoint *endpoint)
{
	char text[ADDRESS_TEXT];

	if (endpoint == NULL)
		return;
	if (endpoint->address.family == AF_UNSPEC)
		text_put(line, " %s=local", key);
	else
		put_value(line, key, address_print_endpoint(endpoint, text), VALUE_MOST);
}

static void
put_phase(struct text *line, const char *key, long long ms)
{
	if (ms >= 0)
		text_put(line, " ms_%s=%llu", key, (unsigned long long)ms);
}

/* A long rule loses its start, since its end has the number of the line. */
static void
put_rule(struct text *line, const struct log_record *record, size_t most)
{
	size_t length = record->rule != NULL ? strlen(record->rule) : 0;
	size_t left_out = length > most ? length - most : 0;
	const char *quote;

	if (record->rule == NULL)
		return;
	quote = is_plain(record->rule + left_out) ? "" : "\"";
	text_put(line, " rule=%s%s", quote, left_out > 0 ? "..." : "");
	put_bytes(line, record->rule + left_out, length - left_out, "\"\\");
	if (record->line != 0)
		text_put(line, ":%u", record->line);
	text_put(line, "%s", quote);
}

/* Puts the keys in their order. */
static void
put_record(struct text *line, const struct event *event, size_t most, size_t rule_most)
{
	const struct log_record *record = event->record;
	const struct log_totals *totals = event->totals;

	put_value(line, "cmd", record->command, most);
	put_endpoint(line, "src", record->source);
	put_value(line, "via", record->via, most);
	put_value(line, "user", record->userid, most);
	put_value(line, "ident", record->ident, most);
	put_endpoint(line, "dst", record->destination);
	put_value(line, "name", record->name, most);
	if (record->destination == NULL && record->port != NULL)
		text_put(line, " port=%u", *record->port);
	put_rule(line, record, rule_most);
	if (totals != NULL)
		text_put(line, " up=%llu down=%llu secs=%llu.%03llu", totals->up, totals->down,
		    (unsigned long long)totals->ms / 1000, (unsigned long long)totals->ms % 1000);
	if (event->code != 0)
		text_put(line, " code=%u", (unsigned)event->code);
	if (event->reason == REASON_NONE && record->no_sandbox)
		text_put(line, " sandbox=none");
	if (verbose) {
		put_phase(line, "request", record->ms_request);
		put_phase(line, "ident", record->ms_ident);
		put_phase(line, "resolve", record->ms_resolve);
		put_phase(line, "connect", record->ms_connect);
	}
	if (event->reason != REASON_NONE)
		text_put(line, " reason=%s", reason_word(event->reason));
}

/* Composes the line. The journal and syslogd read its priority from the front. It has no time of
 * its own: syslogd adds that of its arrival (RFC 3164 section 4.3.2). */
static void
compose(struct text *line, int priority, const struct event *event, size_t most, size_t rule_most)
{
	line->length = 0;
	line->cut = false;
	if (torn)
		text_put(line, "\n");
	if (place == LOG_TO_SYSLOG)
		text_put(line, "<%u>socks4-stdio[%u]: ", (unsigned)(priority | LOG_DAEMON), pid);
	else if (journal)
		text_put(line, "<%u>", (unsigned)priority);
	put_bytes(line, event->word, strlen(event->word), "");
	if (event->record != NULL)
		put_record(line, event, most, rule_most);
}

/* Writes for as long as the patience lasts. Returns bytes written, or -1 with errno. */
static ssize_t
write_patiently(int fd, const char *bytes, size_t length)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };
	int64_t deadline = wait_until(net_now());
	size_t done = 0;
	ssize_t count;
	int ready;

	while (done < length) {
		ready = poll(&polled, 1, net_timeout(deadline));
		if (ready == -1 && errno != EINTR)
			polled.events = 0; /* write without waiting */
		count = ready > 0 || polled.events == 0 ? write(fd, bytes + done, length - done)
							: ready;
		if (count > 0)
			done += (size_t)count;
		else if (count == -1 && errno != EINTR && (errno != EAGAIN || polled.events == 0))
			return -1;
		else if (net_now() >= deadline)
			break;
		else if (deadline == NET_FOREVER)
			deadline = wait_until(net_now()); /* a signal may have come */
	}
	return (ssize_t)done;
}

static ssize_t
write_line(int fd, const char *bytes, size_t length)
{
	int64_t start = net_now();
	ssize_t written;

	/* After poll(2) another session may fill a shared pipe, and write(2) would block. */
	if (fd == STDERR_FILENO)
		net_interrupt(wait_until(start));
	written = write_patiently(fd, bytes, length);
	net_wait_freely();
	spend(start);
	lost = written != (ssize_t)length;
	return written;
}

/* syslog(3) would wait for ever if syslogd is stuck. */
static void
send_to_syslogd(const struct text *line)
{
	size_t length;
	ssize_t written = -1;
	int tries;

	for (tries = 0; tries < 2 && written == -1; tries++) {
		lost = true;
		if (syslogd == -1 && !reach_syslogd())
			return;
		length = line->length + by_stream; /* a NUL ends each line there */
		written = write_line(syslogd, line->bytes, length);
		/* A partial line must not be continued by the next one. */
		if (written != 0 && written != (ssize_t)length) {
			close(syslogd);
			syslogd = -1;
		}
	}
}

/* Writes each line in one piece, so that the lines of many sessions do not mix. */
static void
emit(struct text *line)
{
	ssize_t written;

	if (place == LOG_TO_SYSLOG) {
		send_to_syslogd(line);
		return;
	}
	line->bytes[line->length++] = '\n'; /* in place of the NUL */
	written = write_line(STDERR_FILENO, line->bytes, line->length);
	torn = (torn && written <= 0) || (written > 0 && (size_t)written < line->length);
}

static void
tell_long(int priority, const struct event *event)
{
	char bytes[LINE_MOST];
	struct text line = TEXT(bytes);

	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
	emit(&line);
}

static void
tell(int priority, const struct event *event)
{
	char bytes[LINE_USUAL];
	struct text line = TEXT(bytes);
	size_t most;

	if (place == LOG_TO_NONE || (quiet && priority > LOG_ERR))
		return;
	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
	/* syslogd cuts long lines: the client's values are shortened before the reason is lost. */
	for (most = 64; place == LOG_TO_SYSLOG && line.length > SYSLOG_MOST && most >= 8; most /= 2)
		compose(&line, priority, event, most, 4 * most);
	if (line.cut)
		tell_long(priority, event);
	else
		emit(&line);
}

void
log_open(const struct log_record *record)
{
	confined = !record->no_sandbox;
	tell(LOG_INFO, &(struct event){ .word = "open", .record = record });
}

void
log_close(const struct log_record *record, const struct log_totals *totals, enum reason reason)
{
	tell(LOG_INFO,
	    &(struct event){
		.word = "close", .record = record, .totals = totals, .reason = reason });
}

void
log_refuse(const struct log_record *record, int code, enum reason reason)
{
	bool ours = reason == REASON_SYSTEM || reason == REASON_BROKEN_LIST;

	tell(ours ? LOG_ERR : LOG_NOTICE,
	    &(struct event){ .word = "refuse", .record = record, .code = code, .reason = reason });
}

/* Not inlined: its large frame would make the stack of every session a page deeper. */
#ifdef __GNUC__
__attribute__((noinline))
#endif
static void
tell_text(int priority, const char *name, const char *format, va_list arguments)
{
	char bytes[TEXT_MOST];
	struct text text = TEXT(bytes);

	lost = !in_a_hurry && net_stopped();
	if (lost)
		return;
	text_put(&text, "%s", name);
	text_put_list(&text, format, arguments);
	tell(priority, &(struct event){ .word = bytes });
}

bool
log_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_text(LOG_ERR, "", format, arguments);
	va_end(arguments);
	return !lost;
}

void
log_info(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_text(LOG_INFO, "", format, arguments);
	va_end(arguments);
}

int
log_failure(int status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell_text(LOG_ERR, "socks4-stdio: ", format, arguments);
	va_end(arguments);
	return status;
}
