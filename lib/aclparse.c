#include <string.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/aclrule.h"
#include "lib/socks4.h"
#include "lib/text.h"

struct parser {
	struct acl *acl;
	unsigned line;
	bool unclean;	     /* struct survey's */
	struct word subject; /* what a message is about */
	bool ident;	     /* the rule has said ident */
};

static bool
ends_word(char octet)
{
	return octet == ' ' || octet == '\t' || octet == '#';
}

bool
aclparse_word(struct word *line, struct word *word)
{
	const char *p = line->text, *end = line->text + line->length;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	word->text = p;
	while (p < end && !ends_word(*p))
		p++;
	word->length = (size_t)(p - word->text);
	line->text = p;
	line->length = (size_t)(end - p);
	return word->length > 0;
}

/* What follows parses like this: NULL where it is right, else the end of a sentence of which
 * parser->subject is the beginning. */
static const char *
parse_list(struct parser *parser, struct rule *rule, int criterion, struct word list)
{
	struct acl *acl = parser->acl;
	struct word element = { list.text, 0 };
	const char *end = list.text + list.length, *comma, *message;

	rule->lists[criterion].first = (unsigned)acl->item_count;
	for (;; element.text = comma + 1) {
		for (comma = element.text; comma < end && *comma != ','; comma++)
			;
		element.length = (size_t)(comma - element.text);
		parser->subject = element.length > 0 ? element : list;
		if (element.length == 0)
			return "has an empty element";
		message = aclitem_parse(criterion, element, &acl->items[acl->item_count]);
		if (message != NULL)
			return message;
		acl->item_count++;
		rule->lists[criterion].count++;
		if (comma == end)
			return NULL;
	}
}

static const char *
parse_ident(struct parser *parser, struct rule *rule, struct word mode)
{
	if (!rule->permit)
		return "belongs in permit rules only";
	parser->ident = true;
	parser->subject = mode;
	if (aclitem_is(mode, "off"))
		rule->ident = ACL_IDENT_OFF;
	else if (aclitem_is(mode, "ask"))
		rule->ident = ACL_IDENT_ASK;
	else if (aclitem_is(mode, "require"))
		rule->ident = ACL_IDENT_REQUIRE;
	else
		return "is not an ident mode (off, ask or require)";
	return NULL;
}

/* Index of the word in the criteria, RULE_LISTS for ident, -1 for no criterion. */
static int
criterion_of(struct word word)
{
	static const char names[][8] = { [RULE_FROM] = "from",
		[RULE_USER] = "user",
		[RULE_TO] = "to",
		[RULE_PORT] = "port",
		[RULE_LISTS] = "ident" };
	int i;

	for (i = RULE_LISTS; i >= 0; i--)
		if (aclitem_is(word, names[i]))
			break;
	return i;
}

static const char *
parse_criterion(struct parser *parser, struct rule *rule, struct word word, struct word *line)
{
	struct word value;
	int criterion = criterion_of(word);

	parser->subject = word;
	if (criterion == -1)
		return aclitem_is(word, "connect") || aclitem_is(word, "bind")
		    ? "is in the wrong place: it follows permit or deny"
		    : "is not a known word";
	if (criterion == RULE_LISTS ? parser->ident : rule->lists[criterion].count > 0)
		return "stands twice";
	if (!aclparse_word(line, &value))
		return "has no value";
	/* A user may well be called `port`, nothing else may. */
	if (criterion != RULE_USER && criterion_of(value) != -1)
		return "has no value";
	if (criterion == RULE_LISTS)
		return parse_ident(parser, rule, value);
	return parse_list(parser, rule, criterion, value);
}

static const char *
parse_action(struct parser *parser, struct rule *rule, struct word action, struct word *line)
{
	struct word rest = *line, word;

	parser->subject = action;
	rule->permit = aclitem_is(action, "permit");
	if (!rule->permit && !aclitem_is(action, "deny"))
		return "is neither permit nor deny";
	if (aclparse_word(&rest, &word)) {
		if (aclitem_is(word, "connect"))
			rule->command = SOCKS4_CONNECT;
		else if (aclitem_is(word, "bind"))
			rule->command = SOCKS4_BIND;
		if (rule->command != 0)
			*line = rest;
	}
	return NULL;
}

