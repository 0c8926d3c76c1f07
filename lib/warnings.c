#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/address.h"
#include "lib/frozen.h"
#include "lib/internal.h"
#include "lib/net.h"
#include "lib/rules.h"
#include "lib/socks4.h"
#include "lib/text.h"
#include "lib/warnings.h"

struct checker {
	struct frozen *index;
	bool any_caller; /* some rule permits BIND to 0.0.0.0 */
	void (*tell)(unsigned line, const char *warning);
};

/* ---- whether one rule matches all that another matches ---- */

static bool
prefix_covers(const struct prefix *wide, const struct item *item)
{
	struct prefix narrow;

	return rules_prefix(item, &narrow) && wide->length <= narrow.length &&
	    address_in_prefix(&narrow.address, wide);
}

static bool
item_covers(
    const struct rule *a, const struct item *wide, const struct rule *b, const struct item *narrow)
{
	struct prefix prefix;

	switch (wide->kind) {
	case ITEM_ANY:
		return true;
	case ITEM_LOCAL:
		return narrow->kind == ITEM_LOCAL;
	case ITEM_INTERNAL:
		return rules_prefix(narrow, &prefix) ? internal_covers(&prefix)
						     : narrow->kind == ITEM_INTERNAL;
	case ITEM_PORTS:
		return wide->is.ports.low <= narrow->is.ports.low &&
		    wide->is.ports.high >= narrow->is.ports.high;
	case ITEM_USER:
		return wide->length == narrow->length &&
		    memcmp(rules_name(a, wide), rules_name(b, narrow), wide->length) == 0;
	case ITEM_NAME:
	case ITEM_DOMAIN:
		return (narrow->kind == ITEM_NAME || narrow->kind == wide->kind) &&
		    rules_name_matches(a, wide, rules_name(b, narrow), narrow->length);
	default:
		return rules_prefix(wide, &prefix) && prefix_covers(&prefix, narrow);
	}
}

/* The items of a criterion stand together. NULL if it is left out. */
static const struct item *
first_of(const struct rule *rule, enum rule_criterion criterion)
{
	const struct item *item = rules_first(rule);

	while (item != NULL && item->criterion != criterion)
		item = rules_next(rule, item);
	return item;
}

/* Of one criterion: a leaves it out or says any, or each item of b is covered by one of a's. */
static bool
criterion_covers(const struct rule *a, const struct rule *b, enum rule_criterion criterion)
{
	const struct item *first = first_of(a, criterion), *narrow = first_of(b, criterion), *wide;

	for (wide = first; wide != NULL && wide->criterion == criterion; wide = rules_next(a, wide))
		if (wide->kind == ITEM_ANY)
			return true;
	if (first == NULL || narrow == NULL)
		return first == NULL;
	for (; narrow != NULL && narrow->criterion == criterion; narrow = rules_next(b, narrow)) {
		wide = first;
		while (wide != NULL && wide->criterion == criterion &&
		    !item_covers(a, wide, b, narrow))
			wide = rules_next(a, wide);
		if (wide == NULL || wide->criterion != criterion)
			return false;
	}
	return true;
}

/* True if the rule decides about BIND to 0.0.0.0, given the rest: permits that do not name exactly
 * that are passed over. */
static bool
decides_unspecified(const struct rule *rule)
{
	static const struct address unspecified = { .family = AF_INET };
	const struct item *item = first_of(rule, RULE_TO);
	struct prefix prefix;

	if (rule->permit)
		return rules_names_unspecified(rule);
	if (item == NULL)
		return true;
	for (; item != NULL && item->criterion == RULE_TO; item = rules_next(rule, item))
		if (item->kind == ITEM_ANY || item->kind == ITEM_INTERNAL ||
		    (rules_prefix(item, &prefix) && address_in_prefix(&unspecified, &prefix)))
			return true;
	return false;
}

/* The bits of SOCKS4_CONNECT and SOCKS4_BIND. */
static unsigned
commands_of(const struct rule *rule)
{
	return rule->command != 0 ? rule->command : SOCKS4_CONNECT | SOCKS4_BIND;
}

/* All but command and destination. */
static bool
asks_no_more(const struct rule *a, const struct rule *b)
{
	return criterion_covers(a, b, RULE_PORT) && criterion_covers(a, b, RULE_USER) &&
	    criterion_covers(a, b, RULE_FROM);
}

/* A deny that does not name 0.0.0.0 is let off BIND to that if no rule permits it: nobody misses
 * it. */
static bool
covers(const struct checker *checker, const struct rule *a, const struct rule *b)
{
	bool unspecified = b->command != SOCKS4_CONNECT && decides_unspecified(b) &&
	    (checker->any_caller || rules_names_unspecified(b));

	return (commands_of(b) & ~commands_of(a)) == 0 && asks_no_more(a, b) &&
	    criterion_covers(a, b, RULE_TO) && (!unspecified || decides_unspecified(a));
}

/* ---- the warnings ---- */

