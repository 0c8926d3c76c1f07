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

		if (byte >= 0x20 && byte <= 0x7e && strchr(special, byte) == NULL) {
			text_put_bytes(line, &bytes[i], 1);
			continue;
		}
		text_put(line, "\\x");
		text_put_hex(line, byte, 2);
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
		put_value(line, key, "local", LOGLINE_VALUE);
	else
		put_value(line, key, address_print_endpoint(endpoint, text), LOGLINE_VALUE);
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

void
logline_put(struct text *line, const struct logline_event *event, bool phases, size_t most,
    size_t rule_most)
{
	const struct log_record *record = event->record;

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
	if (record->destination == NULL && record->port != NULL)
		put_number(line, "port", *record->port);
	put_rule(line, record, rule_most);
	if (event->totals != NULL)
		put_totals(line, event->totals);
	if (event->code != 0)
		put_number(line, "code", (unsigned long long)event->code);
	if (event->reason == NULL && record->no_sandbox)
		put_value(line, "sandbox", "none", most);
	if (phases)
		put_phases(line, record);
	put_value(line, "reason", event->reason, LOGLINE_VALUE);
}
