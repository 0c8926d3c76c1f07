#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

#include "lib/address.h"
#include "lib/rules.h"
#include "lib/socks4.h"
#include "lib/text.h"

enum { ELEMENT = SOCKS4_FIELD }; /* longest name and USERID */

/* A line while it is parsed. */
struct parser {
	struct rule *rule;
	struct item *item; /* the next one */
	char *line, *rest;
	struct rules_problem *problem;
	bool seen[RULE_CRITERIA + 1];
};

static const char *const criteria[] = { [RULE_FROM] = "from",
	[RULE_USER] = "user",
	[RULE_TO] = "to",
	[RULE_PORT] = "port",
	[RULE_CRITERIA] = "ident" };

enum { COMMANDS = SOCKS4_BIND + 1, SPECIALS = ITEM_INTERNAL + 1 };

static const char *const commands[] = { "", [SOCKS4_CONNECT] = "connect", [SOCKS4_BIND] = "bind" };

static const char *const specials[] = {
	[ITEM_ANY] = "any", [ITEM_LOCAL] = "local", [ITEM_INTERNAL] = "internal"
};

/* Words are single-spaced by now: each ends in a blank or a NUL. Returns the next one, or NULL. */
static char *
next_word(struct parser *parser)
{
	char *word = parser->rest, *end;

	for (end = word; *end != ' ' && *end != '\0'; end++)
		;
	parser->rest = end + (*end == ' ');
	return end > word ? word : NULL;
}

/* Returns the place of a word in a table of so many, or -1. */
static int
find(const char *word, const char *const *table, int count)
{
	const char *at, *expected;

	if (*word < 'a') /* an address, a domain, a port ... */
		return -1;
	while (--count >= 0) {
		expected = table[count];
		if (*expected != *word)
			continue;
		for (at = word; *at == *expected && *at != '\0'; at++)
			expected++;
		if (*expected == '\0' && (*at == '\0' || *at == ' '))
			break;
	}
	return count;
}

/* ---- elements: these return NULL, or the end of a sentence that the subject begins ---- */

/* Adds a piece of what to write instead. */
static void
put_piece(struct parser *parser, const char *text, size_t length)
{
	struct rules_problem *problem = parser->problem;

	problem->instead[problem->pieces].text = text;
	problem->instead[problem->pieces++].length = length;
}

static const char *
suggest(struct parser *parser, const char *message, const char *word)
{
	put_piece(parser, word, strlen(word));
	return message;
}

static bool
is_digit(char octet)
{
	return octet >= '0' && octet <= '9';
}

