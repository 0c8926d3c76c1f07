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

#include "lib/address.h"
#include "lib/log.h"
#include "lib/logline.h"
#include "lib/net.h"
#include "lib/text.h"

#ifndef PIPE_BUF /* where it depends on the file */
#define PIPE_BUF _POSIX_PIPE_BUF
#endif
#ifndef _PATH_LOG
#define _PATH_LOG "/dev/log"
#endif

enum {
	/* Four values and a rule, each byte escaped; the rest is short. No end is ever cut. */
	LINE_MOST = 4 * 4 * LOGLINE_VALUE + 4 * LOGLINE_RULE + 2048,
	LINE_USUAL = 1024, /* only a longer one takes that much memory */
	STALL = 1,	   /* seconds that a line waits for a reader who is stuck */
	SYSLOG_MOST = 960  /* RFC 3164 section 4.1: 1024, to which time and host are added */
};

static enum log_place place = LOG_TO_NONE;
static bool journal; /* standard error is the journal stream */
static bool quiet, verbose;
static unsigned long long pid;
static int syslogd = -1; /* connected to it */
static bool confined;	 /* by the sandbox */

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

/* Connects to syslogd, anew where it was connected before; not in the sandbox, where some systems
 * would end us for the try. */
static bool
reach_syslogd(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = _PATH_LOG };

	if (confined)
		return false;
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

static void
look_up_interface(const struct endpoint *endpoint)
{
	char text[ADDRESS_TEXT];

	if (endpoint != NULL)
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
compose(struct text *line, int priority, const struct logline_event *event, size_t most,
    size_t rule_most)
{
	begin(line, priority);
	logline_put(line, event, verbose, most, rule_most);
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

/* Not by syslog(3), which knows no limit and waits for ever for a syslogd that is stuck. */
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
tell_long(int priority, const struct logline_event *event)
{
	char bytes[LINE_MOST];
	struct text line;

	text_start(&line, bytes, sizeof bytes);
	compose(&line, priority, event, LOGLINE_VALUE, LOGLINE_RULE);
	emit(&line);
}

static void
tell(int priority, const struct logline_event *event)
{
	char bytes[LINE_USUAL];
	struct text line;
	size_t most;

	if (!is_wanted(priority))
		return;
	text_start(&line, bytes, sizeof bytes);
	compose(&line, priority, event, LOGLINE_VALUE, LOGLINE_RULE);
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
	tell(priority, &(struct logline_event){ .word = text });
}

void
log_open(const struct log_record *record)
{
	confined = !record->no_sandbox;
	tell(LOG_INFO, &(struct logline_event){ .word = "open", .record = record });
}

void
log_close(const struct log_record *record, const struct log_totals *totals, const char *reason)
{
	tell(LOG_INFO,
	    &(struct logline_event){
		.word = "close", .record = record, .totals = totals, .reason = reason });
}

void
log_refuse(const struct log_record *record, int code, const char *reason)
{
	bool ours = strcmp(reason, "system") == 0 || strcmp(reason, "broken-list") == 0;

	tell(ours ? LOG_ERR : LOG_NOTICE,
	    &(struct logline_event){
		.word = "refuse", .record = record, .code = code, .reason = reason });
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
