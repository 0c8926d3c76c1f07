#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/frozen.h"
#include "lib/internal.h"
#include "lib/lines.h"
#include "lib/socks4.h"
#include "lib/text.h"

enum { LARGEST = 64 * 1024 * 1024 }; /* bytes of text */
enum { STRINGS = 2 * 4096 };	     /* bytes of a frozen list's label and path */
enum { SMALL = 4096 };		     /* bytes of a list that is mapped and has not grown yet */

/* One block: this, then the rules' records one after another, or a struct frozen. If it is not the
 * caller's it is mapped, so that unmapping it returns all memory to the system. */
struct acl {
	size_t size, used; /* bytes of the block */
	bool mapped;
	unsigned internal; /* of all rules, ORed */
	struct frozen *frozen;
	struct acl_frozen about;
};

/* ---- loading ---- */

/* Guesses the room that the records of a text need; most lists then never move. */
static size_t
guess(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size > 0 && status.st_size <= LARGEST
	    ? (size_t)status.st_size * 2
	    : 0;
}

/* Not inlined: its large frame would make the stack of every session a page deeper. */
#ifdef __GNUC__
__attribute__((noinline))
#endif
static bool
complain_of_line(
    const char *path, unsigned line, const struct rules_problem *problem, acl_complain complain)
{
	char sentence[RULES_SENTENCE];

	rules_explain(problem, sentence);
	return complain("%s:%u: %s", path, line, sentence);
}

/* Makes room for more bytes; the list may move, and leaves its place to the window. Returns NULL
 * with errno if that fails, and leaves the list as it was. */
static struct acl *
grow(struct acl *acl, size_t more, struct lines *lines, const struct acl_memory *memory)
{
	size_t size = acl->size, hint;
	struct acl *larger;

	if (acl->size - acl->used >= more)
		return acl;
	for (hint = guess(lines->fd); size - acl->used < more || size < hint;)
		size *= 2;
	larger = lines_map(size);
	if (larger == NULL)
		return NULL;
	memcpy(larger, acl, acl->used);
	acl_free(acl);
	larger->size = size;
	larger->mapped = true;
	if (lines->bytes == memory->bytes)
		lines->size = memory->size;
	return larger;
}

static struct rule *
rule_at(const struct acl *acl, size_t offset)
{
	return (struct rule *)(void *)((char *)(uintptr_t)acl + offset);
}

/* Reads all lines into *list. 0; 1 after complaints about lines; -1 with errno. */
static int
read_lines(struct lines *lines, const struct acl_memory *memory, struct acl **list,
    const char *name, acl_complain complain)
{
	struct rules_problem problem;
	struct acl *acl = *list;
	struct rule *rule;
	char *line;
	size_t length;
	int wrong = 0;

	while (lines_next(lines, &line, &length) == 0) {
		if (line == NULL && lines->start == lines->end)
			return wrong;
		if (line == NULL) {
			complain("%s:%u: the last line does not end: was the file cut?", name,
			    lines->number);
			return 1;
		}
		acl = grow(acl, RULES_ROOM(length), lines, memory);
		if (acl == NULL)
			return -1;
		*list = acl;
		rule = rule_at(acl, acl->used);
		if (!rules_read(line, length, rule, &problem)) {
			wrong = 1;
			if (complain_of_line(name, lines->number, &problem, complain))
				continue;
			return wrong;
		}
		rule->line = lines->number;
		acl->internal |= rule->internal;
		acl->used += rule->size;
	}
	return -1;
}

/* In the caller's memory, or of size bytes and mapped. */
static struct acl *
new_list(const struct acl_memory *memory, size_t size)
{
	bool mapped = memory == NULL || memory->window == memory->size;
	struct acl *acl =
	    mapped ? lines_map(size) : (struct acl *)(void *)(memory->bytes + memory->window);

	if (acl != NULL) {
		memset(acl, 0, sizeof *acl);
		acl->size = mapped ? size : memory->size - memory->window;
		acl->used = sizeof *acl;
		acl->mapped = mapped;
	}
	return acl;
}

/* Reads a text; the window may hold its beginning already. */
static struct acl *
read_text(
    struct lines *lines, const struct acl_memory *memory, const char *name, acl_complain complain)
{
	struct acl *acl = new_list(memory, SMALL);
	int result = acl != NULL ? read_lines(lines, memory, &acl, name, complain) : -1;