/* Gives the index the keys of one item of each criterion: a rule that covers all items is filed
 * under a key that covers that one, or under none. */
static void
ask_by(struct frozen *index, const struct rule *rule)
{
	const struct item *item;
	int key, before = -1; /* the criterion of the item before */
	const char *bytes;
	size_t size;

	frozen_begin(index, false);
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		key = item->criterion != before ? frozen_key_of(item) : -1;
		before = item->criterion;
		bytes = frozen_bytes(rule, item, &size);
		if (key == FROZEN_USER)
			frozen_by_user(index, bytes, size);
		else if (key >= FROZEN_NAME)
			frozen_by_name(index, bytes, size, key == FROZEN_DOMAIN);
		else if (key != -1)
			frozen_by_prefix(
			    index, (enum frozen_key)key, rules_octets(item), item->length);
	}
}

/* True if the rule lets in a source that is neither local nor loopback. */
static bool
lets_others_in(const struct rule *rule)
{
	static const struct prefix loopback4 = { { .family = AF_INET, .octets = { 127 } }, 8 };
	static const struct prefix loopback6 = { { .family = AF_INET6, .octets = { [15] = 1 } },
		128 };
	const struct item *item;

	for (item = first_of(rule, RULE_FROM); item != NULL && item->criterion == RULE_FROM;
	     item = rules_next(rule, item))
		if (item->kind != ITEM_LOCAL && !prefix_covers(&loopback4, item) &&
		    !prefix_covers(&loopback6, item))
			return true;
	return false;
}

/* Looks for an earlier rule that always decides before this one; and, if this one opens internal
 * addresses, for an earlier one that denies them. */
static void
check_earlier(struct checker *checker, const struct rule *rule)
{
	bool opens = rule->permit && first_of(rule, RULE_TO) == NULL && lets_others_in(rule);
	unsigned internal = opens ? commands_of(rule) : 0; /* the commands that reach them */
	bool guards = frozen_header(checker->index)->internal & 1 << RULE_TO;
	const struct rule *earlier;
	unsigned decides = 0;
	uint64_t at;
	char warning[96];
	struct text text = TEXT(warning);

	ask_by(checker->index, rule);
	while ((decides == 0 || (internal != 0 && guards)) &&
	    (earlier = frozen_next(checker->index, &at)) != NULL && earlier->line < rule->line) {
		if (decides == 0 && covers(checker, earlier, rule))
			decides = earlier->line;
		if (internal != 0 && !earlier->permit && earlier->internal & 1 << RULE_TO &&
		    asks_no_more(earlier, rule))
			internal &= ~commands_of(earlier);
	}
	text_put(&text, "this rule never decides: line %u matches all that it matches", decides);
	if (decides != 0)
		checker->tell(rule->line, warning);
	if (internal != 0)
		checker->tell(rule->line,
		    "clients can reach internal addresses: put `deny to internal` before this "
		    "rule, or write `to any` if that is meant");
}

static void
check_words(struct checker *checker, const struct rule *rule)
{
	static const char *const everything[] = { "all", "everything", "external", "world" };
	const struct item *item;
	const char *name;
	size_t i, length;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		name = frozen_bytes(rule, item, &length);
		for (i = 0; item->kind == ITEM_NAME && i < sizeof everything / sizeof *everything;
		     i++)
			if (strlen(everything[i]) == length && name[length] != '.' &&
			    strncasecmp(name, everything[i], length) == 0)
				checker->tell(rule->line,
				    "a destination of that name is one host: write `to any` for "
				    "all");
		if (item->kind != ITEM_USER)
			continue;
		if ((length == 3 && memcmp(name, "any", 3) == 0) || (length == 1 && *name == '*'))
			checker->tell(rule->line,
			    "a user of that name is one user: leave `user` out for all");
		else if (*name == '"' || *name == '\'')
			checker->tell(
			    rule->line, "the quotes are part of the user's name: leave them out");
	}
}

bool
warnings_find(const struct rule *records, size_t bytes, const void *image,
    void (*tell)(unsigned line, const char *warning))
{
	struct checker checker = { .tell = tell, .index = calloc(1, FROZEN_SIZE) };
	const char *at, *start = (const char *)records, *end = start + bytes;
	const struct rule *rule;
	bool permits = false;

	if (checker.index == NULL)
		return false;
	frozen_use(checker.index, image);
	for (at = start; at < end; at += rule->size) {
		rule = (const struct rule *)(const void *)at;
		permits = permits || rule->permit;
		checker.any_caller = checker.any_caller ||
		    (rule->permit && rule->command != SOCKS4_CONNECT && decides_unspecified(rule));
	}
	for (at = start; at < end && !net_stopped(); at += rule->size) {
		rule = (const struct rule *)(const void *)at;
		check_earlier(&checker, rule);
		check_words(&checker, rule);
	}
	if (!permits)
		tell(0, "no rule permits anything: every request is denied");
	free(checker.index);
	return true;
}
