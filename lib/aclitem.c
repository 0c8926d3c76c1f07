#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/aclrule.h"
#include "lib/socks4.h"

/* Of elements, NUL-terminated copies are made. */
enum { ELEMENT = SOCKS4_FIELD };

bool
aclitem_is(struct word word, const char *text)
{
	size_t i;

	for (i = 0; i < word.length && word.text[i] == text[i]; i++)
		;
	return i == word.length && text[i] == '\0';
}

static void
copy(struct word word, char text[ELEMENT + 1])
{
	memcpy(text, word.text, word.length);
	text[word.length] = '\0';
}

static const char *
prefix_item(struct word word, struct item *item)
{
	char text[ELEMENT + 1];

	copy(word, text);
	item->kind = ITEM_PREFIX;
	return address_parse_prefix(text, &item->is.prefix);
}

static const char *
source_item(struct word word, struct item *item)
{
	if (aclitem_is(word, "any"))
		item->kind = ITEM_ANY;
	else if (aclitem_is(word, "local"))
		item->kind = ITEM_LOCAL;
	else if (aclitem_is(word, "internal"))
		item->kind = ITEM_INTERNAL;
	else
		return prefix_item(word, item);
	return NULL;
}

static const char *
user_item(struct word word, struct item *item)
{
	item->kind = ITEM_USER;
	item->is.name = word;
	return NULL;
}

static bool
is_digit(char octet)
{
	return octet >= '0' && octet <= '9';
}

/* A number as inet_aton(3) reads it, which resolvers ask about names: 300, 0x7f. No domain ends
 * in one, so it is an address that went wrong. */
static bool
ends_in_number(struct word word)
{
	size_t end = word.length, start, digits;

	if (end > 0 && word.text[end - 1] == '.')
		end--;
	for (start = end; start > 0 && word.text[start - 1] != '.'; start--)
		;
	if (start == end || !is_digit(word.text[start]))
		return false;
	if (end - start >= 2 && strncasecmp(word.text + start, "0x", 2) == 0)
		digits = strspn(word.text + start + 2, "0123456789abcdefABCDEF") + 2;
	else
		digits = strspn(word.text + start, "0123456789");
	return digits >= end - start;
}

/* In `deny to Internal` or `deny to port` nobody means a host of that name, and as one it would
 * deny nothing. */
static bool
is_keyword(struct word word)
{
	static const char *const keywords[] = { "any", "internal", "local", "from", "user", "to",
		"port", "ident", "connect", "bind", "permit", "deny" };
	size_t i;

	if (word.length > strlen("internal"))
		return false;
	for (i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (strncasecmp(word.text, keywords[i], word.length) == 0 &&
		    keywords[i][word.length] == '\0')
			return true;
	return false;
}

/* What is in names that are looked up; an internationalized one stands as its xn-- form. */
static bool
is_name_octet(char octet)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
	    is_digit(octet) || octet == '-' || octet == '_';
}

static const char *
name_item(struct word word, struct item *item)
{
	size_t i, label = 0;

	if (is_keyword(word))
		return "is a keyword in the wrong case or place (a host of that name: add a dot)";
	item->kind = ITEM_NAME;
	if (word.text[0] == '.') {
		item->kind = ITEM_DOMAIN;
		word.text++;
		word.length--;
	}
	if (word.length > 0 && word.text[word.length - 1] == '.')
		word.length--;
	for (i = 0; i < word.length; i++) {
		if (word.text[i] != '.' && !is_name_octet(word.text[i]))
			return "is neither an address nor a name";
		if (word.text[i] == '.' && label == 0)
			break;
		label = word.text[i] == '.' ? 0 : label + 1;
	}
	item->is.name = word;
	return label == 0 ? "has an empty label" : NULL;
}

/* A colon or slash: then it is no name. */
static bool
has_prefix_octet(struct word word)
{
	size_t i;

	for (i = 0; i < word.length; i++)
		if (word.text[i] == ':' || word.text[i] == '/')
			return true;
	return false;
}

static const char *
destination_item(struct word word, struct item *item)
{
	if (aclitem_is(word, "any"))
		item->kind = ITEM_ANY;
	else if (aclitem_is(word, "internal"))
		item->kind = ITEM_INTERNAL;
	else if (has_prefix_octet(word))
		return prefix_item(word, item);
	else if (!ends_in_number(word))
		return name_item(word, item);
	else if (prefix_item(word, item) != NULL)
		return "ends in a number, as no name does, and is not an address";
	return NULL;
}

