#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "log.h"

enum {
	/* Source bytes of a value that are shown: more than any USERID, name (255) or identd's
	 * answer (512) has; and of a rule, which is a path and a line. */
	VALUE_MOST = 512,
	RULE_MOST = 4096 + 16,
	/* Four values and a rule, each byte escaped; the rest is short. No end is ever cut. */
	LINE_MOST = 4 * 4 * VALUE_MOST + 4 * RULE_MOST + 2048,
	STALL = 1000 /* ms that a line waits for a stuck reader of standard error */
};

struct line {
	char text[LINE_MOST];
	size_t length;
};

struct event {
	const char *word;
	const struct log_record *record;
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
put_byte(struct line *line, char byte)
{
	if (line->length < sizeof line->text - 1) /* the last one is for a line feed or NUL */
		line->text[line->length++] = byte;
}

static void
put(struct line *line, const char *text)
{
	while (*text != '\0')
		put_byte(line, *text++);
}

static void
put_bytes(struct line *line, const char *bytes, size_t length, const char *special)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte >= 0x20 && byte <= 0x7e && strchr(special, byte) == NULL) {
			put_byte(line, bytes[i]);
			continue;
		}
		put(line, "\\x");
		put_byte(line, digits[byte >> 4]);
		put_byte(line, digits[byte & 15]);
	}
}

/* Starts a line; the journal takes its priority from the front. */
static void
begin(struct line *line, int priority)
{
	line->length = 0;
	if (journal) {
		put_byte(line, '<');
		put_byte(line, (char)('0' + priority));
		put_byte(line, '>');
	}
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
put_value(struct line *line, const char *key, const char *value, size_t most)
{
	size_t length;

	if (value == NULL)
		return;
	length = strlen(value);
	put_byte(line, ' ');
	put(line, key);
	put_byte(line, '=');
	if (length <= most && is_plain(value)) {
		put(line, value);
		return;
	}
	put_byte(line, '"');
	put_bytes(line, value, length < most ? length : most, "\"\\");
	put(line, length > most ? "...\"" : "\"");
}

static void
put_endpoint(struct line *line, const char *key, const struct endpoint *endpoint)
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
put_number(struct line *line, const char *key, unsigned long long number)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", number);
	put_value(line, key, text, VALUE_MOST);
}

static void
put_phase(struct line *line, const char *key, long long ms)
{
	if (ms >= 0)
		put_number(line, key, (unsigned long long)ms);
}

static void
put_phases(struct line *line, const struct log_record *record)
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
put_rule(struct line *line, const char *rule, size_t most)
{
	char tail[RULE_MOST + 4];
	size_t length = rule != NULL ? strlen(rule) : 0;

	if (length > most) {
		snprintf(tail, sizeof tail, "...%s", rule + (length - most));
		rule = tail;
	}
	put_value(line, "rule", rule, sizeof tail);
}

static void
put_totals(struct line *line, const struct log_totals *totals)
{
	char text[32];

	put_number(line, "up", totals->up);
	put_number(line, "down", totals->down);
	snprintf(text, sizeof text, "%lld.%03lld", totals->ms / 1000, totals->ms % 1000);
	put_value(line, "secs", text, VALUE_MOST);
}

/* The keys in the order of DESIGN.md section 6. Values are cut at most, a rule at rule_most. */
static void
compose(struct line *line, int priority, const struct event *event, size_t most, size_t rule_most)
{
	const struct log_record *record = event->record;

	begin(line, priority);
	put(line, event->word);
	put_value(line, "cmd", record->command, most);
	put_endpoint(line, "src", record->source);
	put_value(line, "via", record->via, most);
	put_value(line, "user", record->userid, most);
	put_value(line, "ident", record->ident, most);
	put_endpoint(line, "dst", record->destination);
	put_value(line, "name", record->name, most);
	put_rule(line, record->rule, rule_most);
	if (event->totals != NULL)
		put_totals(line, event->totals);
	if (event->code != 0)
		put_number(line, "code", (unsigned long long)event->code);
	if (event->reason == NULL && record->no_sandbox)
		put_value(line, "sandbox", "none", most);
	put_phases(line, record);
	put_value(line, "reason", event->reason, VALUE_MOST);
}

/* Whole lines, each in one write(2), so that those of many sessions do not mix. */
static void
emit(struct line *line, int priority)
{
	struct pollfd polled = { .fd = 2, .events = POLLOUT };
	ssize_t written;

	if (place == LOG_TO_SYSLOG) {
		line->text[line->length] = '\0';
		syslog(priority, "%s", line->text);
		return;
	}
	line->text[line->length++] = '\n';
	if (poll(&polled, 1, STALL) == 0)
		return;
	do
		written = write(2, line->text, line->length);
	while (written == -1 && errno == EINTR);
}

static bool
is_wanted(int priority)
{
	return place != LOG_TO_NONE && (!quiet || priority <= LOG_ERR);
}

static void
tell(int priority, const struct event *event)
{
	static struct line line;

	if (!is_wanted(priority))
		return;
	compose(&line, priority, event, VALUE_MOST, RULE_MOST);
#ifndef __GLIBC__
	/* musl's syslog() cuts a line, with its head, at 1024 bytes: what the client has chosen
	 * must not push the reason out. */
	for (size_t most = 64; place == LOG_TO_SYSLOG && line.length > 960 && most >= 8; most /= 2)
		compose(&line, priority, event, most, 4 * most);
#endif
	emit(&line, priority);
}

static void
tell_text(int priority, const char *text)
{
	static struct line line;

	if (!is_wanted(priority))
		return;
	begin(&line, priority);
	put_bytes(&line, text, strlen(text), "");
	emit(&line, priority);
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
