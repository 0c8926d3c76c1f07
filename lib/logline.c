#include <sys/socket.h>

#include <string.h>

#include "lib/address.h"
#include "lib/log.h"
#include "lib/logline.h"
#include "lib/text.h"

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

/* Puts " key=value", of which at most so many bytes; "..." is put in place of what is cut off. */
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
		put_value(line, key, address_print_endpoint(endpoint, text), LOGLINE_VALUE);
}

static void
put_phase(struct text *line, const char *key, long long ms)
{
	if (ms >= 0)
		text_put(line, " ms_%s=%llu", key, (unsigned long long)ms);
}

/* A rule's end, which has the line's number, tells more than its start. */
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
put_record(struct text *line, const struct logline_event *event, bool phases, size_t most,
    size_t rule_most)
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
	if (event->reason == NULL && record->no_sandbox)
		text_put(line, " sandbox=none");
	if (phases) {
		put_phase(line, "request", record->ms_request);
		put_phase(line, "ident", record->ms_ident);
		put_phase(line, "resolve", record->ms_resolve);
		put_phase(line, "connect", record->ms_connect);
	}
	if (event->reason != NULL)
		text_put(line, " reason=%s", event->reason);
}

void
logline_put(struct text *line, const struct logline_event *event, bool phases, size_t most,
    size_t rule_most)
{
	put_bytes(line, event->word, strlen(event->word), "");
	if (event->record != NULL)
		put_record(line, event, phases, most, rule_most);
}