static const char *
port_item(struct word word, struct item *item)
{
	char text[ELEMENT + 1], *dash;
	const struct servent *service;
	unsigned low, high;
	size_t i;

	copy(word, text);
	item->kind = ITEM_PORTS;
	for (i = 0; is_digit(text[i]) || text[i] == '-'; i++)
		;
	if (text[i] != '\0') {
		service = getservbyname(text, "tcp");
		if (service == NULL)
			return "is not a known service";
		item->is.ports.low = item->is.ports.high = ntohs((uint16_t)service->s_port);
		return NULL;
	}
	dash = strchr(text, '-');
	if (dash != NULL)
		*dash = '\0';
	if (address_parse_port(text, 1, &low) == -1 ||
	    address_parse_port(dash != NULL ? dash + 1 : text, 1, &high) == -1)
		return "is not a port from 1 to 65535, nor low-high";
	item->is.ports.low = low;
	item->is.ports.high = high;
	return low > high ? "is a reversed range" : NULL;
}

const char *
aclitem_parse(int criterion, struct word element, struct item *item)
{
	static const char *(*const parse[RULE_LISTS])(struct word, struct item *) = {
		[RULE_FROM] = source_item,
		[RULE_USER] = user_item,
		[RULE_TO] = destination_item,
		[RULE_PORT] = port_item,
	};

	if (element.length > ELEMENT)
		return "is longer than 255 bytes";
	return parse[criterion](element, item);
}

/* The program sets no locale, so that case is ASCII's here. */
static bool
name_matches(const struct item *item, const char *name)
{
	size_t length = strlen(name), wanted = item->is.name.length;
	const char *tail;

	if (length < wanted)
		return false;
	tail = name + length - wanted;
	if (length > wanted && (item->kind != ITEM_DOMAIN || tail[-1] != '.'))
		return false;
	return strncasecmp(tail, item->is.name.text, wanted) == 0;
}

bool
aclitem_is_unspecified(const struct item *item)
{
	const struct prefix *prefix = &item->is.prefix;

	return item->kind == ITEM_PREFIX && address_is_unspecified(&prefix->address) &&
	    prefix->length == (prefix->address.family == AF_INET ? 32 : 128);
}

/* Whether a name that is not looked up could have an address in this prefix: BIND is IPv4, and
 * unspecified addresses are dropped. */
static enum match
prefix_may_match(const struct item *item, const struct acl_request *request)
{
	if (request->command == SOCKS4_BIND && item->is.prefix.address.family != AF_INET)
		return NO;
	return aclitem_is_unspecified(item) ? NO : MAYBE;
}

static enum match
match_destination(const struct item *item, const struct acl_request *request)
{
	switch (item->kind) {
	case ITEM_ANY:
		return YES;
	case ITEM_INTERNAL:
		return request->address != NULL ? INTERNAL : MAYBE;
	case ITEM_PREFIX:
		if (request->address == NULL)
			return prefix_may_match(item, request);
		return address_in_prefix(request->address, &item->is.prefix) ? YES : NO;
	case ITEM_NAME:
	case ITEM_DOMAIN:
		return request->name != NULL && name_matches(item, request->name) ? YES : NO;
	default:
		return NO;
	}
}

static enum match
match_source(const struct item *item, const struct acl_request *request)
{
	bool local = request->source->family == AF_UNSPEC;

	switch (item->kind) {
	case ITEM_ANY:
		return YES;
	case ITEM_LOCAL:
		return local ? YES : NO;
	case ITEM_INTERNAL:
		return local ? NO : INTERNAL;
	case ITEM_PREFIX:
		return !local && address_in_prefix(request->source, &item->is.prefix) ? YES : NO;
	default:
		return NO;
	}
}

static enum match
match_user(const struct item *item, const struct acl_request *request)
{
	size_t length = item->is.name.length;

	if (strlen(request->userid) != length)
		return NO;
	return memcmp(request->userid, item->is.name.text, length) == 0 ? YES : NO;
}

static enum match
match_port(const struct item *item, const struct acl_request *request)
{
	if (request->port < item->is.ports.low)
		return NO;
	return request->port <= item->is.ports.high ? YES : NO;
}

enum match
aclitem_match(int criterion, const struct item *item, const struct acl_request *request)
{
	static enum match (*const match[RULE_LISTS])(
	    const struct item *, const struct acl_request *) = {
		[RULE_FROM] = match_source,
		[RULE_USER] = match_user,
		[RULE_TO] = match_destination,
		[RULE_PORT] = match_port,
	};

	return match[criterion](item, request);
}