	if (result == -1)
		complain("%s: %s", name, strerror(errno));
	lines_free(lines);
	if (result == 0)
		return acl;
	acl_free(acl);
	return NULL;
}

/* True if the text exists and differs. If it was no regular file, no size was kept. */
static bool
has_changed(const struct frozen_header *header, const char *path)
{
	struct stat now;

	return header->text_size != UINT64_MAX && stat(path, &now) == 0 && S_ISREG(now.st_mode) &&
	    ((uint64_t)now.st_size != header->text_size ||
		(int64_t)now.st_mtim.tv_sec != header->text_seconds ||
		(int64_t)now.st_mtim.tv_nsec != header->text_nanoseconds);
}

/* The log needs the label after the list was freed. NULL if there is no memory. */
static const char *
keep_label(const char *label)
{
	static char usual[256]; /* small, so that no page is touched for it alone */
	char *kept = strlen(label) < sizeof usual ? usual : malloc(strlen(label) + 1);

	return kept != NULL ? strcpy(kept, label) : NULL;
}

/* Opens the frozen list on fd and takes fd over. Returns NULL, or what is wrong. */
static const char *
use_frozen(struct acl *acl, int fd, const struct lines *lines)
{
	char *strings = (char *)(acl + 1) + FROZEN_SIZE;
	const struct frozen_header *header;
	const char *problem, *label, *path;

	acl->frozen = (struct frozen *)(void *)(acl + 1);
	header = frozen_header(acl->frozen);
	problem = frozen_open(acl->frozen, fd, lines->bytes, lines->end);
	if (problem != NULL)
		return problem;
	if (!frozen_strings(acl->frozen, strings, STRINGS))
		return "a frozen list that was damaged: freeze the text again";
	label = keep_label(strings);
	if (label == NULL)
		return strerror(errno);
	path = strings + header->label;
	acl->internal = header->internal;
	acl->about = (struct acl_frozen){ label, path, header->rules, header->made,
		has_changed(header, path) };
	return NULL;
}

static struct acl *
load_frozen(const struct lines *lines, const char *name, acl_complain complain)
{
	struct acl *acl = new_list(NULL, sizeof *acl + FROZEN_SIZE + STRINGS);
	const char *problem = acl != NULL ? use_frozen(acl, lines->fd, lines) : strerror(errno);

	if (problem != NULL) {
		complain("%s: %s", name, problem);
		if (acl == NULL)
			close(lines->fd);
		acl_free(acl);
		return NULL;
	}
	if (acl->about.stale)
		complain("%s: stale: %s was changed after it was frozen: freeze it again", name,
		    acl->about.path);
	return acl;
}

static struct acl *
load_builtin(const struct acl_memory *memory, acl_complain complain)
{
	char text[] = "permit from 127.0.0.0/8,::1\n";
	struct lines lines = {
		.fd = -1, .bytes = text, .size = sizeof text, .end = sizeof text - 1
	};

	return read_text(&lines, memory, "built-in", complain);
}

