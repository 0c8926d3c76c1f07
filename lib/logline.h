/* The text of a log line (DESIGN.md section 6), a pure part of log.c. */

#ifndef LOGLINE_H
#define LOGLINE_H

#include <stdbool.h>
#include <stddef.h>

struct log_record;
struct log_totals;
struct text;

/* Source bytes of a value that are shown: more than any USERID, name (255) or identd's answer
 * (512) has; and of a rule, which is a path and a line. */
enum { LOGLINE_VALUE = 512, LOGLINE_RULE = 4096 + 16 };

struct logline_event {
	const char *word;		 /* or free text */
	const struct log_record *record; /* NULL: free text */
	const struct log_totals *totals;
	int code; /* 0: none */
	const char *reason;
};

/* Puts free text, or the keys in their order, the phases' times only if wanted. Of a value at most
 * so many bytes are shown, of a rule rule_most. */
void logline_put(struct text *line, const struct logline_event *event, bool phases, size_t most,
    size_t rule_most);

#endif