/* Converts a dotted netmask to a length. Returns false if it is not one. */
static bool
netmask_length(const char *text, unsigned *length)
{
	unsigned char octets[4];
	uint32_t mask;

	if (inet_pton(AF_INET, text, octets) != 1)
		return false;
	mask = (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 |
	    octets[3];
	for (*length = 0; *length < 32 && (mask & 0x80000000U >> *length); ++*length)
		;
	return *length == 32 || mask << *length == 0;
}

/* Shows the length that a netmask means, if that would be right. */
static const char *
wrong_prefix(struct parser *parser, const char *element, const char *message)
{
	const char *slash = strchr(element, '/');
	char *digits = parser->problem->digits, instead[ADDRESS_TEXT];
	struct text text = TEXT(instead);
	struct prefix prefix;
	unsigned length;

	if (slash == NULL || !netmask_length(slash + 1, &length))
		return message;
	digits[0] = (char)('0' + length / 10);
	digits[1] = (char)('0' + length % 10);
	digits[2] = '\0';
	if (length < 10)
		digits++;
	text_put_bytes(&text, element, (size_t)(slash - element) + 1);
	text_put(&text, "%s", digits);
	message = address_parse_prefix(instead, &prefix);
	if (message != NULL)
		return message;
	put_piece(parser, element, (size_t)(slash - element) + 1);
	return suggest(parser, "has a netmask in place of a length", digits);
}

static const char *
prefix_item(struct parser *parser, const char *element)
{
	struct item *item = parser->item;
	struct prefix prefix;
	const char *message = address_parse_prefix(element, &prefix);

	if (message != NULL)
		return wrong_prefix(parser, element, message);
	item->length = (uint8_t)prefix.length;
	item->kind = prefix.address.family == AF_INET ? ITEM_PREFIX4 : ITEM_PREFIX6;
	if (item->kind == ITEM_PREFIX4)
		memcpy(item->is.four, prefix.address.octets, sizeof item->is.four);
	else
		memcpy(item + 1, prefix.address.octets, sizeof prefix.address.octets);
	return NULL;
}

/* Returns the end of a label. Internationalized names are written in their xn-- form. */
static const char *
label_end(const char *label)
{
	while ((*label >= 'a' && *label <= 'z') || is_digit(*label) ||
	    (*label >= 'A' && *label <= 'Z') || *label == '-' || *label == '_')
		label++;
	return label;
}

/* Returns where a name, or what begins like one, ends, at its last dot if nothing follows that.
 * Sets *label to the last label. */
static const char *
name_end(const char *name, const char **label)
{
	const char *end;

	for (*label = name;; *label = end + 1) {
		end = label_end(*label);
		if (end == *label || *end != '.' || end[1] == '\0')
			return end;
	}
}

static const char *
wrong_source(struct parser *parser, const char *element, const char *message)
{
	const char *end = label_end(element);
	size_t i;

	for (i = 0; i < SPECIALS; i++)
		if (strcasecmp(element, specials[i]) == 0)
			return suggest(parser, "is in the wrong case", specials[i]);
	while (*end == '.')
		end = label_end(end + 1);
	if (*end == '\0' && element[strspn(element, "0123456789.")] != '\0')
		return "is not an address: sources are addresses, never names";
	return message;
}

static const char *
source_item(struct parser *parser, char *element)
{
	int special = find(element, specials, SPECIALS);
	const char *message;

	if (special != -1) {
		parser->item->kind = (uint8_t)special;
		return NULL;
	}
	message = prefix_item(parser, element);
	return message != NULL ? wrong_source(parser, element, message) : NULL;
}

static void
put_name(struct parser *parser, enum item_kind kind, const char *name, size_t length)
{
	parser->item->kind = (uint8_t)kind;
	parser->item->length = (uint8_t)length;
	parser->item->is.name = (uint32_t)(name - parser->line);
}

static const char *
user_item(struct parser *parser, char *element)
{
	put_name(parser, ITEM_USER, element, strlen(element));
	return NULL;
}

/* True if the last label is a number as inet_aton(3) reads it (300, 0x7f). No domain ends in one:
 * it must be an address with a mistake. */
static bool
is_number(const char *label)
{
	const char *end;

	if (!is_digit(*label))
		return false;
	if (strncasecmp(label, "0x", 2) == 0)
		end = label + 2 + strspn(label + 2, "0123456789abcdefABCDEF");
	else
		end = label + strspn(label, "0123456789");
	return *end == '\0' || (*end == '.' && end[1] == '\0');
}

/* `deny to Internal` and `deny to port` are mistakes: nobody means a host of that name, and as a
 * host it would deny nothing. */
static bool
is_keyword(const char *word)
{
	static const char *const keywords[] = { "any", "internal", "local", "from", "user", "to",
		"port", "ident", "connect", "bind", "permit", "deny" };
	size_t i;

	for (i = 0; i < sizeof keywords / sizeof *keywords; i++)
		if (strcasecmp(word, keywords[i]) == 0)
			return true;
	return false;
}

static const char *destination_item(struct parser *parser, char *element);
static const char *port_item(struct parser *parser, char *element);

/* Shows host and port apart if each is right by itself. */
static const char *
wrong_port(struct parser *parser, char *element, char *colon, const char *message)
{
	bool right;

	*colon = '\0';
	right = destination_item(parser, element) == NULL && colon[1] != '\0' &&
	    port_item(parser, colon + 1) == NULL;
	*colon = ':';
	parser->problem->pieces = 0;
	if (!right)
		return message;
	put_piece(parser, element, (size_t)(colon - element));
	suggest(parser, NULL, " port ");
	return suggest(parser, "has a port in it", colon + 1);
}

/* What has a slash or a colon must be an address or a prefix. */
static const char *
numeric_item(struct parser *parser, char *element)
{
	const char *message = prefix_item(parser, element);
	char *colon = strchr(element, ':');

	return message != NULL && colon != NULL && colon != element && parser->problem->pieces == 0
	    ? wrong_port(parser, element, colon, message)
	    : message;
}

static const char *
destination_item(struct parser *parser, char *element)
{
	int special = find(element, specials, SPECIALS);
	enum item_kind kind = *element == '.' ? ITEM_DOMAIN : ITEM_NAME;
	const char *name = element + (kind == ITEM_DOMAIN), *label, *end = name_end(name, &label);

	if (special == ITEM_ANY || special == ITEM_INTERNAL) {
		parser->item->kind = (uint8_t)special;
		return NULL;
	}
	if (*end != '\0' && strpbrk(end, "/:") != NULL)
		return numeric_item(parser, element);
	if (is_number(label))
		return prefix_item(parser, element) == NULL
		    ? NULL
		    : "ends in a number, as no name does, and is not an address";
	if (*end != '.' && *end != '\0')
		return strncmp(element, "*.", 2) == 0 &&
			destination_item(parser, element + 1) == NULL
		    ? suggest(parser, "is not how a domain is written", element + 1)
		    : "is neither an address nor a name";
	if (label == name && *end == '\0' && is_keyword(element))
		return "is a keyword in the wrong case or place (a host of that name: add a dot)";
	put_name(parser, kind, name, (size_t)(end - name));
	return end == label ? "has an empty label" : NULL;
}

static const char *
port_item(struct parser *parser, char *element)
{
	const struct servent *service;
	char *dash = NULL;
	unsigned low, high;
	size_t i;

	parser->item->kind = ITEM_PORTS;
	for (i = 0; is_digit(element[i]) || element[i] == '-'; i++)
		if (element[i] == '-' && dash == NULL)
			dash = &element[i];
	if (element[i] != '\0') {
		if (strcmp(element, "any") == 0)
			return "is no port: leave port out, and the rule matches every port";
		/* musl would find `22/tcp` in /etc/services. */
		service = i > 0 && element[i] == '/' ? NULL : getservbyname(element, "tcp");
		if (service == NULL)
			return "is not a known service";
		parser->item->is.ports.low = parser->item->is.ports.high =
		    ntohs((uint16_t)service->s_port);
		return NULL;
	}
	if (dash != NULL)
		*dash = '\0';
	if (address_parse_port(element, 1, &low) == -1)
		low = 0;
	high = low;
	if (dash != NULL) {
		*dash = '-';
		if (address_parse_port(dash + 1, 1, &high) == -1)
			high = 0;
	}
	parser->item->is.ports.low = (uint16_t)low;
	parser->item->is.ports.high = (uint16_t)high;
	if (low == 0 || high == 0)
		return "is not a port from 1 to 65535, nor low-high";
	return low > high ? "is a reversed range" : NULL;
}

/* ---- words ---- */

/* Returns the criterion that the word names, RULE_CRITERIA for ident, -1 for none. */
static int
criterion_of(const char *word)
{
	return find(word, criteria, RULE_CRITERIA + 1);
}

/* Shows how to write a list that has a blank after a comma, unless it is long. */
static const char *
torn(struct parser *parser, const char *list)
{
	enum { LONGEST = RULES_SENTENCE / 2 };
	size_t *pieces = &parser->problem->pieces, length = strcspn(list, " ");
	const char *next = next_word(parser);
	bool ends;

	if (next == NULL || criterion_of(next) != -1)
		return "has an empty element";
	put_piece(parser, list, length);
	while (next != NULL && *next != ',' && criterion_of(next) == -1 && *pieces < RULES_PIECES) {
		length = strcspn(next, " ");
		if (next + length >= list + LONGEST)
			break;
		put_piece(parser, next, length);
		ends = next[length - 1] != ',';
		next = next_word(parser);
		if (ends && (next == NULL || *next != ','))
			return "has a blank after a comma";
	}
	*pieces = 0;
	return "has a blank after a comma";
}

/* Most octets need not be asked about: they are greater than a comma. */
static bool
ends_element(char octet)
{
	return octet == ',' || octet == ' ' || octet == '\0';
}

static const char *
read_list(struct parser *parser, enum rule_criterion criterion)
{
	static const char *(*const readers[])(struct parser *, char *) = {
		[RULE_FROM] = source_item,
		[RULE_USER] = user_item,
		[RULE_TO] = destination_item,
		[RULE_PORT] = port_item,
	};
	char *list = parser->rest, *element = list, *end, after;
	const char *message;

	for (;; element = end + 1) {
		for (end = element; *end > ',' || !ends_element(*end); end++)
			;
		after = *end;
		parser->rest = end + (after != '\0');
		parser->problem->subject = list;
		if (end == element)
			return after != ',' && element != list ? torn(parser, list)
							       : "has an empty element";
		*end = '\0';
		parser->problem->subject = element;
		if (end - element > ELEMENT)
			return "is longer than 255 bytes";
		*parser->item = (struct item){ .criterion = (uint8_t)criterion };
		message = readers[criterion](parser, element);
		if (message != NULL)
			return message;
		if (parser->item->kind == ITEM_INTERNAL)
			parser->rule->internal |= (uint8_t)(1 << criterion);
		parser->item += parser->item->kind == ITEM_PREFIX6 ? 3 : 1;
		*end = after;
		if (after != ',')
			return NULL;
	}
}

static const char *
read_ident(struct parser *parser)
{
	static const char *const modes[] = { "", "off", "ask", "require" };
	int mode;

	if (!parser->rule->permit)
		return "belongs in permit rules only";
	parser->problem->subject = next_word(parser);
	mode = find(parser->problem->subject, modes, RULE_IDENT_REQUIRE + 1);
	if (mode == -1)
		return "is not an ident mode (off, ask or require)";
	parser->rule->ident = (uint8_t)mode;
	return NULL;
}

/* Words of other lists, and ours in capitals, with the word to use. Each table ends in NULL. */
static const char *const actions[][2] = { { "permit", "permit" }, { "allow", "permit" },
	{ "accept", "permit" }, { "pass", "permit" }, { "deny", "deny" }, { "block", "deny" },
	{ "reject", "deny" }, { "drop", "deny" }, { NULL, NULL } };

static const char *const words[][2] = { { "from", "from" }, { "src", "from" }, { "source", "from" },
	{ "to", "to" }, { "dst", "to" }, { "destination", "to" }, { "host", "to" },
	{ "port", "port" }, { "ports", "port" }, { "dport", "port" }, { "user", "user" },
	{ "users", "user" }, { "ident", "ident" }, { "connect", "connect" }, { "bind", "bind" },
	{ NULL, NULL } };

static const char *
translate(struct parser *parser, char *word, const char *const (*table)[2], const char *message)
{
	word[strcspn(word, " ")] = '\0';
	for (; (*table)[0] != NULL; table++)
		if (strcasecmp(word, (*table)[0]) == 0)
			return suggest(parser, message, (*table)[1]);
	return message;
}

static const char *
wrong_word(struct parser *parser, char *word)
{
	struct prefix prefix;
	int special;

	word[strcspn(word, " ")] = '\0';
	special = find(word, specials, SPECIALS);
	if (find(word, commands, COMMANDS) != -1)
		return "is in the wrong place: it follows permit or deny";
	if (word[0] == ',')
		return "has a blank before a comma: lists are written without blanks";
	if (address_parse_prefix(word, &prefix) != NULL && special == -1)
		return translate(parser, word, words, "is not a known word");
	suggest(parser, NULL, "from ");
	suggest(parser, NULL, word);
	if (special != ITEM_LOCAL) {
		suggest(parser, NULL, " or to ");
		suggest(parser, NULL, word);
	}
	return "has neither from nor to before it";
}

static const char *
read_criterion(struct parser *parser, char *word)
{
	int criterion = criterion_of(word);

	parser->problem->subject = word;
	if (criterion == -1)
		return wrong_word(parser, word);
	if (parser->seen[criterion])
		return "is given twice";
	parser->seen[criterion] = true;
	/* A user may be called `port`; no other value is a criterion's word. */
	if (*parser->rest == '\0' || (criterion != RULE_USER && criterion_of(parser->rest) != -1))
		return "has no value";
	if (criterion == RULE_CRITERIA)
		return read_ident(parser);
	return read_list(parser, (enum rule_criterion)criterion);
}

static const char *
read_action(struct parser *parser, char *action)
{
	static const char *const verdicts[] = { "deny", "permit" };
	int permit = find(action, verdicts, 2);

	parser->problem->subject = action;
	if (permit == -1)
		return translate(parser, action, actions, "is neither permit nor deny");
	parser->rule->permit = (uint8_t)permit;
	return NULL;
}

/* Returns the word after the command, which may be left out. */
static char *
read_command(struct parser *parser)
{
	char *word = next_word(parser);
	int command = word != NULL ? find(word, commands, COMMANDS) : -1;

	if (command == -1)
		return word;
	parser->rule->command = (uint8_t)command;
	return next_word(parser);
}

static const char *
read_words(struct parser *parser)
{
	char *action = next_word(parser), *word;
	const char *message = read_action(parser, action);

	for (word = read_command(parser); message == NULL && word != NULL; word = next_word(parser))
		message = read_criterion(parser, word);
	if (message != NULL)
		return message;
	parser->problem->subject = action;
	if (parser->rule->permit && !parser->seen[RULE_FROM])
		return "needs a from (from any, if everybody is meant)";
	return NULL;
}

/* ---- lines ---- */

/* Removes the comment and all but one blank between words; *length is the new length. Returns NULL,
 * or what is wrong with a byte, in the comment too. */
static const char *
tidy(char *line, size_t *length)
{
	char *from = line, *to, *end = line + *length;

	/* Most lines are tidy already. */
	*end = '\0';
	while ((unsigned char)*from > '#' || (*from == ' ' && from > line && from[-1] != ' '))
		from++;
	for (to = from; from < end && *from != '#'; from++) {
		if (*from == '\0' || *from == '\r')
			break;
		else if (*from != ' ' && *from != '\t')
			*to++ = *from;
		else if (to > line && to[-1] != ' ')
			*to++ = ' ';
	}
	for (; from < end; from++)
		if (*from == '\0' || *from == '\r')
			return *from == '\0' ? "contains a NUL byte" : "contains a carriage return";
	if (to > line && to[-1] == ' ')
		to--;
	*to = '\0';
	*length = (size_t)(to - line);
	return NULL;
}

static void
finish(struct parser *parser, size_t length)
{
	struct rule *rule = parser->rule;
	char *text = (char *)parser->item;

	rule->text = (uint32_t)(text - (char *)rule);
	rule->size = (uint32_t)((rule->text + length + 1 + 7) / 8 * 8);
	memcpy(text, parser->line, length);
	memset(text + length, 0, rule->size - rule->text - length);
}

bool
rules_read(char *line, size_t length, struct rule *rule, struct rules_problem *problem)
{
	struct parser parser = { .rule = rule, .line = line, .rest = line, .problem = problem };
	const char *message;

	problem->subject = "line";
	problem->pieces = 0;
	parser.item = (struct item *)(void *)(rule + 1);
	memset(rule, 0, sizeof *rule);
	if (length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		message = "starts with a byte order mark: save the file without one";
	else
		message = tidy(line, &length);
	if (message == NULL && length > 0)
		message = read_words(&parser);
	problem->message = message;
	if (message == NULL && length > 0)
		finish(&parser, length);
	return message == NULL;
}

/* The subject may hold any bytes, and the message goes to terminals. */
void
rules_explain(const struct rules_problem *problem, char *bytes)
{
	enum { MOST = 63 };
	size_t i, length = strcspn(problem->subject, " ");
	struct text text = { .bytes = bytes, .size = RULES_SENTENCE };

	text_put_bytes(&text, problem->subject, length < MOST ? length : MOST);
	text_put(&text, "%s%s%s", length > MOST ? "... " : " ", problem->message,
	    problem->pieces > 0 ? ": write " : "");
	for (i = 0; i < problem->pieces; i++)
		text_put_bytes(&text, problem->instead[i].text, problem->instead[i].length);
	for (i = 0; bytes[i] != '\0'; i++)
		if (bytes[i] < ' ' || bytes[i] > '~')
			bytes[i] = '?';
}

/* ---- records ---- */

const struct item *
rules_first(const struct rule *rule)
{
	return rule->text > sizeof *rule ? (const struct item *)(const void *)(rule + 1) : NULL;
}

const struct item *
rules_next(const struct rule *rule, const struct item *item)
{
	item += item->kind == ITEM_PREFIX6 ? 3 : 1;
	return (const char *)item < (const char *)rule + rule->text ? item : NULL;
}

const char *
rules_text(const struct rule *rule)
{
	return (const char *)rule + rule->text;
}

const char *
rules_name(const struct rule *rule, const struct item *item)
{
	return rules_text(rule) + item->is.name;
}

/* The program sets no locale, so strncasecmp(3) knows ASCII case only. */
bool
rules_name_matches(
    const struct rule *rule, const struct item *item, const char *name, size_t length)
{
	const char *tail;

	if (length < item->length)
		return false;
	tail = name + length - item->length;
	if (tail > name && (item->kind != ITEM_DOMAIN || tail[-1] != '.'))
		return false;
	return strncasecmp(tail, rules_name(rule, item), item->length) == 0;
}

const unsigned char *
rules_octets(const struct item *item)
{
	return item->kind == ITEM_PREFIX4 ? item->is.four : (const unsigned char *)(item + 1);
}

bool
rules_prefix(const struct item *item, struct prefix *prefix)
{
	bool four = item->kind == ITEM_PREFIX4;

	if (!four && item->kind != ITEM_PREFIX6)
		return false;
	prefix->address.family = four ? AF_INET : AF_INET6;
	memcpy(prefix->address.octets, rules_octets(item), four ? 4 : 16);
	prefix->length = item->length;
	return true;
}

bool
rules_is_unspecified(const struct item *item)
{
	static const unsigned char zero[16];
	unsigned size = item->kind == ITEM_PREFIX4 ? 4 : 16;

	return (item->kind == ITEM_PREFIX4 || item->kind == ITEM_PREFIX6) &&
	    item->length == 8 * size && memcmp(rules_octets(item), zero, size) == 0;
}

bool
rules_names_unspecified(const struct rule *rule)
{
	const struct item *item;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (item->criterion == RULE_TO && item->kind == ITEM_PREFIX4 &&
		    rules_is_unspecified(item))
			return true;
	return false;
}

static bool
item_is_sound(const struct item *item, size_t room, size_t text_length)
{
	enum { BOTH = 1 << ITEM_ANY | 1 << ITEM_INTERNAL | 1 << ITEM_PREFIX4 | 1 << ITEM_PREFIX6 };
	static const unsigned kinds[RULE_CRITERIA] = { [RULE_FROM] = BOTH | 1 << ITEM_LOCAL,
		[RULE_USER] = 1 << ITEM_USER,
		[RULE_TO] = BOTH | 1 << ITEM_NAME | 1 << ITEM_DOMAIN,
		[RULE_PORT] = 1 << ITEM_PORTS };

	if (item->criterion >= RULE_CRITERIA || item->kind > ITEM_PORTS ||
	    !(kinds[item->criterion] & 1U << item->kind))
		return false;
	switch (item->kind) {
	case ITEM_PREFIX4:
		return item->length <= 32;
	case ITEM_PREFIX6:
		return item->length <= 128 && room >= 3 * sizeof *item;
	case ITEM_NAME:
	case ITEM_DOMAIN:
	case ITEM_USER:
		return item->is.name <= text_length && item->length <= text_length - item->is.name;
	default:
		return true;
	}
}

bool
rules_is_sound(const struct rule *rule, size_t size)
{
	const struct item *item;
	size_t text_length;

	if (size < sizeof *rule + 1 || rule->size != size || rule->text < sizeof *rule ||
	    rule->text >= size || (rule->text - sizeof *rule) % sizeof *item != 0 ||
	    rule->permit > 1 || rule->ident > RULE_IDENT_REQUIRE || rule->line == 0)
		return false;
	text_length = strnlen(rules_text(rule), size - rule->text);
	if (text_length == size - rule->text)
		return false;
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (!item_is_sound(item,
			(size_t)((const char *)rule + rule->text - (const char *)item),
			text_length))
			return false;
	return true;
}
