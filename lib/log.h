/* The log line (DESIGN.md section 6): one event, one line. */

#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

#include "lib/reason.h"
#include "lib/text.h"

struct endpoint;

enum log_place { LOG_TO_DEFAULT, LOG_TO_SYSLOG, LOG_TO_STDERR, LOG_TO_NONE };

enum { LOG_UNKNOWN = -1 }; /* a phase that did not happen */

/* What is known of a session so far; NULL, false and LOG_UNKNOWN: not known, not printed. */
struct log_record {
	const char *command;
	const struct endpoint *source; /* family AF_UNSPEC: "local" */
	const char *via;
	const char *userid;
	const char *ident;
	const struct endpoint *destination;
	const char *name;
	const unsigned *port; /* that was asked for; shown if there is no destination */
	const char *rule;     /* its list, or a word in its place */
	unsigned line;	      /* in the list; 0: none */
	bool no_sandbox;      /* the open line says sandbox=none */
	long long ms_request, ms_ident, ms_resolve, ms_connect;
};

struct log_totals {
	unsigned long long up, down; /* bytes */
	long long ms;		     /* length of the session */
};

/* Chooses where to log. The default is syslog, or standard error with <N> priorities if that is
 * systemd's journal stream (JOURNAL_STREAM). quiet: errors only; verbose: the phases' times too.
 * Nothing is opened before the first line. */
void log_start(enum log_place place, bool quiet, bool verbose);

/* From here on all lines together wait at most one second for a reader who is stuck; then a line
 * that cannot be written at once is dropped. Without this they wait until a signal comes. */
void log_hurry(void);

/* Prepares for the sandbox: connects to syslogd and looks up the names of interfaces. */
void log_ready(const struct log_record *record);

/* From here on, syslogd is reconnected only if record->no_sandbox. */
void log_open(const struct log_record *record);
void log_close(
    const struct log_record *record, const struct log_totals *totals, enum reason reason);
/* Priority err for REASON_SYSTEM and REASON_BROKEN_LIST, else notice. */
void log_refuse(const struct log_record *record, int code, enum reason reason);

/* Free text, as text_put() makes it: an error, or information. One line; control bytes escaped.
 * Without log_hurry() nothing is said after a signal: its sender knows. log_error() returns false
 * if the line was lost. */
bool log_error(const char *format, ...) TEXT_FORMAT(1, 2);
void log_info(const char *format, ...) TEXT_FORMAT(1, 2);

/* The same of an error that ends the program, after the program's name. Returns the status. */
int log_failure(int status, const char *format, ...) TEXT_FORMAT(2, 3);

#endif
