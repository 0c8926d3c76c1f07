#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "text.h"

enum {
	/* Source bytes of a value that are shown: more than any USERID, name (255) or identd's
	 * answer (512) has; and of a rule, which is a path and a line. */
	VALUE_MOST = 512,
	RULE_MOST = 4096 + 16,
	/* Four values and a rule, each byte escaped; the rest is short. No end is ever cut. */
	LINE_MOST = 4 * 4 * VALUE_MOST + 4 * RULE_MOST + 2048,
	LINE_USUAL = 1024, /* only a longer one takes that much memory */
	STALL = 1	   /* seconds that a line waits for a reader who is stuck */
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
		openlog("socks4-stdio", LOG_PID, LOG_DAEMON);
}

void
log_ready(void)
{
	if (place != LOG_TO_SYSLOG)
		return;
	openlog("socks4-stdio", LOG_PID | LOG_NDELAY, LOG_DAEMON);
#ifdef __GLIBC__
	tzset(); /* glibc's syslog() writes local time and reads the zone's file; musl's, UTC */
#endif
}

static void
put_bytes(struct text *line, const char *bytes, size_t length, const char *special)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte >= 0x20 && byte <= 0x7e && strchr(special, byte) == NULL) {
			text_put_bytes(line, &bytes[i], 1);
			continue;
		}
		text_put(line, "\\x");
		text_put_bytes(line, &digits[byte >> 4], 1);
		text_put_bytes(line, &digits[byte & 15], 1);
	}
}

/* Empties the line; the journal takes its priority from the front. */
static void
begin(struct text *line, int priority)
{
	text_start(line, line->bytes, line->size);
	if (journal) {
		text_put(line, "<");
		text_put_number(line, (unsigned long long)priority, 1);
		text_put(line, ">");
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

static void
interrupt(int number)
{
	(void)number;
	alarm(STALL);
}

/* syslog(3) knows no limit: it waits for ever while a stuck syslogd's queue is full. The alarm goes
 * off again, for glibc tries twice. Here it is not the one that ends the session; what a signal
 * meanwhile has to say is known (net_stop()) before the next wait. */
static void
send_to_syslog(int priority, const char *text)
{
	struct sigaction action, before;

	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	action.sa_handler = interrupt;
	sigaction(SIGALRM, &action, &before);
	alarm(STALL);
	syslog(priority, "%s", text);
	alarm(0);
	sigaction(SIGALRM, &before, NULL);
}

/* Whole lines, each in one write(2), so that those of many sessions do not mix. */
static void
emit(struct text *line, int priority)
{
	struct pollfd polled = { .fd = 2, .events = POLLOUT };
	ssize_t written;

	if (place == LOG_TO_SYSLOG) {
		send_to_syslog(priority, line->bytes);
		return;
	}
	line->bytes[line->length++] = '\n'; /* in place of the NUL */
	if (poll(&polled, 1, STALL * 1000) == 0)
		return;
	do
		written = write(2, line->bytes, line->length);
	while (written == -1 && errno == EINTR);
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
	emit(&line, priority);
}

static void
tell(int priority, const struct event *event)
{
	char bytes[LINE_USUAL];
	struct text line;

	if (!is_wanted(priority))
		return;
	text_start(&line, bytes, sizeof bytes);
	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
#ifndef __GLIBC__
	/* musl's syslog() cuts a line, with its head, at 1024 bytes: what the client has chosen
	 * must not push the reason out. */
	for (size_t most = 64; place == LOG_TO_SYSLOG && line.length > 960 && most >= 8; most /= 2)
		compose(&line, priority, event, most, 4 * most);
#endif
	if (line.cut)
		tell_long(priority, event);
	else
		emit(&line, priority);
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
