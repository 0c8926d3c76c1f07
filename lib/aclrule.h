/* An access list once it is read, shared by aclparse.c (lines), aclitem.c (elements of their
 * lists) and acl.c (the judge), hidden from all else. Needs acl.h and address.h before it. */

#ifndef ACLRULE_H
#define ACLRULE_H

#include <stdbool.h>
#include <stddef.h>

/* A piece of the list's text, without a NUL. */
struct word {
	const char *text;
	size_t length;
};

enum item_kind {
	ITEM_ANY,
	ITEM_LOCAL,
	ITEM_INTERNAL,
	ITEM_PREFIX,
	ITEM_NAME,
	ITEM_DOMAIN, /* its name has no leading dot */
	ITEM_USER,
	ITEM_PORTS
};

struct item {
	enum item_kind kind;
	union {
		struct prefix prefix;
		struct word name;
		struct {
			unsigned low, high;
		} ports;
	} is;
};

/* The criteria that take a list; in struct rule each is a run of the items. */
enum { RULE_FROM, RULE_USER, RULE_TO, RULE_PORT, RULE_LISTS };

struct rule {
	struct word text; /* the whole line */
	unsigned line;
	bool permit;
	unsigned char command; /* SOCKS4_CONNECT, SOCKS4_BIND; 0: both */
	enum acl_ident ident;
	struct {
		unsigned first, count; /* count 0: left out, matches all */
	} lists[RULE_LISTS];
};

/* All that a small list needs is one mapping, which leaves no heap behind: it begins with struct
 * acl, the text comes next and then the tables. */
enum { ACLRULE_ROOM = 8192 };

struct acl {
	char *text; /* the words point into it */
	size_t length;
	struct rule *rules;
	struct item *items;
	size_t rule_count, item_count;
	size_t text_mapped, tables_mapped; /* bytes; 0: what is in the room */
};

/* How a request stands to an item. INTERNAL: it matches if the address is internal, which costs
 * system calls to find out. MAYBE: that depends on an address which nobody has looked up yet. */
enum match { NO, MAYBE, INTERNAL, YES };

/* A mapping of so many bytes, for the caller to unmap; NULL with errno. */
void *acl_map(size_t size);

/* Reads acl's text, behind which is a NUL, into its rules and items. False after at least one
 * "path:line: message" to complain; what was allocated is acl's in any case. */
bool aclparse_text(struct acl *acl, const char *path, void (*complain)(const char *message));

/* Takes the next word off line. False where only blanks or a comment are left. */
bool aclparse_word(struct word *line, struct word *word);

bool aclitem_is(struct word word, const char *text);

/* Reads one element of a criterion's list. NULL where it is right, else what is wrong: the end of
 * a sentence that the element begins. */
const char *aclitem_parse(int criterion, struct word element, struct item *item);

enum match aclitem_match(int criterion, const struct item *item, const struct acl_request *request);

/* True for a destination of 0.0.0.0 or :: as such, not for a prefix that it lies in. */
bool aclitem_is_unspecified(const struct item *item);

#endif
