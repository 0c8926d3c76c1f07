/* A rule of an access list (socks4-stdio.acl(5)): a line of text, read into one record that stands
 * by itself: the rule, its items, its text. A list holds such records one after another, in memory
 * as in a frozen file. */

#ifndef RULES_H
#define RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix;

enum rule_ident { RULE_IDENT_DEFAULT, RULE_IDENT_OFF, RULE_IDENT_ASK, RULE_IDENT_REQUIRE };

/* The criteria that have a list of items. */
enum rule_criterion { RULE_FROM, RULE_USER, RULE_TO, RULE_PORT, RULE_CRITERIA };

enum item_kind {
	ITEM_ANY,
	ITEM_LOCAL,
	ITEM_INTERNAL,
	ITEM_PREFIX4,
	ITEM_PREFIX6, /* its octets take the place of the next two items */
	ITEM_NAME,
	ITEM_DOMAIN, /* its name has no leading dot */
	ITEM_USER,
	ITEM_PORTS
};

struct item {
	uint8_t kind, criterion;
	uint8_t length; /* of a prefix in bits, of a name or user in bytes */
	uint8_t unused;
	union {
		unsigned char four[4]; /* ITEM_PREFIX4 */
		uint32_t name;	       /* offset in the rule's text; no NUL ends it */
		struct {
			uint16_t low, high;
		} ports;
	} is;
};

struct rule {
	uint32_t size; /* of the whole record in bytes, a multiple of 8 */
	uint32_t text; /* offset of the text, where the items end; the text ends in NUL */
	uint32_t line;
	uint8_t permit, ident;
	uint8_t command;  /* SOCKS4_CONNECT, SOCKS4_BIND; 0: both */
	uint8_t internal; /* a bit, 1 << criterion, for each that has the word internal */
};

/* The largest record, in bytes, that a line of that length can make: "::," is the densest item. */
#define RULES_ROOM(length) ((size_t)(length)*9 + 64)

enum { RULES_PIECES = 8, RULES_SENTENCE = 512 };

/* What is wrong with a line. The strings are parts of the line, or static: valid while the line is.
 */
struct rules_problem {
	const char *subject; /* what is wrong; it ends at a blank */
	const char *message; /* the rest of the sentence */
	struct {
		const char *text;
		size_t length;
	} instead[RULES_PIECES]; /* what to write, if the intent is plain */
	size_t pieces;
	char digits[3];
};

/* Writes the message to text, RULES_SENTENCE bytes with the NUL, in printable ASCII. */
void rules_explain(const struct rules_problem *problem, char *text);

/* Parses a line without its newline into *rule, RULES_ROOM() bytes. It changes the line; the byte
 * after the line must be writable. rule->size is 0 if the line has no rule. Returns false with
 * *problem if the line is wrong. The caller sets rule->line. */
bool rules_read(char *line, size_t length, struct rule *rule, struct rules_problem *problem);

/* Return the first item of a rule, and the one after an item; NULL after the last. */
const struct item *rules_first(const struct rule *rule);
const struct item *rules_next(const struct rule *rule, const struct item *item);

/* The text of a rule, single-spaced, without its comment, and the name of an item in it. */
const char *rules_text(const struct rule *rule);
const char *rules_name(const struct rule *rule, const struct item *item);

/* True if the item, a name or domain of the rule, matches a name of that length, without case. */
bool rules_name_matches(
    const struct rule *rule, const struct item *item, const char *name, size_t length);

/* The octets of a prefix item: 4 or 16. */
const unsigned char *rules_octets(const struct item *item);

/* Sets *prefix to the item's. Returns false if the item is no prefix. */
bool rules_prefix(const struct item *item, struct prefix *prefix);

/* True for a destination of exactly 0.0.0.0 or ::, not for a prefix that it lies in. */
bool rules_is_unspecified(const struct item *item);

/* True if the rule has a destination of exactly 0.0.0.0: it means BIND with any caller. */
bool rules_names_unspecified(const struct rule *rule);

/* True if these bytes are a record as rules_read() makes it, in which nothing points outside. For
 * records that come from a file. */
bool rules_is_sound(const struct rule *rule, size_t size);

#endif