struct acl *
acl_load(
    const char *path, const struct acl_memory *memory, struct stat *text, acl_complain complain)
{
	struct lines lines = { .bytes = memory->bytes, .size = memory->window, .most = LARGEST };
	struct acl *acl;
	int fd;

	if (path == NULL)
		return load_builtin(memory, complain);
	fd = lines.fd = open(path, O_RDONLY | O_NOCTTY);
	if (fd == -1 || (text != NULL && fstat(fd, text) == -1) || lines_read(&lines) == -1) {
		complain("%s: %s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return NULL;
	}
	if (frozen_begins(memory->bytes, lines.end))
		return load_frozen(&lines, path, complain);
	acl = read_text(&lines, memory, path, complain);
	if (acl != NULL && text != NULL && S_ISREG(text->st_mode) && !lines_unchanged(fd, text)) {
		complain("%s: was changed while it was read", path);
		acl_free(acl);
		acl = NULL;
	}
	close(fd);
	return acl;
}

void
acl_free(struct acl *acl)
{
	if (acl != NULL && acl->frozen != NULL)
		frozen_close(acl->frozen);
	if (acl != NULL && acl->mapped)
		(void)munmap(acl, acl->size);
}

const struct rule *
acl_records(const struct acl *acl, size_t *bytes)
{
	*bytes = acl->frozen == NULL ? acl->used - sizeof *acl : 0;
	return acl->frozen == NULL ? rule_at(acl, sizeof *acl) : NULL;
}

const struct acl_frozen *
acl_frozen(const struct acl *acl)
{
	return acl->frozen != NULL ? &acl->about : NULL;
}

bool
acl_is_whole(struct acl *acl)
{
	return acl->frozen == NULL || frozen_is_whole(acl->frozen);
}

/* ---- judging ---- */

/* Whether an item matches a request. MAYBE: that depends on an address not looked up yet. */
enum match { NO, MAYBE, YES };

/* A request, and what is found out about it once, before any rule is compared with it. */
struct question {
	const struct acl_request *request;
	size_t name_length;
	int internal[RULE_CRITERIA]; /* as internal_has(): 1, 0, or -1 if the system does not tell
				      */
};

/* If the system cannot tell, deny rules match and permit rules do not. */
static enum match
match_internal(int internal, bool permit)
{
	return internal == 1 || (internal == -1 && !permit) ? YES : NO;
}

static bool
in_prefix(const struct item *item, const struct address *address)
{
	struct prefix prefix;

	return rules_prefix(item, &prefix) && address_in_prefix(address, &prefix);
}

static enum match
match_source(const struct rule *rule, const struct item *item, const struct question *question)
{
	const struct address *source = question->request->source;

	switch (item->kind) {
	case ITEM_ANY:
		return YES;
	case ITEM_LOCAL:
		return source->family == AF_UNSPEC ? YES : NO;
	case ITEM_INTERNAL:
		return match_internal(question->internal[RULE_FROM], rule->permit);
	default:
		return in_prefix(item, source) ? YES : NO;
	}
}

static enum match
match_user(const struct rule *rule, const struct item *item, const struct question *question)
{
	const char *userid = question->request->userid;

	return strncmp(userid, rules_name(rule, item), item->length) == 0 &&
		userid[item->length] == '\0'
	    ? YES
	    : NO;
}

/* Whether a name not looked up yet could have an address in this prefix. BIND is IPv4 only, and
 * unspecified addresses are dropped. */
static enum match
prefix_may_match(const struct item *item, const struct acl_request *request)
{
	if (request->command == SOCKS4_BIND && item->kind != ITEM_PREFIX4)
		return NO;
	return rules_is_unspecified(item) ? NO : MAYBE;
}

static enum match
match_destination(const struct rule *rule, const struct item *item, const struct question *question)
{
	const struct acl_request *request = question->request;

	switch (item->kind) {
	case ITEM_ANY:
		return YES;
	case ITEM_INTERNAL:
		return request->address == NULL
		    ? MAYBE
		    : match_internal(question->internal[RULE_TO], rule->permit);
	case ITEM_NAME:
	case ITEM_DOMAIN:
		return request->name != NULL &&
			rules_name_matches(rule, item, request->name, question->name_length)
		    ? YES
		    : NO;
	default:
		if (request->address == NULL)
			return prefix_may_match(item, request);
		return in_prefix(item, request->address) ? YES : NO;
	}
}

static enum match
match_port(const struct rule *rule, const struct item *item, const struct question *question)
{
	unsigned port = question->request->port;

	(void)rule;
	return port >= item->is.ports.low && port <= item->is.ports.high ? YES : NO;
}

/* BIND to 0.0.0.0 (any caller) is permitted only by a rule that names exactly 0.0.0.0. */
static bool
is_passed_over(const struct rule *rule, const struct acl_request *request)
{
	return rule->permit && request->address != NULL &&
	    address_is_unspecified(request->address) && !rules_names_unspecified(rule);
}

/* Each criterion is as good as its best item, the rule as its worst criterion. */
static enum match
match_rule(const struct rule *rule, const struct question *question)
{
	static enum match (*const matches[])(
	    const struct rule *, const struct item *, const struct question *) = {
		[RULE_FROM] = match_source,
		[RULE_USER] = match_user,
		[RULE_TO] = match_destination,
		[RULE_PORT] = match_port,
	};
	const struct item *item = rules_first(rule);
	enum match whole = YES, best, match;
	uint8_t criterion;

	if (rule->command != 0 && rule->command != question->request->command)
		return NO;
	while (item != NULL) {
		criterion = item->criterion;
		for (best = NO; item != NULL && item->criterion == criterion;
		     item = rules_next(rule, item)) {
			match = best == YES ? YES : matches[criterion](rule, item, question);
			best = match > best ? match : best;
		}
		if (best == NO)
			return NO;
		whole = best < whole ? best : whole;
	}
	return is_passed_over(rule, question->request) ? NO : whole;
}

/* Gives a frozen list the keys to look up. */
static void
ask(struct frozen *frozen, const struct question *question)
{
	const struct acl_request *request = question->request;
	const struct address *source = request->source, *address = request->address;
	bool four = source->family == AF_INET;

	frozen_begin(frozen, address == NULL);
	frozen_by_user(frozen, request->userid, strlen(request->userid));
	if (request->name != NULL)
		frozen_by_name(frozen, request->name, question->name_length, false);
	if (source->family != AF_UNSPEC)
		frozen_by_prefix(
		    frozen, four ? FROZEN_FROM4 : FROZEN_FROM6, source->octets, four ? 32 : 128);
	if (source->family != AF_UNSPEC && address == NULL)
		frozen_by_prefix(
		    frozen, four ? FROZEN_MAYBE4 : FROZEN_MAYBE6, source->octets, four ? 32 : 128);
	if (address == NULL)
		return;
	four = address->family == AF_INET;
	frozen_by_prefix(frozen, four ? FROZEN_TO4 : FROZEN_TO6, address->octets, four ? 32 : 128);
}

/* The next rule that may match, and where it is; NULL after the last. */
static const struct rule *
next_rule(struct acl *acl, const struct rule *rule, uint64_t *at)
{
	if (acl->frozen != NULL)
		return frozen_next(acl->frozen, at);
	*at = rule == NULL ? sizeof *acl : *at + rule->size;
	return *at < acl->used ? rule_at(acl, (size_t)*at) : NULL;
}

static struct acl_decision
decide(struct acl *acl, const struct question *question)
{
	struct acl_decision decision = { .verdict = ACL_DENY };
	const struct rule *rule = NULL;
	enum match match;
	uint64_t at = 0;

	while ((rule = next_rule(acl, rule, &at)) != NULL) {
		match = match_rule(rule, question);
		if (match == NO || (match == MAYBE && !rule->permit))
			continue;
		if (rule->permit)
			decision.verdict =
			    question->request->address != NULL ? ACL_PERMIT : ACL_LOOKUP;
		decision.line = rule->line;
		decision.ident = (enum rule_ident)rule->ident;
		decision.at = at;
		break;
	}
	return decision;
}

struct acl_decision
acl_judge(struct acl *acl, const struct acl_request *request)
{
	struct question question = { .request = request };
	struct acl_decision decision;

	/* Only for lists that have the word: it costs system calls. */
	if (acl->internal & 1 << RULE_FROM && request->source->family != AF_UNSPEC)
		question.internal[RULE_FROM] = internal_has(request->source);
	if (acl->internal & 1 << RULE_TO && request->address != NULL)
		question.internal[RULE_TO] = internal_has(request->address);
	question.name_length = request->name != NULL ? strlen(request->name) : 0;
	if (acl->frozen != NULL)
		ask(acl->frozen, &question);
	decision = decide(acl, &question);
	if (acl->frozen != NULL && frozen_is_broken(acl->frozen))
		decision = (struct acl_decision){ .verdict = ACL_BROKEN };
	return decision;
}

const char *
acl_text(struct acl *acl, const struct acl_decision *decision)
{
	const struct rule *rule;

	if (decision->line == 0)
		return "";
	rule = acl->frozen != NULL ? frozen_rule(acl->frozen, decision->at)
				   : rule_at(acl, (size_t)decision->at);
	return rule != NULL ? rules_text(rule) : NULL;
}

bool
acl_canonical_name(const char *name, char *canonical)
{
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	/* glibc looks up b\097d as bad: it would slip past a rule for bad. */
	if (length == 0 || length > SOCKS4_FIELD || name[length - 1] == '.' ||
	    strchr(name, '\\') != NULL)
		return false;
	memcpy(canonical, name, length);
	canonical[length] = '\0';
	return true;
}
