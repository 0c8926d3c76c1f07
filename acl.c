#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/internal.h"
#include "lib/socks4.h"
#include "lib/text.h"

enum { LARGEST = 64 * 1024 * 1024 }; /* bytes of text */
enum { SMALL = 4096 };		     /* bytes of a list that has not grown yet */

static const char builtin[] = "permit from 127.0.0.0/8,::1\n";

/* One block: this, then the rules' records one after another. Mapped, so that nothing of it stays
 * behind in the heap. */
struct acl {
	size_t size, used; /* bytes of the block */
	unsigned internal; /* the rules' bits, all together */
};

/* ---- reading a text ---- */

/* A file that is read a line at a time. */
struct reader {
	int fd;			  /* -1: no more is to come */
	struct acl_window window; /* the caller's, or a mapping that holds a longer line */
	bool mapped;
	size_t start, end; /* of what has been read and not been taken */
	size_t total;
	unsigned line;
};

static void *
map(size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return block != MAP_FAILED ? block : NULL;
}

/* Makes room in the window for more of a line that does not fit. 0, or -1 with errno. */
static int
widen(struct reader *reader)
{
	struct acl_window *window = &reader->window;
	size_t length = reader->end - reader->start, size = 2 * window->size + SMALL;
	char *bytes = window->bytes;

	if (length == window->size) {
		bytes = map(size);
		if (bytes == NULL)
			return -1;
	}
	memmove(bytes, window->bytes + reader->start, length);
	if (bytes != window->bytes) {
		if (reader->mapped)
			(void)munmap(window->bytes, window->size);
		*window = (struct acl_window){ bytes, size };
		reader->mapped = true;
	}
	reader->start = 0;
	reader->end = length;
	return 0;
}

/* 0, also at the end of the file, or -1 with errno. */
static int
read_more(struct reader *reader)
{
	ssize_t got;

	if (reader->end == reader->window.size && widen(reader) == -1)
		return -1;
	do
		got = read(reader->fd, reader->window.bytes + reader->end,
		    reader->window.size - reader->end);
	while (got == -1 && errno == EINTR);
	if (got == -1)
		return -1;
	if (got == 0)
		reader->fd = -1;
	reader->end += (size_t)got;
	reader->total += (size_t)got;
	if (reader->total <= LARGEST)
		return 0;
	errno = EFBIG;
	return -1;
}

/* The next line, without its newline but with a byte to write to in its place. *line is NULL at the
 * end; a last line without a newline is left in the window. 0, or -1 with errno. */
static int
next_line(struct reader *reader, char **line, size_t *length)
{
	char *newline = NULL;
	size_t looked = 0;

	for (;;) {
		*line = reader->window.bytes + reader->start;
		if (reader->end - reader->start > looked)
			newline =
			    memchr(*line + looked, '\n', reader->end - reader->start - looked);
		looked = reader->end - reader->start;
		if (newline != NULL || reader->fd == -1)
			break;
		if (read_more(reader) == -1)
			return -1;
	}
	reader->line++;
	if (newline == NULL) {
		*line = NULL;
		return 0;
	}
	*length = (size_t)(newline - *line);
	reader->start += *length + 1;
	return 0;
}

/* ---- loading ---- */

static void
complain_of(const char *path, const struct reader *reader, const char *problem,
    void (*complain)(const char *message))
{
	char bytes[4096 + sizeof(struct rules_problem)];
	struct text message;

	text_start(&message, bytes, sizeof bytes);
	text_put(&message, path);
	if (reader != NULL) {
		text_put(&message, ":");
		text_put_number(&message, reader->line, 1);
	}
	text_put_all(&message, ": ", problem);
	complain(bytes);
}

/* What the records of a text may take: a first guess, which spares most of the moves. */
static size_t
guess(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size > 0 && status.st_size <= LARGEST
	    ? (size_t)status.st_size * 2
	    : 0;
}

/* The list with room for so many more bytes, moved if need be; NULL with errno, and then it is as
 * it was. */
static struct acl *
grow(struct acl *acl, size_t more, int fd)
{
	size_t size = acl->size, hint;
	struct acl *larger;

	if (acl->size - acl->used >= more)
		return acl;
	for (hint = guess(fd); size - acl->used < more || size < hint;)
		size *= 2;
	larger = map(size);
	if (larger == NULL)
		return NULL;
	memcpy(larger, acl, acl->used);
	larger->size = size;
	(void)munmap(acl, acl->size);
	return larger;
}

static struct rule *
rule_at(const struct acl *acl, size_t offset)
{
	return (struct rule *)(void *)((char *)(uintptr_t)acl + offset);
}

/* Reads all lines into *list. 0; 1 after complaints about lines; -1 with errno. */
static int
read_lines(struct reader *reader, struct acl **list, const char *name,
    void (*complain)(const char *message))
{
	struct rules_problem problem;
	struct acl *acl = *list;
	struct rule *rule;
	char *line;
	size_t length;
	int wrong = 0;

	while (next_line(reader, &line, &length) == 0) {
		if (line == NULL && reader->start == reader->end)
			return wrong;
		if (line == NULL) {
			complain_of(name, reader, "the last line does not end: was the file cut?",
			    complain);
			return 1;
		}
		acl = grow(acl, RULES_ROOM(length), reader->fd);
		if (acl == NULL)
			return -1;
		*list = acl;
		rule = rule_at(acl, acl->used);
		if (!rules_read(line, length, rule, &problem)) {
			complain_of(name, reader, problem.text, complain);
			wrong = 1;
			continue;
		}
		rule->line = reader->line;
		acl->internal |= rule->internal;
		acl->used += rule->size;
	}
	return -1;
}

