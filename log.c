#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "net.h"
#include "text.h"

#ifndef PIPE_BUF /* where it depends on the file */
#define PIPE_BUF _POSIX_PIPE_BUF
#endif
#ifndef _PATH_LOG
#define _PATH_LOG "/dev/log"
#endif

enum {
	/* Source bytes of a value that are shown: more than any USERID, name (255) or identd's
	 * answer (512) has; and of a rule, which is a path and a line. */
	VALUE_MOST = 512,
	RULE_MOST = 4096 + 16,
	/* Four values and a rule, each byte escaped; the rest is short. No end is ever cut. */
	LINE_MOST = 4 * 4 * VALUE_MOST + 4 * RULE_MOST + 2048,
	LINE_USUAL = 1024, /* only a longer one takes that much memory */
	STALL = 1,	   /* seconds that a line waits for a reader who is stuck */
	SYSLOG_MOST = 960  /* RFC 3164 section 4.1: 1024, to which time and host are added */
};

struct event {
	const char *word;		 /* or free text */
	const struct log_record *record; /* NULL: free text */
	const struct log_totals *totals;
	int code; /* 0: none */
	const char *reason;
};

static enum log_place place = LOG_TO_NONE;
static bool journal; /* standard error is the journal stream */
static bool quiet, verbose;
static unsigned long long pid;
static int syslogd = -1; /* connected to it */

/* True where fd 2 is the stream that systemd says it has connected to the journal. */
static bool
is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;
	char *end;

	if (text == NULL || fstat(2, &status) == -1)
		return false;
	device = strtoull(text, &end, 10);
	if (end == text || *end != ':')
		return false;
	text = end + 1;
	inode = strtoull(text, &end, 10);
	return end != text && *end == '\0' && (unsigned long long)status.st_dev == device &&
	    (unsigned long long)status.st_ino == inode;
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
		pid = (unsigned long long)getpid(); /* while we may ask */
}

/* Connects to syslogd, anew where it was connected before. */
static bool
reach_syslogd(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = _PATH_LOG };

	if (syslogd != -1)
		close(syslogd);
	syslogd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (syslogd == -1)
		return false;
	if (fcntl(syslogd, F_SETFL, O_NONBLOCK) == 0 &&
	    connect(syslogd, (const struct sockaddr *)&address, sizeof address) == 0)
		return true;
	close(syslogd);
	syslogd = -1;
	return false;
}

void
log_ready(void)
{
	if (place == LOG_TO_SYSLOG && syslogd == -1)
		(void)reach_syslogd();
}

static void
put_bytes(struct text *line, const char *bytes, size_t length, const char *special)
{
	size_t i;

	for (i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte >= 0x20 && byte <= 0x7e && strchr(special, byte) == NULL) {
			text_put_bytes(line, &bytes[i], 1);
			continue;
		}
		text_put(line, "\\x");
		text_put_hex(line, byte, 2);
	}
}

/* Empties the line. The journal and syslogd take its priority from the front; the time of a line
 * that has none is that of its arrival (RFC 3164 section 4.3.2). */
static void
begin(struct text *line, int priority)
{
	text_start(line, line->bytes, line->size);
	if (place == LOG_TO_SYSLOG)
		priority |= LOG_DAEMON;
	else if (!journal)
		return;
	text_put(line, "<");
	text_put_number(line, (unsigned long long)priority, 1);
	text_put(line, ">");
	if (place == LOG_TO_SYSLOG) {
		text_put(line, "socks4-stdio[");
		text_put_number(line, pid, 1);
		text_put(line, "]: ");
	}
}

static void
put_key(struct text *line, const char *key)
{
	text_put(line, " ");
	text_put(line, key);
	text_put(line, "=");
}

static bool
is_plain(const char *text)
{
	static const char plain[] =
	    "[]ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/@%+,*-";

	return *text != '\0' && text[strspn(text, plain)] == '\0';
}

/* Puts " key=value", of which at most so many bytes; "..." stands for what is cut off. */
static void
put_value(struct text *line, const char *key, const char *value, size_t most)
{
	size_t length;

	if (value == NULL)
		return;
	length = strlen(value);
	put_key(line, key);
	if (length <= most && is_plain(value)) {
		text_put(line, value);
		return;
	}
	text_put(line, "\"");
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
		put_value(line, key, "local", VALUE_MOST);
	else
		put_value(line, key, address_print_endpoint(endpoint, text), VALUE_MOST);
}

static void
put_number(struct text *line, const char *key, unsigned long long number)
{
	put_key(line, key);
	text_put_number(line, number, 1);
}

static void
put_phase(struct text *line, const char *key, long long ms)
{
	if (ms >= 0)
		put_number(line, key, (unsigned long long)ms);
}

static void
put_phases(struct text *line, const struct log_record *record)
{
	if (!verbose)
		return;
	put_phase(line, "ms_request", record->ms_request);
	put_phase(line, "ms_ident", record->ms_ident);
	put_phase(line, "ms_resolve", record->ms_resolve);
	put_phase(line, "ms_connect", record->ms_connect);
}

