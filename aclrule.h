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

/* A small list needs nothing but one mapping, which leaves no heap behind. */
enum { ACLRULE_ROOM = 8192, ACLRULE_CELL = 16 };

struct acl {
	char *text; /* the words point into it */
	size_t length;
	struct rule *rules;
	size_t rule_count, rule_room;
	struct item *items;
	size_t item_count, item_room;
	unsigned char *spare; /* what is left of the room that this struct is at the start of */
};

/* How a request stands to an item. INTERNAL: it matches if the address is internal, which costs
 * system calls to find out. MAYBE: that depends on an address which nobody has looked up yet. */
enum match { NO, MAYBE, INTERNAL, YES };

/* A block of so many bytes which starts with the first `used` of the given one (NULL: none), in
 * whose place it comes: in acl's room while that lasts. NULL where there is no memory; the given
 * block is then as before. */
void *aclparse_resize(struct acl *acl, void *block, size_t used, size_t size);
size_t aclparse_cells(size_t size); /* what a block of that size takes of the room */
void aclparse_release(const struct acl *acl, void *block);

/* Reads acl's text into its rules and items. False after at least one "path:line: message" to
 * complain; what was allocated is acl's in any case. */
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