/* Opens the file, or puts the built-in list into the window. 0, or -1 with errno. */
static int
open_text(const char *path, struct reader *reader)
{
	reader->fd = -1;
	if (path != NULL) {
		reader->fd = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
		return reader->fd != -1 ? 0 : -1;
	}
	while (reader->window.size < sizeof builtin)
		if (widen(reader) == -1)
			return -1;
	memcpy(reader->window.bytes, builtin, sizeof builtin - 1);
	reader->end = sizeof builtin - 1;
	return 0;
}

struct acl *
acl_load(const char *path, struct acl_window window, void (*complain)(const char *message))
{
	const char *name = path != NULL ? path : "built-in";
	struct reader reader = { .window = window };
	struct acl *acl = map(SMALL);
	int result = -1, fd = -1;

	if (acl != NULL) {
		acl->size = SMALL;
		acl->used = sizeof *acl;
		result = open_text(path, &reader);
		fd = reader.fd;
	}
	if (result == 0)
		result = read_lines(&reader, &acl, name, complain);
	if (result == -1)
		complain_of(name, NULL, strerror(errno), complain);
	if (fd != -1)
		close(fd);
	if (reader.mapped)
		(void)munmap(reader.window.bytes, reader.window.size);
	if (result == 0)
		return acl;
	acl_free(acl);
	return NULL;
}

void
acl_free(struct acl *acl)
{
	if (acl != NULL)
		(void)munmap(acl, acl->size);
}

/* ---- judging ---- */

/* How a request stands to an item. MAYBE: that depends on an address that is not looked up yet. */
enum match { NO, MAYBE, YES };

/* A request, and what was found out about it before any rule is held against it. */
struct question {
	const struct acl_request *request;
	size_t name_length;
	int internal[RULE_CRITERIA]; /* as internal_has(): 1, 0, or -1 if the system does not tell
				      */
};

/* If the system does not tell, the answer is the one that permits nothing. */
static enum match
match_internal(int internal, bool permit)
{
	return internal == 1 || (internal == -1 && !permit) ? YES : NO;
}

static bool
in_prefix(const struct item *item, const struct address *address)
{
	struct prefix prefix = { .length = item->length };

	prefix.address.family = item->kind == ITEM_PREFIX4 ? AF_INET : AF_INET6;
	if (address->family != prefix.address.family)
		return false;
	memcpy(prefix.address.octets, rules_octets(item), item->kind == ITEM_PREFIX4 ? 4 : 16);
	return address_in_prefix(address, &prefix);
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

/* Whether a name that is not looked up could have an address in this prefix: BIND is IPv4, and
 * unspecified addresses are dropped. */
static enum match
prefix_may_match(const struct item *item, const struct acl_request *request)
{
	if (request->command == SOCKS4_BIND && item->kind != ITEM_PREFIX4)
		return NO;
	return rules_is_unspecified(item) ? NO : MAYBE;
}

/* The program sets no locale, so that case is ASCII's here. */
static bool
name_matches(const struct rule *rule, const struct item *item, const struct question *question)
{
	size_t length = question->name_length, wanted = item->length;
	const char *tail;

	if (length < wanted)
		return false;
	tail = question->request->name + length - wanted;
	if (length > wanted && (item->kind != ITEM_DOMAIN || tail[-1] != '.'))
		return false;
	return strncasecmp(tail, rules_name(rule, item), wanted) == 0;
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
		return request->name != NULL && name_matches(rule, item, question) ? YES : NO;
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

/* "Any caller" (BIND to 0.0.0.0) is permitted by name only. */
static bool
is_passed_over(const struct rule *rule, const struct acl_request *request)
{
	const struct item *item;

	if (!rule->permit || request->address == NULL || !address_is_unspecified(request->address))
		return false;
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (item->criterion == RULE_TO && rules_is_unspecified(item) &&
		    in_prefix(item, request->address))
			return false;
	return true;
}

/* The worst of the criteria that the rule has; of each, the best that one of its items gives. */
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

const struct rule *
acl_next(const struct acl *acl, const struct rule *rule)
{
	size_t at = rule != NULL ? (size_t)((const char *)rule - (const char *)acl) + rule->size
				 : sizeof *acl;

	return at < acl->used ? rule_at(acl, at) : NULL;
}

struct acl_decision
acl_judge(const struct acl *acl, const struct acl_request *request)
{
	struct question question = { .request = request };
	struct acl_decision decision = { .verdict = ACL_DENY };
	const struct rule *rule;
	enum match match;

	/* Costs system calls, and so only for lists that say the word. */
	if (acl->internal & 1 << RULE_FROM && request->source->family != AF_UNSPEC)
		question.internal[RULE_FROM] = internal_has(request->source);
	if (acl->internal & 1 << RULE_TO && request->address != NULL)
		question.internal[RULE_TO] = internal_has(request->address);
	question.name_length = request->name != NULL ? strlen(request->name) : 0;
	for (rule = acl_next(acl, NULL); rule != NULL; rule = acl_next(acl, rule)) {
		match = match_rule(rule, &question);
		if (match == NO || (match == MAYBE && !rule->permit))
			continue;
		if (rule->permit)
			decision.verdict = request->address != NULL ? ACL_PERMIT : ACL_LOOKUP;
		decision.line = rule->line;
		decision.ident = (enum rule_ident)rule->ident;
		decision.rule = rule;
		break;
	}
	return decision;
}

bool
acl_canonical_name(const char *name, char *canonical)
{
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	/* glibc looks b\097d up as bad, which no rule that names it would match. */
	if (length == 0 || length > SOCKS4_FIELD || name[length - 1] == '.' ||
	    strchr(name, '\\') != NULL)
		return false;
	memcpy(canonical, name, length);
	canonical[length] = '\0';
	return true;
}