static const char *
parse_line(struct parser *parser, struct word line)
{
	struct acl *acl = parser->acl;
	struct rule rule = { .text = line, .line = parser->line };
	struct word action, word;
	const char *message;

	parser->ident = false;
	parser->subject = (struct word){ "line", 4 };
	if (parser->unclean && memchr(line.text, '\0', line.length) != NULL)
		return "contains a NUL byte";
	if (parser->unclean && memchr(line.text, '\r', line.length) != NULL)
		return "contains a carriage return";
	if (!aclparse_word(&line, &action))
		return NULL;
	message = parse_action(parser, &rule, action, &line);
	while (message == NULL && aclparse_word(&line, &word))
		message = parse_criterion(parser, &rule, word, &line);
	if (message != NULL)
		return message;
	parser->subject = action;
	if (rule.permit && rule.lists[RULE_FROM].count == 0)
		return "needs a from (from any, if everybody is meant)";
	acl->rules[acl->rule_count++] = rule;
	return NULL;
}

/* The subject comes from a file that may be anything, the message goes to terminals. */
static void
report(const struct parser *parser, const char *path, const char *message,
    void (*complain)(const char *message))
{
	char subject[64], bytes[4608];
	struct text text;
	size_t i;

	for (i = 0; i < parser->subject.length && i < sizeof subject - 1; i++) {
		subject[i] = parser->subject.text[i];
		if (subject[i] <= ' ' || subject[i] > '~')
			subject[i] = '?';
	}
	subject[i] = '\0';
	text_start(&text, bytes, sizeof bytes);
	text_put_all(&text, path, ":");
	text_put_number(&text, parser->line, 1);
	text_put_all(&text, ": ", subject, i < parser->subject.length ? "... " : " ", message);
	complain(bytes);
}

/* What the text shows before it is parsed. */
struct survey {
	size_t lines, commas;
	bool unclean; /* somewhere is a byte that belongs in no line */
};

static struct survey
look_over(const char *text, size_t length)
{
	struct survey survey = { .lines = 1 };
	const char *p, *end = text + length;

	for (p = text; p < end; p++) {
		if ((unsigned char)*p > ',')
			continue; /* most are */
		survey.lines += *p == '\n';
		survey.commas += *p == ',';
		survey.unclean = survey.unclean || *p == '\0' || *p == '\r';
	}
	return survey;
}

/* Tables for all that such a text can say, in the room or else mapped. False where there is no
 * memory. */
static bool
make_tables(struct acl *acl, const struct survey *survey)
{
	size_t most = acl->length / strlen("deny\n") + 1; /* " to a" is as long */
	size_t count = survey->lines < most ? survey->lines : most;
	size_t lists = RULE_LISTS * count < most ? RULE_LISTS * count : most;
	size_t rules = count * sizeof *acl->rules;
	size_t items = (lists + survey->commas) * sizeof *acl->items;
	size_t used = sizeof *acl + (acl->text_mapped == 0 ? acl->length + 1 : 0);
	unsigned char *tables;

	used = (used + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
	if (used <= ACLRULE_ROOM && rules + items <= ACLRULE_ROOM - used) {
		tables = (unsigned char *)acl + used;
	} else {
		tables = acl_map(rules + items);
		acl->tables_mapped = tables != NULL ? rules + items : 0;
	}
	acl->rules = (struct rule *)(void *)tables;
	acl->items = (struct item *)(void *)(tables + rules);
	return tables != NULL;
}

bool
aclparse_text(struct acl *acl, const char *path, void (*complain)(const char *message))
{
	struct survey survey = look_over(acl->text, acl->length);
	struct parser parser = { .acl = acl, .unclean = survey.unclean };
	const char *newline, *end = acl->text + acl->length, *message;
	struct word line = { acl->text, 0 };
	bool right = true;

	if (!make_tables(acl, &survey)) {
		parser.subject = (struct word){ "list", 4 };
		report(&parser, path, "does not fit into memory", complain);
		return false;
	}
	for (; line.text < end; line.text = newline + 1) {
		newline = memchr(line.text, '\n', (size_t)(end - line.text));
		if (newline == NULL)
			newline = end; /* text[length] is there: a NUL */
		line.length = (size_t)(newline - line.text);
		parser.line++;
		message = parse_line(&parser, line);
		if (message != NULL) {
			report(&parser, path, message, complain);
			right = false;
		}
	}
	return right;
}