/* A rule's end, which has the line's number, tells more than its start. */
static void
put_rule(struct text *line, const struct log_record *record, size_t most)
{
	size_t length = record->rule != NULL ? strlen(record->rule) : 0;
	size_t left_out = length > most ? length - most : 0;
	bool plain;

	if (record->rule == NULL)
		return;
	plain = is_plain(record->rule + left_out);
	put_key(line, "rule");
	text_put(line, plain ? "" : "\"");
	text_put(line, left_out > 0 ? "..." : "");
	put_bytes(line, record->rule + left_out, length - left_out, "\"\\");
	if (record->line != 0) {
		text_put(line, ":");
		text_put_number(line, record->line, 1);
	}
	text_put(line, plain ? "" : "\"");
}

static void
put_totals(struct text *line, const struct log_totals *totals)
{
	unsigned long long ms = (unsigned long long)totals->ms;

	put_number(line, "up", totals->up);
	put_number(line, "down", totals->down);
	put_number(line, "secs", ms / 1000);
	text_put(line, ".");
	text_put_number(line, ms % 1000, 3);
}

/* Free text, or the keys in the order of DESIGN.md section 6. Values are cut at most, a rule at
 * rule_most. */
static void
compose(struct text *line, int priority, const struct event *event, size_t most, size_t rule_most)
{
	const struct log_record *record = event->record;

	begin(line, priority);
	if (record == NULL) {
		put_bytes(line, event->word, strlen(event->word), "");
		return;
	}
	text_put(line, event->word);
	put_value(line, "cmd", record->command, most);
	put_endpoint(line, "src", record->source);
	put_value(line, "via", record->via, most);
	put_value(line, "user", record->userid, most);
	put_value(line, "ident", record->ident, most);
	put_endpoint(line, "dst", record->destination);
	put_value(line, "name", record->name, most);
	put_rule(line, record, rule_most);
	if (event->totals != NULL)
		put_totals(line, event->totals);
	if (event->code != 0)
		put_number(line, "code", (unsigned long long)event->code);
	if (event->reason == NULL && record->no_sandbox)
		put_value(line, "sandbox", "none", most);
	put_phases(line, record);
	put_value(line, "reason", event->reason, VALUE_MOST);
}

/* Writes the line in pieces of at most that size, each when there is room for it, as long as the
 * deadline lets it. -1 with errno where a write failed. */
static int
write_line(int fd, const struct text *line, size_t most)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };
	int64_t deadline = net_deadline(STALL);
	size_t done = 0, size;
	ssize_t count;
	int ready;

	while (done < line->length) {
		ready = poll(&polled, 1, net_timeout(deadline));
		if (ready == 0)
			return 0;
		if (ready == -1)
			continue;
		size = line->length - done < most ? line->length - done : most;
		count = write(fd, line->bytes + done, size);
		if (count >= 0)
			done += (size_t)count;
		else if ((errno != EINTR && errno != EAGAIN) || net_now() >= deadline)
			return -1;
	}
	return 0;
}

/* Not by syslog(3), which knows no limit and waits for ever for a syslogd that is stuck. One that
 * was restarted is reached anew, which the sandbox does not let happen. */
static void
send_to_syslogd(const struct text *line)
{
	if (syslogd == -1 && !reach_syslogd())
		return;
	if (write_line(syslogd, line, line->length) == -1 && reach_syslogd())
		(void)write_line(syslogd, line, line->length);
}

/* Whole lines, so that those of many sessions do not mix. For more than PIPE_BUF bytes poll(2)
 * promises nothing of a pipe, and write(2) would wait for a reader who is stuck. */
static void
emit(struct text *line)
{
	if (place == LOG_TO_SYSLOG) {
		send_to_syslogd(line);
		return;
	}
	line->bytes[line->length++] = '\n'; /* in place of the NUL */
	(void)write_line(2, line, PIPE_BUF);
}

static bool
is_wanted(int priority)
{
	return place != LOG_TO_NONE && (!quiet || priority <= LOG_ERR);
}

static void
tell_long(int priority, const struct event *event)
{
	char bytes[LINE_MOST];
	struct text line;

	text_start(&line, bytes, sizeof bytes);
	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
	emit(&line);
}

static void
tell(int priority, const struct event *event)
{
	char bytes[LINE_USUAL];
	struct text line;
	size_t most;

	if (!is_wanted(priority))
		return;
	text_start(&line, bytes, sizeof bytes);
	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
	/* Where syslogd cuts, what the client has chosen must not push the reason out. */
	for (most = 64; place == LOG_TO_SYSLOG && line.length > SYSLOG_MOST && most >= 8; most /= 2)
		compose(&line, priority, event, most, 4 * most);
	if (line.cut)
		tell_long(priority, event);
	else
		emit(&line);
}

static void
tell_text(int priority, const char *text)
{
	tell(priority, &(struct event){ .word = text });
}

void
log_open(const struct log_record *record)
{
	tell(LOG_INFO, &(struct event){ .word = "open", .record = record });
}

void
log_close(const struct log_record *record, const struct log_totals *totals, const char *reason)
{
	tell(LOG_INFO,
	    &(struct event){
		.word = "close", .record = record, .totals = totals, .reason = reason });
}

void
log_refuse(const struct log_record *record, int code, const char *reason)
{
	bool ours = strcmp(reason, "system") == 0 || strcmp(reason, "broken-list") == 0;

	tell(ours ? LOG_ERR : LOG_NOTICE,
	    &(struct event){ .word = "refuse", .record = record, .code = code, .reason = reason });
}

void
log_error(const char *message)
{
	tell_text(LOG_ERR, message);
}

void
log_info(const char *message)
{
	tell_text(LOG_INFO, message);
}
